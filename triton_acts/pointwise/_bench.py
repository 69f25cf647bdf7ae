"""Scratch launches of pointwise kernels, for the search."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from triton_acts.tuning.bench import Scratch, ends, reversed_copy, rows_of, scratch
from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import RULES, Dims
from triton_acts.tuning.target import hardware_of

from ._define import Pointwise, launch
from ._per_channel import PerChannel, launch_forward

__all__ = ["flat", "rows"]

_SAMPLE = 1 << 16  # elements at either end whose results are held against float64


def flat(
    op: Pointwise,
    direction: str,
    dtype: torch.dtype,
    numel: int,
    aligned: bool,
    device: torch.device,
) -> Scratch:
    """Forward, or backward from the input, over numel elements."""
    backward = direction == "backward"
    x = scratch((numel,), dtype, aligned, device)
    out = scratch((numel,), dtype, aligned, device)
    g = reversed_copy(x, aligned) if backward else x
    inputs = (x, g) if backward else (x,)
    fn = op.slope if backward else op.fn

    def run(config: Config) -> None:
        launch(op, direction, fn, (*inputs, out), op.defaults, config)

    def sample() -> Iterator[tuple[Tensor, Tensor]]:
        for part in (slice(0, _SAMPLE), slice(-_SAMPLE, None)):
            wide = x[part].double()
            if backward:
                yield out[part], g[part].double() * op.derivative(wide, *op.defaults)
            else:
                yield out[part], op.composite(wide, *op.defaults)

    dims = Dims()
    default = RULES[op.name, direction, dims.layout].default(dtype, hardware_of(device), dims)
    return Scratch(x, len(inputs), (out,), run, default, sample)


def rows(
    op: PerChannel,
    layout: str,
    dtype: torch.dtype,
    numel: int,
    aligned: bool,
    device: torch.device,
) -> Scratch:
    """Forward with a learned weight, over about numel elements in a layout of `Dims`."""
    shape = outer, channels, inner = rows_of(layout, numel)
    x = scratch(shape, dtype, aligned, device)
    y = scratch(shape, dtype, aligned, device)
    w = torch.linspace(0.1, 0.9, channels, device=device)

    def run(config: Config) -> None:
        launch_forward(op, (x, w, y), (outer, channels, inner), config)

    def sample() -> Iterator[tuple[Tensor, Tensor]]:
        wide = w.double().view(1, -1, 1)
        for part in ends(shape, _SAMPLE):
            yield y[part], op.composite(x[part].double(), wide)

    dims = Dims(layout)
    default = RULES[op.name, "forward", layout].default(dtype, hardware_of(device), dims)
    return Scratch(x, 1, (y,), run, default, sample)
