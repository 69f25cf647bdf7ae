"""Handwritten digits, 8 x 8 pixels, by a small CNN without, before and after batch norm.

Data: scikit-learn's copy of the UCI set (1,797 images).
"""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from triton_acts.study._metrics import METRICS
from triton_acts.study._packages import need
from triton_acts.study._task import Data, Task, split
from triton_acts.study._variants import Activation

__all__ = ["digits", "digits_tasks"]


def digits_tasks() -> list[Task]:
    """The CNN with batch norm nowhere, before each activation and after it."""
    norms = {
        "": "no normalisation",
        "before": "batch norm before each activation",
        "after": "batch norm after each activation",
    }
    return [
        Task(
            name=f"digits{', batch norm ' + norm if norm else ''}",
            make_model=partial(_cnn, norm),
            data=digits,
            metric=METRICS["accuracy"],
            epochs=12,
            learning_rates=(0.03, 0.1, 0.3),
            about=f"3 convolutions on 1797 images of 8 x 8, {about}",
        )
        for norm, about in norms.items()
    ]


def digits() -> Data:
    """1,078 images to train on, 359 to choose by, 360 to test."""
    need("the digits", "sklearn")
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8)
    return split(x / 8 - 1, torch.tensor(labels))


def _cnn(norm: str, activation: Activation) -> nn.Module:
    layers = list[nn.Module]()
    for inputs, outputs, stride in ((1, 16, 1), (16, 32, 2), (32, 32, 1)):
        layers.append(nn.Conv2d(inputs, outputs, 3, stride, padding=1))
        layers += [nn.BatchNorm2d(outputs)] if norm == "before" else []
        layers.append(activation(outputs))
        layers += [nn.BatchNorm2d(outputs)] if norm == "after" else []
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 4 * 4, 10))
