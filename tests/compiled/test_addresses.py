"""Addresses are made of 64-bit integers in every kernel; the battery runs the last programs."""

import re

import pytest
import torch

from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY

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
