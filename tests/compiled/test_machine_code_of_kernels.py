"""Machine code of the kernels against what they promise."""

from functools import cache

import pytest
import torch
from support.counts import all_counted, default_kernel

import triton_acts
from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY

BFLOAT16 = torch.bfloat16
POINTWISE = [op for op in REGISTRY if op != "kaf"]  # whose own file is test_kaf_machine_code
VARIANTS = [(op, v) for op in POINTWISE for v in REGISTRY[op].variants]


def compiled_kernel(job):
    """A plan and its kernel with the default block."""
    op, variant, dtype, arch = job
    plan = variant.plan(dtype, default_config(op, variant, dtype, arch))
    return plan, compile_plan(plan, arch)


@cache
def all_counts():
    """Counts for sm_90 in bfloat16 by (op, variant, direction, layout)."""
    found = all_counted(default_kernel(op, v, BFLOAT16, "sm_90") for op, v in VARIANTS)
    keys = [(op, v.name, v.direction, v.layout) for op, v in VARIANTS]
    return dict(zip(keys, (f.counts for f in found), strict=True))


def ids(pair):
    op, v = pair
    return f"{op}-{v.name}-{v.direction}-{v.layout}"


@pytest.mark.parametrize("op", POINTWISE)
def test_instructions_of_the_scalar_kernels(op):
    assert all_counts()[op, "scalar", "forward", "flat"].instr_per_elt <= 26
    assert all_counts()[op, "scalar", "backward", "flat"].instr_per_elt <= 24


CHANNELS = [p for p in VARIANTS if p[1].name.startswith("per_channel")]
NO_WEIGHT_GRADIENT = [
    p for p in CHANNELS if p[1].direction == "forward" or p[1].name == "per_channel_fixed"
]


@pytest.mark.parametrize("pair", NO_WEIGHT_GRADIENT, ids=ids)
def test_a_weight_a_channel_costs_six_instructions_at_most(pair):
    op, v = pair
    scalar = all_counts()[op, "scalar", v.direction, "flat"].instr_per_elt
    assert all_counts()[op, v.name, v.direction, v.layout].instr_per_elt <= scalar + 6


@pytest.mark.parametrize("layout", ["shared", "inner1", "innerN", "inner49"])
def test_the_weights_gradient_is_a_second_function(layout):
    """Its tanh shares the slope's exponential and still needs 14 instructions."""
    scalar = all_counts()["penalized_tanh", "scalar", "backward", "flat"].instr_per_elt
    both = all_counts()["penalized_tanh", "per_channel", "backward", layout].instr_per_elt
    assert both <= scalar + 15


@pytest.mark.parametrize("pair", VARIANTS, ids=ids)
def test_full_blocks_move_16_bytes_an_access(pair):
    op, v = pair
    counts = all_counts()[op, v.name, v.direction, v.layout]
    assert (counts.load_bytes, counts.store_bytes) == (16, 16)


SHIPPED = [p for p in VARIANTS if p[0] in triton_acts.__all__ and p[1].name != "save_output"]


@pytest.mark.parametrize("pair", SHIPPED, ids=ids)
def test_two_special_functions_an_element(pair):
    op, v = pair
    assert all_counts()[op, v.name, v.direction, v.layout].mufu_per_elt == 2


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_120"])
def test_the_slopes_keep_nan(arch):
    """A minimum that drops NaN passes in the interpreter, where every minimum keeps it."""
    for op, v in VARIANTS:
        if v.name == "scalar" and v.direction == "backward" and op in triton_acts.__all__:
            assert "min.NaN.f32" in compiled_kernel((op, v, BFLOAT16, arch))[1].asm["ptx"]
