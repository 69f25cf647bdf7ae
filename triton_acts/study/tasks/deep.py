"""33 plain layers: which activation lets a signal through, without any normalisation."""

from __future__ import annotations

from torch import nn

from triton_acts.study._metrics import METRICS
from triton_acts.study._task import Data, Pair, Task
from triton_acts.study._variants import Activation

from .digits import digits

__all__ = ["deep_tasks"]

_LAYERS, _WIDTH = 33, 64


def deep_tasks() -> list[Task]:
    """The same MLP with gain 1 for all, and with each activation's own gain as a choice."""
    inits = {", plain Xavier": ("xavier",), "": ("xavier", "gain")}
    return [
        Task(
            name=f"{_LAYERS} layers{suffix}",
            make_model=_mlp,
            data=_flat,
            metric=METRICS["accuracy"],
            epochs=16,
            batch_size=128,
            learning_rates=(0.003, 0.01, 0.03),
            inits=choices,
            clip=5.0,
            about=f"{_LAYERS} linear layers of width {_WIDTH} on the digits, no normalisation",
        )
        for suffix, choices in inits.items()
    ]


def _flat() -> Data:
    return Data(*(Pair(x.flatten(1), y) for x, y in digits()))


def _mlp(activation: Activation) -> nn.Module:
    layers = list[nn.Module]()
    for _ in range(_LAYERS - 1):
        layers += [nn.Linear(_WIDTH, _WIDTH), activation(_WIDTH)]
    return nn.Sequential(*layers, nn.Linear(_WIDTH, 10))
