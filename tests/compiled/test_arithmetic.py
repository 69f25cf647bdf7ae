"""A config changes speed and never a bit: every candidate costs the same arithmetic.

On a GPU the results are compared; here what computes them is counted.
"""

import math
from collections import defaultdict
from functools import cache

import pytest
import torch
from support.counts import all_counted

import triton_acts
from triton_acts.tuning import golden
from triton_acts.tuning.inspect import default_config, hardware_of_arch
from triton_acts.tuning.registry import REGISTRY, RULES

BFLOAT16 = torch.bfloat16
ARITHMETIC = ("FFMA", "FMUL", "FADD", "MUFU")
# Elsewhere some instructions handle two elements, and on sm_86 and sm_89 some FADD only negate.
ONE_BY_ONE = ("sm_75", "sm_80", "sm_90")

# ptxas squares the same number again where it has no register to keep the square in: 33 FMUL an
# element with 1 element a thread and 32 with 2, of them 28 with different operands in both, which
# is also what sm_80 has.
SQUARES_AGAIN = {("kaf", "d64", "backward", "inner1", "sm_90")}

TUNED = [
    (op, variant)
    for op in REGISTRY
    if op in triton_acts.__all__
    for variant in REGISTRY[op].variants
    if variant.bench is not None
]
WARPS = [  # one variant of each kernel; those of KAF's backward differ in nothing else
    (op, v)
    for op, v in TUNED
    if (op, v.name, v.direction, v.layout)
    in {
        ("scaled_sigmoid", "scalar", "forward", "flat"),
        ("scaled_sigmoid", "scalar", "backward", "flat"),
        ("penalized_tanh", "per_channel", "forward", "inner1"),
        ("kaf", "d20", "forward", "inner1"),
    }
]


def ids(pair):
    op, v = pair
    return f"{op}-{v.name}-{v.direction}-{v.layout}"


def remainders(pairs):
    """What is left of (count an element, elements) beyond a whole number for each element.

    A program without a loop also computes a few numbers once a thread.
    """
    pairs = list(pairs)
    whole = math.floor(min(count for count, _ in pairs))
    return [(count - whole) * elements for count, elements in pairs]


def test_remainders():
    """8 for each element and one a thread; half an instruction more for some of them."""
    assert set(remainders([(8.125, 8), (8.0625, 16)])) == {1}
    assert len(set(remainders([(8.0, 8), (8.5, 16)]))) == 2


@cache
def kernels(op, variant, arch):
    """The variant's candidates, one for each tile, as the golden table has them."""
    return [
        kernel
        for kernel in golden.kernels([arch], [op])
        if kernel.variant is variant and kernel.dtype == BFLOAT16
    ]


def check(kernels):
    found = [counted.opcodes for counted in all_counted(kernels)]
    key = kernels[0].key
    for name in ARITHMETIC:
        if name == "FMUL" and (*key[:4], key.arch) in SQUARES_AGAIN:
            continue
        sizes = [kernel.config.elements_per_thread for kernel in kernels]
        counts = [opcodes.get(name, 0.0) for opcodes in found]
        left = remainders(zip(counts, sizes, strict=True))
        assert len(set(left)) == 1, f"{name} an element {counts} for {sizes} elements a thread"
    assert sum(found[0].get(name, 0) for name in ARITHMETIC) >= 10


@pytest.mark.parametrize("pair", TUNED, ids=ids)
def test_tiles_on_sm_90(pair):
    """The smallest, the largest and one between; the golden table has them all."""

    def size(kernel):
        return (kernel.config.elements_per_thread * kernel.config.unroll, kernel.config.num_warps)

    ordered = sorted(kernels(*pair, "sm_90"), key=size)
    check([ordered[0], ordered[len(ordered) // 2], ordered[-1]])


@pytest.mark.parametrize("pair", WARPS, ids=ids)
def test_fewest_and_most_warps(pair):
    op, variant = pair
    arch = "sm_90"
    default = default_config(op, variant, BFLOAT16, arch)
    rule = RULES[op, variant.direction, variant.dims.layout]
    same = [
        golden.Kernel(op, variant, BFLOAT16, arch, config)
        for config in rule.candidates(BFLOAT16, hardware_of_arch(arch), variant.dims)
        if (config.elements_per_thread, config.unroll)
        == (default.elements_per_thread, default.unroll)
    ]
    same.sort(key=lambda kernel: kernel.config.num_warps)
    assert same[0].config.num_warps < same[-1].config.num_warps
    check([golden.Kernel(op, variant, BFLOAT16, arch, default), same[0], same[-1]])


def test_the_golden_table_agrees():
    """Special functions on all architectures, float32 instructions on three, in all dtypes."""
    groups = defaultdict(list)
    for entry in golden.read(golden.default_file()):
        groups[entry.key[:6]].append(entry)
    wrong = []
    for key, entries in groups.items():
        names = ["mufu_per_elt"]
        if key[5] in ONE_BY_ONE and (*key[:4], key[5]) not in SQUARES_AGAIN:
            names.append("fp32_per_elt")
        for name in names:
            pairs = [(getattr(e.counts, name), e.elements_per_thread) for e in entries]
            left = remainders(pairs)
            if max(left) - min(left) > 1e-4 * max(size for _, size in pairs):  # as they are rounded
                wrong.append((" ".join(key), name, pairs))
    assert not wrong[:5]
