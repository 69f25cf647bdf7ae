"""What the compiler makes of KAF's kernels, beside the kernel that everybody writes first."""

from functools import cache

import pytest
import torch
import triton
import triton.language as tl
from support.counts import all_counted, default_kernel

from triton_acts.tuning import machine_code
from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY, Plan, Pointer

DTYPES = (torch.bfloat16, torch.float32)
VARIANTS = REGISTRY["kaf"].variants


@triton.jit
def naive(x_ptr, w_ptr, y_ptr, channels, bend, lo, delta, NODES: tl.constexpr, BLOCK: tl.constexpr):
    """A lane a channel, D exponentials an element: the comparison."""
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    for row in range(64):
        at = (tl.program_id(1) * 64 + row) * channels + column
        x = tl.load(x_ptr + at).to(tl.float32)
        y = tl.zeros_like(x)
        for j in tl.static_range(NODES):
            v = x - (lo + j * delta)
            w = tl.load(w_ptr + j * channels + column)
            y = tl.fma(w, tl.exp2(v * v * bend), y)
        tl.store(y_ptr + at, y.to(y_ptr.dtype.element_ty))


def plan_of(variant, dtype, arch):
    return variant.plan(dtype, default_config("kaf", variant, dtype, arch))


@cache
def all_counts():
    """Counts on sm_90 by (variant, direction, layout, dtype)."""
    jobs = [
        default_kernel("kaf", v, dtype, "sm_90")
        for v in VARIANTS
        for dtype in DTYPES
        if v.name.startswith("d20")
    ]
    keys = [(j.variant.name, j.variant.direction, j.variant.layout, j.dtype) for j in jobs]
    return dict(zip(keys, (f.counts for f in all_counted(jobs)), strict=True))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_forward(dtype):
    """35 instructions with a channel a program, 41 with a lane a channel; the naive kernel 107."""
    for layout, most, width in (("innerN", 35, 16), ("shared", 35, 16), ("inner1", 41, 8)):
        counts = all_counts()["d20", "forward", layout, dtype]
        assert counts.instr_per_elt <= most, layout
        assert counts.mufu_per_elt <= 3
        assert counts.load_bytes >= width  # a lane's; neighbours complete its sector
        assert counts.store_bytes >= width


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", ["inner1", "innerN", "shared"])
def test_backward(layout, dtype):
    counts = all_counts()["d20", "backward", layout, dtype]
    assert counts.instr_per_elt <= 100
    assert counts.mufu_per_elt <= 3
    assert counts.load_bytes >= 4
    fixed = all_counts()["d20_fixed", "backward", layout, dtype]
    assert fixed.instr_per_elt <= counts.instr_per_elt - 25  # no moments


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_small_planes(dtype):
    """Narrow accesses cost a fifth; a quarter of the lanes of a 7 x 7 plane idle besides."""
    counts = all_counts()
    for direction in ("forward", "backward"):
        small = counts["d20", direction, "inner49", dtype].instr_per_elt
        assert small <= 1.25 * counts["d20", direction, "innerN", dtype].instr_per_elt


def test_the_naive_kernel():
    """What this is measured against: 20 special functions an element."""
    own, float32 = Pointer(torch.bfloat16), Pointer(torch.float32)
    args = {"x_ptr": own, "w_ptr": float32, "y_ptr": own, "channels": 512}
    args |= {"bend": -2.4, "lo": -3.0, "delta": 0.3, "NODES": 20, "BLOCK": 512}
    plan = Plan(naive, args, 4, 512)
    counts = machine_code.count(compile_plan(plan, "sm_90"), plan)
    assert counts.mufu_per_elt == 20
    ours = all_counts()["d20", "forward", "inner1", torch.bfloat16]
    assert counts.instr_per_elt >= 3 * ours.instr_per_elt
