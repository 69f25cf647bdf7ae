"""Scratch launches of KAF's kernels, for the search."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from triton_acts.tuning.bench import Scratch, ends, rows_of, scratch
from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import RULES, Dims
from triton_acts.tuning.target import hardware_of

from . import _kernel_road
from ._composite import Dictionary, Nodes, composite

__all__ = ["rows"]

_SAMPLE = 1 << 16  # elements at either end whose results are held against float64


def rows(
    dictionary: Dictionary,
    num_nodes: int,
    dims: Dims,
    dtype: torch.dtype,
    numel: int,
    aligned: bool,
    device: torch.device,
) -> Scratch:
    """Forward over about numel elements in a layout; a backward has no choice of configs."""
    if isinstance(dictionary, Nodes):
        positions = torch.linspace(-3.0, 3.0, num_nodes, device=device)
        dictionary = Nodes(positions, dictionary.gamma)
    shape = rows_of(dims.layout, numel)
    x, y = scratch(shape, dtype, aligned, device), scratch(shape, dtype, aligned, device)
    alpha = scratch((shape[1], num_nodes), torch.float32, True, device)
    default = RULES["kaf", "forward", dims.layout].default(dtype, hardware_of(device), dims)

    def run(config: Config) -> None:
        _kernel_road.forward(dictionary, alpha, x, y, config)

    def sample() -> Iterator[tuple[Tensor, Tensor]]:
        for part in ends(shape, _SAMPLE):
            yield y[part], composite(x[part].double(), alpha.double(), dictionary, 1)

    return Scratch(x, 1, (y,), run, default, sample)
