"""KAF's kernel variants, for static inspection and tuning: examples of every form and layout."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch

from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import Dims, OpSpec, Plan, Pointer, Variant

from . import _bench, _kernels
from ._basis import Basis, basis
from ._composite import Dictionary, Nodes
from ._gridding import Grid
from ._kernel_road import form
from ._rules import RULES
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
    return OpSpec("kaf", tuple(_variants()), RULES)


def _variants() -> Iterator[Variant]:
    dictionaries: tuple[tuple[str, int, Dictionary, tuple[str, ...]], ...] = (
        ("d20", 20, _grid(20), tuple(_LAYOUTS)),
        ("d64", 64, _grid(64), ("inner1", "innerN")),
        ("nodes20", 20, Nodes(torch.empty(20, device="meta"), 1.0), ("inner1", "innerN")),
    )
    for name, num_nodes, dictionary, layouts in dictionaries:
        for layout in layouts:
            dims = Dims(
                "small" if layout == "inner49" else layout,
                num_nodes,
                isinstance(dictionary, Nodes),
            )
            plan = partial(_plan, basis=basis(dictionary), shape=_LAYOUTS[layout])
            bench = partial(_bench.rows, dictionary, num_nodes, dims)
            forward = partial(plan, made=None)
            yield Variant(name, "forward", layout, 2, forward, dims, bench)
            backward = partial(plan, made=(True, True))
            yield Variant(name, "backward", layout, 3, backward, dims)
            if name == "d20":
                fixed = partial(plan, made=(True, False))
                yield Variant(f"{name}_fixed", "backward", layout, 3, fixed, dims)


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
    t = tiles(*shape, config.block, config.unroll, backward)
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
    return Plan(kernel, args, config.num_warps, math.prod(t.tile) * t.unroll)
