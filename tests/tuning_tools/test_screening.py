"""The static filter, and what is compiled for it."""

import pytest
import torch

import triton_acts
from triton_acts.tuning import screening
from triton_acts.tuning.config import Config
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.registry import REGISTRY
from triton_acts.tuning.screening import compiled_counts, screen

assert triton_acts  # its import fills the registry
DEFAULT = Config(8, 4)  # 1024 elements a program
OTHER = Config(16, 4)
LARGE = 1 << 24


def counts(load=16, spills=0):
    return Counts(3.0, 1.0, 2.0, load, 16, 16, 32, spills)


def dropped(other, default=None, config=OTHER, numel=LARGE, sm_count=132, aligned=True):
    """Why a candidate is dropped beside a default."""
    known = {DEFAULT: default or counts(), config: other}
    kept, found = screen((DEFAULT, config), DEFAULT, known, numel, sm_count, aligned)
    assert (kept.config, kept.dropped, found.config) == (DEFAULT, "", config)
    assert found.counts == (other if isinstance(other, Counts) else None)
    return found.dropped


def test_nothing_is_dropped_without_a_reason():
    assert dropped(counts()) == ""


def test_what_spills_is_dropped():
    assert dropped(counts(spills=8)) == "spills 8 bytes a thread"


def test_what_loads_narrowly_is_dropped():
    assert dropped(counts(load=8)) == "loads 8 bytes at a time, not 16"
    assert dropped(counts(load=16), counts(load=32)) == ""


def test_narrow_is_measured_by_the_default_where_that_is_narrow():
    assert dropped(counts(load=8), counts(load=8)) == ""
    assert dropped(counts(load=4), counts(load=8)) == "loads 4 bytes at a time, not 8"


def test_misaligned_all_load_narrowly():
    assert dropped(counts(load=2), aligned=False) == ""
    assert dropped(counts(load=2, spills=4), aligned=False) == "spills 4 bytes a thread"


def test_what_does_not_compile_is_dropped_and_what_cannot_be_read_is_not():
    assert dropped("does not compile: X: y") == "does not compile: X: y"
    assert dropped(None) == ""
    assert dropped(counts(load=4), default=counts(load=16)) != ""
    known = {DEFAULT: None, OTHER: counts(load=4)}
    assert [s.dropped for s in screen(tuple(known), DEFAULT, known, LARGE, 1, True)] == ["", ""]


@pytest.mark.parametrize("fault", ["does not compile: X: y", counts(spills=64), counts(load=1)])
def test_the_default_is_never_dropped(fault):
    known = {DEFAULT: fault, OTHER: counts()}
    for numel in (1, 1 << 12, LARGE):
        assert screen((OTHER, DEFAULT), DEFAULT, known, numel, 132, True)[1].dropped == ""


FILLING = 132 * 1024  # elements of which the default makes 132 programs


@pytest.mark.parametrize(
    ("numel", "expected"),
    [
        (FILLING, "fills 66 of 132 multiprocessors"),
        (FILLING - 1023, "fills 66 of 132 multiprocessors"),  # the last program is not full
        (FILLING - 1024, ""),  # the default fills 131
        (2 * FILLING, ""),
        (2 * FILLING - 2048, "fills 131 of 132 multiprocessors"),
        (1, ""),
    ],
)
def test_what_cannot_fill_the_machine_is_dropped_if_another_can(numel, expected):
    assert dropped(counts(), numel=numel) == expected


def test_tiles_ahead_count_as_elements():
    ahead = Config(8, 4, 2)
    assert dropped(counts(), config=ahead, numel=FILLING) == "fills 66 of 132 multiprocessors"


def test_a_default_that_cannot_fill_the_machine_stays_beside_one_that_can():
    small = Config(8, 1)
    assert dropped(counts(), config=small, numel=FILLING // 4) == ""


def test_what_is_dropped_anyway_fills_no_machine():
    """Of three, the one with enough programs spills: then all are too few alike."""
    small, large = Config(8, 1), Config(16, 8)
    known = {DEFAULT: counts(), small: counts(spills=4), large: counts()}
    found = screen(tuple(known), DEFAULT, known, FILLING // 4, 132, True)
    assert [s.dropped for s in found] == ["", "spills 4 bytes a thread", ""]


@pytest.fixture
def compiled(monkeypatch):
    """Plans that were compiled; the first attribute that a test sets says how it goes."""
    seen = []

    def compile_plan(plan, arch):
        seen.append((plan.elements, plan.num_warps, arch))
        if plan.num_warps == 8:
            raise ValueError("no\nway")
        return plan

    def count(found, plan):
        assert found is plan
        if plan.num_warps == 1:
            raise RuntimeError("cuobjdump printed nothing")
        return counts(load=plan.elements)

    monkeypatch.setattr(screening, "compile_plan", compile_plan)
    monkeypatch.setattr(screening, "count", count)
    return seen


def variant_of(op, direction, layout, name):
    return next(
        v
        for v in REGISTRY[op].variants
        if (v.direction, v.layout, v.name) == (direction, layout, name)
    )


def test_one_kernel_stands_for_all_numbers_of_warps(compiled):
    variant = variant_of("scaled_sigmoid", "forward", "flat", "scalar")
    configs = (Config(8, 4), Config(8, 8), Config(16, 4), Config(8, 2))
    found = compiled_counts(variant, torch.bfloat16, "sm_90", configs)
    assert sorted(compiled) == [(1024, 4, "sm_90"), (2048, 4, "sm_90")]
    assert list(found) == list(configs)
    assert [known.load_bytes for known in found.values()] == [1024, 1024, 2048, 1024]


def test_a_tile_that_more_threads_share_is_compiled_again(compiled):
    variant = variant_of("kaf", "backward", "inner1", "d20")
    configs = (Config(2, 4, 2), Config(4, 2, 2), Config(1, 8, 2), Config(2, 4, 4))
    found = compiled_counts(variant, torch.bfloat16, "sm_90", configs)
    assert sorted(warps for _, warps, _ in compiled) == [2, 4, 4, 8]
    assert found[Config(1, 8, 2)] == "does not compile: ValueError: no"


def test_unreadable_machine_code_is_unknown_not_a_fault(compiled):
    variant = variant_of("scaled_sigmoid", "forward", "flat", "scalar")
    found = compiled_counts(variant, torch.bfloat16, "sm_90", [Config(8, 1)])
    assert found == {Config(8, 1): None}
