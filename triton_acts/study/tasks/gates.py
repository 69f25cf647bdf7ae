"""An LSTM whose gates and cell use the activation, as in Eger et al. 2018, arXiv 1901.02671."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from triton_acts.study._metrics import METRICS
from triton_acts.study._task import Data, Task, split
from triton_acts.study._variants import VARIANTS, Activation, Variant

__all__ = ["Gated", "gate_tasks", "sequences"]

_STEPS, _HIDDEN = 16, 24


def _standard(num_channels: int, _channel_dim: int) -> nn.Module:
    return nn.Sigmoid() if num_channels == 3 * _HIDDEN else nn.Tanh()


_STANDARD = Variant("sigmoid gates, tanh cell", _standard, note="the usual LSTM")


def gate_tasks() -> list[Task]:
    """The usual LSTM beside those that have one activation everywhere."""
    return [
        Task(
            name="sequences",
            make_model=_model,
            data=sequences,
            metric=METRICS["rmse"],
            epochs=12,
            batch_size=100,
            optimizer="adam",
            learning_rates=(0.01, 0.03, 0.1),
            inits=("default",),
            clip=1.0,
            baseline=_STANDARD.name,
            variants=(_STANDARD, *VARIANTS.values()),
            about=f"2000 generated sequences; the sum of the two marked ones of {_STEPS} numbers, "
            f"by an LSTM of hidden width {_HIDDEN}",
        )
    ]


def sequences() -> Data:
    """Numbers with two marks a row, [2000, 16, 2], and the scaled sums of the marked ones."""
    draw = torch.Generator().manual_seed(13)
    numbers = torch.rand(2000, _STEPS, generator=draw)
    marked = torch.rand(2000, _STEPS, generator=draw).topk(2).indices
    marks = torch.zeros_like(numbers).scatter_(1, marked, 1.0)
    sums = (numbers * marks).sum(1)
    return split(torch.stack([numbers, marks], 2), (sums - 1) * 6**0.5)


class Gated(nn.Module):
    """An LSTM layer and a linear read-out of its last state.

    `i, f, o = gate(W [x, h])`, `c = f c + i cell(W' [x, h])`, `h = o squash(c)`.

    Args:
        gate, cell, squash: activations, of 3 hidden, hidden and hidden channels.
    """

    def __init__(self, gate: nn.Module, cell: nn.Module, squash: nn.Module) -> None:
        super().__init__()
        self.gate, self.cell, self.squash = gate, cell, squash
        self.mix = nn.Linear(2 + _HIDDEN, 4 * _HIDDEN)
        self.read = nn.Linear(_HIDDEN, 1)
        with torch.no_grad():
            self.mix.bias[_HIDDEN : 2 * _HIDDEN] = 1.0  # an LSTM that forgets learns late

    def forward(self, x: Tensor) -> Tensor:
        """From [N, T, 2] to [N]."""
        h = c = x.new_zeros(len(x), _HIDDEN)
        for step in x.unbind(1):
            mixed = self.mix(torch.cat([step, h], 1))
            i, f, o = self.gate(mixed[:, : 3 * _HIDDEN]).chunk(3, 1)
            c = f * c + i * self.cell(mixed[:, 3 * _HIDDEN :])
            h = o * self.squash(c)
        y: Tensor = self.read(h)[:, 0]
        return y


def _model(activation: Activation) -> nn.Module:
    return Gated(activation(3 * _HIDDEN), activation(_HIDDEN), activation(_HIDDEN))
