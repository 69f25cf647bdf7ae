"""The sweep over bit patterns, in small pieces, on the CPU."""

import dataclasses
import struct
from itertools import pairwise

import pytest
import torch

from perf.ops import ops
from perf.sweep import binades, limit, sweep_range, ulp

CPU = torch.device("cpu")
OPS = {op.name: op for op in ops() if op.variant == "scalar"}


def bits(value: float) -> int:
    return struct.unpack("<I", struct.pack("<f", value))[0]


def wrong(change):
    """Scaled sigmoid whose result is changed by `change(x, y)`."""
    op = OPS["scaled_sigmoid"]
    return dataclasses.replace(op, ours=lambda x: change(x, op.ours(x)))


def test_the_binades_are_all_bit_patterns():
    ranges = list(binades())
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 2**32
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert len(ranges) == 512


@pytest.mark.parametrize("name", sorted(OPS))
@pytest.mark.parametrize("direction", ["forward", "derivative"])
@pytest.mark.parametrize("start", [0.25, -0.5, 1.0, -1.0, 0.0])
def test_the_composite_is_within_the_kernels_limit(name, direction, start):
    first = bits(start)
    worst = sweep_range(OPS[name], direction, first, first + 4096, CPU)
    assert worst.inputs == 4096
    assert worst.failures == 0
    assert worst.max_ulp <= limit(direction, worst.exponent)
    assert worst.sign == ("-" if start < 0 else "+")
    if start:
        assert 2.0**worst.exponent == abs(start)


def test_an_error_of_known_size_is_found_where_it_is():
    at = torch.tensor(1.5)

    def three_off(x, y):
        up = y
        for _ in range(3):
            up = torch.nextafter(up, torch.full_like(y, 9.0))
        return torch.where(x == at, up, y)

    first = bits(1.5) - 100
    right = sweep_range(OPS["scaled_sigmoid"], "forward", first, first + 200, CPU)
    off = sweep_range(wrong(three_off), "forward", first, first + 200, CPU)
    assert right.max_ulp < 2
    assert 2 < off.max_ulp < 5
    assert float.fromhex(off.worst_input) == 1.5


def test_ulp_of_normals_subnormals_and_zero():
    values = torch.tensor([1.0, 1.99, 2.0, 0.5, 2.0**-126, 2.0**-140, 0.0], dtype=torch.float64)
    expected = [2.0**-23, 2.0**-23, 2.0**-22, 2.0**-24, 2.0**-149, 2.0**-149, 2.0**-149]
    assert ulp(values).tolist() == expected


def test_the_rule_for_results_below_two_to_the_minus_123():
    subnormal = bits(2.0**-130)
    flushed = wrong(lambda _x, y: torch.zeros_like(y))
    passed = sweep_range(flushed, "forward", subnormal, subnormal + 64, CPU)
    assert (passed.failures, passed.max_ulp, passed.flushed) == (0, 0.0, 64)
    too_far = wrong(lambda _x, y: y + 2.0**-122)
    failed = sweep_range(too_far, "forward", subnormal, subnormal + 64, CPU)
    assert failed.failures == 64
    normal = bits(2.0**-120)
    lost = sweep_range(flushed, "forward", normal, normal + 64, CPU)
    assert lost.max_ulp >= 2**23


def test_infinity_and_nan():
    infinite = bits(float("inf"))
    found = sweep_range(OPS["penalized_tanh"], "forward", infinite, infinite + 64, CPU)
    assert (found.failures, found.max_ulp, found.exponent) == (0, 0.0, 128)
    dropped = wrong(lambda _x, y: torch.nan_to_num(y, nan=0.0))
    assert sweep_range(dropped, "forward", infinite, infinite + 64, CPU).failures == 63
    made_up = wrong(lambda _x, y: y * torch.nan)
    one = bits(1.0)
    assert sweep_range(made_up, "forward", one, one + 64, CPU).failures == 64


def test_wrong_ranges_are_refused():
    op = OPS["scaled_sigmoid"]
    for start, stop in ((5, 5), (2**23 - 1, 2**23 + 1), (2**32, 2**32 + 1)):
        with pytest.raises(ValueError, match="no range within one binade"):
            sweep_range(op, "forward", start, stop, CPU)
    with pytest.raises(ValueError, match="'backward'"):
        sweep_range(op, "backward", 0, 1, CPU)
