"""KAF's kernel variants, for static inspection and tuning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch

from triton_acts._tiling import THREADS
from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import OpSpec, Plan, Pointer, Variant

from . import _kernels
from ._basis import Basis, basis
from ._composite import Nodes
from ._gridding import Grid
from ._kernel_road import form
from ._tiles import tiles

__all__ = ["kaf_spec"]

# One example shape [outer, channels, inner] for each way the kernels see a tensor.
_LAYOUTS = {
    "inner1": (65536, 512, 1),
    "innerN": (64, 64, 56 * 56),
    "inner49": (256, 512, 7 * 7),
    "shared": (1, 1, 2**24 + 1),
}


def _grid(num_nodes: int) -> Grid:
    """[-3, 3] with the paper's bandwidth."""
    delta = 6.0 / (num_nodes - 1)
    return Grid(-3.0, 3.0, num_nodes, 1 / (6 * delta * delta))


def kaf_spec() -> OpSpec:
    """With 20 nodes in every layout, with 64 nodes and with free nodes in the two main ones."""
    return OpSpec("kaf", tuple(_variants()))


def _variants() -> Iterator[Variant]:
    free = Nodes(torch.empty(20, device="meta"), 1.0)
    for name, found, layouts in (
        ("d20", basis(_grid(20)), tuple(_LAYOUTS)),
        ("d64", basis(_grid(64)), ("inner1", "innerN")),
        ("nodes20", basis(free), ("inner1", "innerN")),
    ):
        for layout in layouts:
            plan = partial(_plan, basis=found, shape=_LAYOUTS[layout])
            yield Variant(name, "forward", layout, 2, partial(plan, made=None))
            yield Variant(name, "backward", layout, 3, partial(plan, made=(True, True)))
            if name == "d20":
                fixed = partial(plan, made=(True, False))
                yield Variant(f"{name}_fixed", "backward", layout, 3, fixed)


def _plan(
    dtype: torch.dtype,
    config: Config,
    basis: Basis,
    shape: tuple[int, int, int],
    made: tuple[bool, bool] | None,
) -> Plan:
    """A launch; `made` says whether a backward makes dx and sums, None is a forward."""
    b = basis
    backward = made is not None
    t = tiles(*shape, b.elements(backward), backward)
    own, float32 = Pointer(dtype), Pointer(torch.float32)
    integers = {
        "numel": math.prod(shape),
        "outer": t.outer,
        "whole_rows": t.whole_rows,
        "channels": t.width,
        "inner": t.inner,
        "rows": t.rows,
        "columns": t.columns,
        "w_stride": t.padded,
    }
    tail = {"FORM": form(b, t, backward), "ROWS": t.tile[0], "LANES": t.tile[1], "UNROLL": t.unroll}
    inputs = {"w_ptr": float32, "points_ptr": float32}
    if made is None:
        args = {"x_ptr": own, **inputs, "y_ptr": own, **integers, "groups": b.groups}
        args |= {"coefs": b.coefs, "VALUE": b.value, **tail}
    else:
        groups = b.own if made[1] else b.groups * b.kept(True)
        args = {"x_ptr": own, "g_ptr": own, **inputs, "dx_ptr": own, "sums_ptr": float32}
        args |= {**integers, "first_group": 0, "groups": b.groups, "coefs": b.coefs}
        args |= {"GRADIENTS": b.gradients, "PASS": (*made, groups), **tail}
    kernel = _kernels.forward if made is None else _kernels.backward
    return Plan(kernel, args, THREADS // config.warp_size, math.prod(t.tile) * t.unroll)
