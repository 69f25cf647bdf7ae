"""A table of numbers with a strongly non-linear target, by one and by three hidden layers."""

from __future__ import annotations

from functools import partial

import torch
from torch import nn

from triton_acts.study._metrics import METRICS
from triton_acts.study._task import Data, Task, split
from triton_acts.study._variants import Activation

__all__ = ["table", "tabular_tasks"]

_ROWS, _FEATURES = 2400, 6


def tabular_tasks() -> list[Task]:
    """One hidden layer, which suits activations that learn, and three."""
    return [
        Task(
            name=f"tabular, {hidden} hidden layer{'s' * (hidden > 1)}",
            make_model=partial(_mlp, hidden),
            data=table,
            metric=METRICS["rmse"],
            epochs=40,
            optimizer="adam",
            learning_rates=(0.003, 0.01, 0.03, 0.1),
            about=f"{_ROWS} generated rows of {_FEATURES} features: sines, products and a step, "
            f"and noise of standard deviation 0.1; width 48",
        )
        for hidden in (1, 3)
    ]


def table() -> Data:
    """2,400 rows: sines of sums and products of the features, and a step."""
    draw = torch.Generator().manual_seed(11)
    x = 2 * torch.rand(_ROWS, _FEATURES, generator=draw) - 1
    y = torch.sin(4 * x[:, 0] + 2 * x[:, 1]) + torch.cos(5 * x[:, 2]) * x[:, 3]
    y = y + (x[:, 4] * x[:, 5] > 0) + 0.1 * torch.randn(len(x), generator=draw)
    return split(x * 3**0.5, y - 0.5)


def _mlp(hidden: int, activation: Activation) -> nn.Module:
    layers, width = list[nn.Module](), _FEATURES
    for _ in range(hidden):
        layers += [nn.Linear(width, 48), activation(48)]
        width = 48
    return nn.Sequential(*layers, nn.Linear(width, 1))
