"""The kernel variants of pointwise ops, for static inspection, and how each may be launched."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from triton_acts import _triton
from triton_acts._tiling import THREADS
from triton_acts.tuning.config import Config, analytic
from triton_acts.tuning.keys import ROW_LAYOUTS
from triton_acts.tuning.registry import Dims, Hardware, OpSpec, Plan, Pointer, Rule, Variant

from . import _bench, _kernels
from ._define import Pointwise, tie_breaker
from ._per_channel import PerChannel, tiles

__all__ = ["per_channel_spec", "pointwise_spec"]

_LARGER = 128 if _triton.INTERPRETED else 1  # the interpreter pays by the program

# One example shape [outer, channels, inner] for each way the channel kernels see a tensor.
_LAYOUTS = {
    "shared": (1, 1, 2**24 + 1),
    "inner1": (8192, 512, 1),
    "innerN": (64, 64, 56 * 56),
    "inner49": (256, 512, 7 * 7),
}


def _flat_default(dtype: torch.dtype, hardware: Hardware, _dims: Dims) -> Config:
    if _triton.INTERPRETED:
        return Config(2048, 1)  # few programs of 65,536 elements
    return analytic(dtype.itemsize, hardware.warp_size, hardware.bytes_per_clock_sm)


def _row_default(dtype: torch.dtype, hardware: Hardware, _dims: Dims) -> Config:
    """16 bytes a thread: rows of channels are loops, which keep more in flight by themselves."""
    warps = THREADS // hardware.warp_size
    return Config(_LARGER * 16 // dtype.itemsize, warps, warp_size=hardware.warp_size)


def _accesses(dtype: torch.dtype, hardware: Hardware, _dims: Dims) -> tuple[Config, ...]:
    """One, two and four 16-byte accesses a thread, in programs of 64 to 1024 threads."""
    return tuple(
        Config(elements, threads // hardware.warp_size, warp_size=hardware.warp_size)
        for elements in (16 // dtype.itemsize, 32 // dtype.itemsize, 64 // dtype.itemsize)
        for threads in (64, 128, 256, 512, 1024)
    )


_FLAT = Rule(_flat_default, _accesses)
_ROWS = Rule(_row_default, _accesses)
_SUMS = Rule(_row_default)  # the weight's gradient


def pointwise_spec(op: Pointwise) -> OpSpec:
    """Forward and backward over flat storage."""

    def forward(dtype: torch.dtype, config: Config) -> Plan:
        args = {
            "x_ptr": Pointer(dtype),
            "y_ptr": Pointer(dtype),
            "numel": 2**24,
            "coefs": (*op.defaults, tie_breaker(dtype)),
            "FN": op.fn,
            "BLOCK": config.block,
        }
        return Plan(_kernels.forward, args, config.num_warps, config.block)

    def backward(dtype: torch.dtype, config: Config, slope: object) -> Plan:
        args = {
            "s_ptr": Pointer(dtype),
            "g_ptr": Pointer(dtype),
            "dx_ptr": Pointer(dtype),
            "numel": 2**24,
            "coefs": (*op.defaults, tie_breaker(dtype)),
            "FN": slope,
            "BLOCK": config.block,
        }
        return Plan(_kernels.backward, args, config.num_warps, config.block)

    return OpSpec(
        op.name,
        (
            Variant(
                "scalar", "forward", "flat", 2, forward, bench=partial(_bench.flat, op, "forward")
            ),
            Variant(
                "scalar",
                "backward",
                "flat",
                3,
                partial(backward, slope=op.slope),
                bench=partial(_bench.flat, op, "backward"),
            ),
            Variant(
                "save_output", "backward", "flat", 3, partial(backward, slope=op.slope_from_output)
            ),
        ),
        {("forward", "flat"): _FLAT, ("backward", "flat"): _FLAT},
    )


def per_channel_spec(op: PerChannel) -> OpSpec:
    """Forward, backward with and without the weight's gradient, in every layout."""

    def plan(
        dtype: torch.dtype,
        config: Config,
        shape: tuple[int, int, int],
        backward: bool,
        need_dw: bool,
    ) -> Plan:
        outer, channels, inner = shape
        t = tiles(outer, channels, inner, config.block)
        own, float32 = Pointer(dtype), Pointer(torch.float32)
        args: dict[str, Any] = {"x_ptr": own}
        if backward:
            args |= {"g_ptr": own, "w_ptr": float32, "dx_ptr": own, "dw_ptr": float32}
        else:
            args |= {"w_ptr": float32, "y_ptr": own}
        args |= {"outer": outer, "channels": channels, "inner": inner}
        args |= {"rows": t.rows, "columns": t.columns, "coefs": (tie_breaker(dtype),)}
        if backward:
            args |= {"FN": op.slopes, "NEED_DX": True, "NEED_DW": need_dw}
        else:
            args["FN"] = op.fn
        args |= dict(zip(("MODE", "ROWS", "LANES"), (t.mode, *t.tile), strict=True))
        kernel = _kernels.channel_backward if backward else _kernels.channel_forward
        return Plan(kernel, args, config.num_warps, math.prod(t.tile))

    variants = []
    for layout, shape in _LAYOUTS.items():
        dims = Dims("small" if layout == "inner49" else layout)
        for name, backward, need_dw in (
            ("per_channel", False, False),
            ("per_channel", True, True),
            ("per_channel_fixed", True, False),
        ):
            launch = partial(plan, shape=shape, backward=backward, need_dw=need_dw)
            direction = "backward" if backward else "forward"
            tensors = 3 if backward else 2
            bench = None if backward else partial(_bench.rows, op, dims.layout)
            variants.append(Variant(name, direction, layout, tensors, launch, dims, bench))
    rules = {("forward", layout): _ROWS for layout in ROW_LAYOUTS}
    rules |= {("backward", layout): _SUMS for layout in ROW_LAYOUTS}
    return OpSpec(op.name, tuple(variants), rules)
