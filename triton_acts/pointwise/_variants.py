"""The kernel variants of pointwise ops, for static inspection and tuning."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from triton_acts._tiling import THREADS
from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import OpSpec, Plan, Pointer, Variant

from . import _kernels
from ._define import Pointwise, tie_breaker
from ._per_channel import PerChannel, tiles

__all__ = ["per_channel_spec", "pointwise_spec"]

# One example shape [outer, channels, inner] for each way the channel kernels see a tensor.
_LAYOUTS = {
    "shared": (1, 1, 2**24 + 1),
    "inner1": (8192, 512, 1),
    "innerN": (64, 64, 56 * 56),
    "inner49": (256, 512, 7 * 7),
}


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
            Variant("scalar", "forward", "flat", 2, forward),
            Variant("scalar", "backward", "flat", 3, partial(backward, slope=op.slope)),
            Variant(
                "save_output", "backward", "flat", 3, partial(backward, slope=op.slope_from_output)
            ),
        ),
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
        t = tiles(outer, channels, inner, dtype.itemsize)
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
        return Plan(kernel, args, THREADS // config.warp_size, math.prod(t.tile))

    variants = []
    for layout, shape in _LAYOUTS.items():
        for name, backward, need_dw in (
            ("per_channel", False, False),
            ("per_channel", True, True),
            ("per_channel_fixed", True, False),
        ):
            launch = partial(plan, shape=shape, backward=backward, need_dw=need_dw)
            direction = "backward" if backward else "forward"
            variants.append(Variant(name, direction, layout, 3 if backward else 2, launch))
    return OpSpec(op.name, tuple(variants))
