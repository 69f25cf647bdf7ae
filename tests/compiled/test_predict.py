"""The performance model against numbers worked out by hand."""

import dataclasses

import pytest

from triton_acts import gpus
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.predict import LAUNCH_S, occupancy_factor, predict, resident_warps

GPUS = {gpu.slug: gpu for gpu in gpus.table()}
H200, A100, L4, MI300X = (GPUS[s] for s in ("h200", "a100-40gb-sxm", "l4", "mi300x"))
COUNTS = Counts(
    instr_per_elt=24.0,
    mufu_per_elt=2.0,
    fp32_per_elt=14.0,
    load_bytes=16,
    store_bytes=16,
    thread_load_bytes=16,
    regs=32,
    spill_bytes=0,
)
NUMEL = 2**26


def with_counts(**changes):
    return dataclasses.replace(COUNTS, **changes)


def test_dram_bound():
    """2 x 4 bytes an element at 4800 GB/s."""
    found = predict(H200, COUNTS, 8 * NUMEL, NUMEL, 4)
    assert found.bound == "dram"
    assert found.ms == pytest.approx(8 * NUMEL / 4800e9 * 1e3)
    assert found.gbs == pytest.approx(4800)
    assert found.share == pytest.approx(1)


def test_issue_bound():
    """60 instructions at 132 x 1.98e9 x 128 lanes a second outlast 4 bytes at 4800 GB/s."""
    found = predict(H200, with_counts(instr_per_elt=60.0), 4 * NUMEL, NUMEL, 4)
    assert found.bound == "issue"
    assert found.ms == pytest.approx(60 * NUMEL / (132 * 1.98e9 * 128) * 1e3)
    assert found.gbs == pytest.approx(4 * 132 * 1.98 * 128 / 60)
    assert found.share == pytest.approx(found.gbs / 4800)


def test_mufu_bound():
    """8 special functions at 16 lanes take longer than 24 instructions at 128."""
    found = predict(H200, with_counts(mufu_per_elt=8.0), 4 * NUMEL, NUMEL, 4)
    assert found.bound == "mufu"
    assert found.ms == pytest.approx(8 * NUMEL / (132 * 1.98e9 * 16) * 1e3)


def test_launch_bound():
    """An element cannot take less than a launch: 3 us."""
    found = predict(H200, COUNTS, 8, 1, 4)
    assert found.bound == "launch"
    assert found.ms == LAUNCH_S * 1e3 == 3e-3
    assert found.gbs == pytest.approx(8 / 3e-6 / 1e9)


@pytest.mark.parametrize(
    ("gpu", "regs", "num_warps", "warps"),
    [
        (H200, 32, 4, 64),  # 65,536 registers hold 64 warps of 32 x 32
        (H200, 33, 4, 48),  # 40 a thread: 51 warps, in whole programs of 4
        (H200, 64, 4, 32),
        (H200, 255, 4, 8),
        (H200, 255, 16, 16),  # a program that launches at all is resident
        (L4, 16, 4, 48),  # as many as the multiprocessor takes
        (MI300X, 64, 4, 32),  # 131,072 registers hold 32 waves of 64 x 64
        (MI300X, 128, 4, 16),
    ],
)
def test_resident_warps(gpu, regs, num_warps, warps):
    assert resident_warps(gpu, regs, num_warps) == warps


def test_occupancy_slows_down_what_keeps_too_little_in_flight():
    """8 warps of 32 lanes with 16 bytes on 132 multiprocessors, of the 3.36 MB that 700 ns need."""
    few = with_counts(regs=255)
    factor = 8 * 32 * 16 * 132 / (700e-9 * 4800e9)
    assert factor < 1
    assert occupancy_factor(H200, few, 4) == pytest.approx(factor)
    slow = predict(H200, few, 8 * NUMEL, NUMEL, 4)
    fast = predict(H200, COUNTS, 8 * NUMEL, NUMEL, 4)
    assert slow.ms == pytest.approx(fast.ms / factor)
    assert occupancy_factor(H200, with_counts(regs=255, thread_load_bytes=32), 4) == pytest.approx(
        2 * factor
    )


def test_occupancy_never_speeds_up():
    """An A100 needs 1.09 MB in flight and has 3.5 MB."""
    assert occupancy_factor(A100, COUNTS, 4) == 1


@pytest.mark.parametrize("name", ["num_bytes", "numel", "num_warps"])
def test_sizes_below_one_are_refused(name):
    sizes = {"num_bytes": 8, "numel": 1, "num_warps": 4, name: 0}
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        predict(H200, COUNTS, **sizes)


@pytest.mark.parametrize("gpu", gpus.table(), ids=lambda gpu: gpu.slug)
def test_every_gpu_of_the_table(gpu):
    found = predict(gpu, COUNTS, 4 * NUMEL, NUMEL, 4)
    assert found.bound in ("dram", "issue", "mufu")
    assert 0 < found.share <= 1 + 1e-9
    assert found.gbs * found.ms == pytest.approx(4 * NUMEL / 1e6)
