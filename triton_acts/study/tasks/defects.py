"""Defect inspection: textures, some with a scratch or a spot, generated on the fly.

On a line both errors cost money: a false alarm scraps a good part, a miss ships a bad one. Data
from a line is scarce, hence the learning curve at 10, 30 and 100 % of it.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn

from triton_acts.study._metrics import METRICS
from triton_acts.study._task import Data, Pair, Task
from triton_acts.study._variants import Activation

__all__ = ["defect_tasks", "defects", "textures"]

_SIZE = 24
_TRAIN, _VALIDATION, _TEST = 1000, 400, 1000
_EPOCHS = {1.0: 8, 0.3: 27, 0.1: 80}  # about equally many steps


def defect_tasks() -> list[Task]:
    """The same CNN on all of the data and on parts of it."""
    return [
        Task(
            name=f"defects, {share:.0%} of the data".replace("%", " %"),
            make_model=_cnn,
            data=partial(defects, share),
            metric=METRICS["balanced accuracy"],
            epochs=_EPOCHS[share],
            batch_size=50,
            learning_rates=(0.03, 0.1, 0.3),
            also={name: METRICS[name] for name in ("false-alarm rate", "miss rate")},
            about=f"a CNN on {round(share * _TRAIN)} generated textures of {_SIZE} x {_SIZE}, half "
            f"of them defective",
        )
        for share in _EPOCHS
    ]


def defects(share: float = 1.0) -> Data:
    """A share of the training set; validation and test set are always the same.

    The validation set shrinks with the share, too: who has little data has little to choose by.
    """
    draw = torch.Generator().manual_seed(7)
    train, validation, test = (textures(n, draw) for n in (_TRAIN, _VALIDATION, _TEST))
    train, validation = (
        Pair(*(t[: round(share * len(t))] for t in pair)) for pair in (train, validation)
    )
    return Data(train, validation, test)


def textures(n: int, draw: torch.Generator) -> Pair:
    """Images [n, 1, 24, 24] and whether they have a defect, [n], alternating 0 and 1."""
    axis = torch.arange(_SIZE, dtype=torch.float32)
    rows, columns = axis[:, None], axis[None, :]

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, generator=draw)

    image = 0.25 * torch.randn(n, _SIZE, _SIZE, generator=draw)
    for _ in range(2):  # the grain of the material: two waves of any direction
        turn, wave = uniform(0, math.pi), uniform(0.4, 1.2)
        phase = uniform(0, 2 * math.pi)
        image += 0.6 * torch.sin(wave * (rows * turn.sin() + columns * turn.cos()) + phase)
    labels = torch.arange(n) % 2
    turn, y, x = uniform(0, math.pi), uniform(5, _SIZE - 6), uniform(5, _SIZE - 6)
    along = (rows - y) * turn.sin() + (columns - x) * turn.cos()
    across = (columns - x) * turn.sin() - (rows - y) * turn.cos()
    scratch = torch.exp(-((across / 0.7) ** 2)) * (along.abs() < uniform(4, 8))
    spot = torch.exp(-((along**2 + across**2) / uniform(1.2, 2.0) ** 2))
    kind = torch.arange(n)[:, None, None] % 4 < 2
    sign = torch.where(torch.rand(n, 1, 1, generator=draw) < 0.5, -1.0, 1.0)
    defect = sign * uniform(1.5, 2.5) * torch.where(kind, scratch, spot)
    image += labels[:, None, None] * defect
    return Pair(image[:, None], labels)


def _cnn(activation: Activation) -> nn.Module:
    layers = list[nn.Module]()
    for inputs, outputs, size, stride in ((1, 12, 5, 2), (12, 24, 3, 1), (24, 24, 3, 2)):
        layers += [nn.Conv2d(inputs, outputs, size, stride, padding=size // 2), activation(outputs)]
    return nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(24, 2))
