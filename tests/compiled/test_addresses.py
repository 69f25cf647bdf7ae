"""Addresses are made of 64-bit integers in every kernel, and no kernel has atomics.

The battery runs the last programs, and repeats sums bit by bit.
"""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import triton
import triton.language as tl

from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY, Plan, Pointer

# One of each way to see a tensor; a dictionary's size and what is needed change no address.
FAMILIES = {
    (v.direction, v.layout, op if op == "kaf" else len(v.name.split("_"))): (op, v)
    for op in REGISTRY
    for v in REGISTRY[op].variants
    if not v.name.startswith(("d64", "nodes"))
}


@pytest.mark.parametrize(("op", "variant"), FAMILIES.values(), ids=map(str, FAMILIES))
def test_program_and_row_are_multiplied_in_64_bits(op, variant):
    """No 32-bit product or sum is widened: it would already have lost what is beyond 2^31."""
    config = default_config(op, variant, torch.bfloat16, "sm_90")
    text = compile_plan(variant.plan(torch.bfloat16, config), "sm_90").asm["ttir"]
    defined = dict(re.findall(r"^\s*(%\w+) = ([\w.]+)", text, re.M))
    widened = re.findall(r"arith\.extsi (%\w+) :", text)
    assert widened
    for name in widened:
        assert defined.get(name) not in ("arith.muli", "arith.addi", "arith.shli", "arith.subi")


EVERY = [(op, v) for op in REGISTRY for v in REGISTRY[op].variants]


def atomics(text):
    """Atomic instructions of Triton's first stage, or of PTX."""
    return re.findall(r"\btt\.atomic\w*|\b(?:atom|red)\.\w+", text)


def test_no_variant_has_atomics():
    """Their order, and with it a sum's last bits, would differ from run to run."""

    def found(pair):
        op, v = pair
        config = default_config(op, v, torch.bfloat16, "sm_90")
        code = compile_plan(v.plan(torch.bfloat16, config), "sm_90").asm
        assert "st.global" in code["ptx"]
        return atomics(code["ttir"]) + atomics(code["ptx"])

    with ThreadPoolExecutor() as pool:
        assert not any(pool.map(found, EVERY))


@triton.jit
def adding(y_ptr, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.atomic_add(y_ptr + offsets % 2, 1.0)


def test_atomics_would_be_seen():
    plan = Plan(adding, {"y_ptr": Pointer(torch.float32), "BLOCK": 128}, 4, 128)
    code = compile_plan(plan, "sm_90").asm
    assert atomics(code["ttir"])
    assert atomics(code["ptx"])
