"""How KAF's kernels may be launched: the analytic configs, and what is worth trying."""

from __future__ import annotations

import torch

from triton_acts import _triton
from triton_acts._tiling import THREADS
from triton_acts.tuning.config import Config
from triton_acts.tuning.keys import ROW_LAYOUTS
from triton_acts.tuning.registry import Dims, Hardware, Rule

from ._gridding import SHARED, SINGLE

__all__ = ["RULES"]

_LARGER = 64 if _triton.INTERPRETED else 1  # the interpreter pays by the program and by the tile


def _forward(_dtype: torch.dtype, hardware: Hardware, dims: Dims) -> Config:
    """A lane of layout inner1 holds a register a node for each of its elements.

    4 elements of a 16-bit type move 8 bytes an access and 2 move 4, which still fills whole
    sectors. Elsewhere weights are scalars, and a thread takes 16 bytes; of small planes half, since
    each element has its own address.
    """
    if dims.layout != "inner1":
        elements = 8 if dims.free else 16
        return _config(elements // 2 if dims.layout == "small" else elements, 1, hardware)
    if dims.free:  # bound by special functions, whatever a thread does
        return _config(4, 2, hardware)
    single = SHARED < dims.num_nodes <= SINGLE  # one anchor, with more weights than half of them
    return _config(2 if single else 4, 4, hardware)


def _backward(_dtype: torch.dtype, hardware: Hardware, dims: Dims) -> Config:
    """A lane holds two registers a node and element: weights and sums.

    4 elements of a plane spill on sm_100.
    """
    few = dims.num_nodes <= SHARED
    if dims.free:
        return _config(2 if few else 1, 1, hardware)
    return _config(1 if dims.layout == "inner1" and not few else 2, 2, hardware)


def _config(elements: int, unroll: int, hardware: Hardware, threads: int = THREADS) -> Config:
    warps = threads // hardware.warp_size
    return Config(_LARGER * elements, warps, unroll, hardware.warp_size)


def _forward_choices(_dtype: torch.dtype, hardware: Hardware, dims: Dims) -> tuple[Config, ...]:
    if dims.layout == "inner1":
        shapes = [(2, 2), (2, 4), (4, 1), (4, 2), (4, 4), (8, 1), (8, 2)]
    else:
        shapes = [(4, 1), (8, 1), (16, 1), (32, 1)]
    return tuple(
        _config(elements, unroll, hardware, threads)
        for threads in (THREADS, 2 * THREADS)
        for elements, unroll in shapes
    )


RULES = {
    **{("forward", layout): Rule(_forward, _forward_choices) for layout in ROW_LAYOUTS},
    **{("backward", layout): Rule(_backward) for layout in ROW_LAYOUTS},
}
