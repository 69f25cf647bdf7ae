"""Scratch launches of KAF's kernels, for the search."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from triton_acts.tuning.bench import Scratch, rows_of, scratch
from triton_acts.tuning.config import Config
from triton_acts.tuning.lookup import hardware_of
from triton_acts.tuning.registry import RULES, Dims

from . import _kernel_road
from ._composite import Dictionary, Nodes, composite

__all__ = ["rows"]

_SAMPLE = 1 << 16  # elements at either end whose results are held against float64
_WHOLE = 1 << 18  # elements up to which alpha's gradient is, too


def rows(
    dictionary: Dictionary,
    num_nodes: int,
    direction: str,
    dims: Dims,
    dtype: torch.dtype,
    numel: int,
    aligned: bool,
    device: torch.device,
) -> Scratch:
    """Forward, or backward with alpha's gradient, over about numel elements in a layout."""
    if isinstance(dictionary, Nodes):
        positions = torch.linspace(-3.0, 3.0, num_nodes, device=device)
        dictionary = Nodes(positions, dictionary.gamma)
    shape = outer, channels, inner = rows_of(dims.layout, numel)
    x = scratch(shape, dtype, aligned, device)
    out = torch.empty_like(x) if aligned else scratch(shape, dtype, False, device)
    alpha = scratch((channels, num_nodes), torch.float32, True, device)
    default = RULES["kaf", direction, dims.layout].default(dtype, hardware_of(device), dims)
    count = max(1, min(outer, _SAMPLE // (channels * inner)))
    parts = [slice(None)] if x.numel() <= _WHOLE else [slice(0, count), slice(-count, None)]

    def forward(config: Config) -> None:
        _kernel_road.forward(dictionary, alpha, x, out, config)

    def values() -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts:
            yield out[part], composite(x[part].double(), alpha.double(), dictionary, 1)

    if direction == "forward":
        return Scratch(x, 1, (out,), forward, default, values)

    g = x.flip(0) if aligned else scratch(shape, dtype, False, device)
    dalpha = torch.empty_like(alpha)

    def backward(config: Config) -> None:
        needs = (True, True)
        dalpha.copy_(_kernel_road.backward(dictionary, needs, alpha, x, g, out, config))

    def gradients() -> Iterator[tuple[Tensor, Tensor]]:
        for part in parts:
            leaves = (x[part].double().requires_grad_(), alpha.double().requires_grad_())
            with torch.enable_grad():
                y = composite(*leaves, dictionary, 1)
                dx, whole = torch.autograd.grad(y, leaves, g[part].double())
            yield out[part], dx
            if x.numel() <= _WHOLE:
                yield dalpha, whole

    return Scratch(x, 2, (out, dalpha), backward, default, gradients)
