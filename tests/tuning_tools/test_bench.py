"""Scratch tensors of every bench, at sizes that no kernel is run on here."""

import math

import pytest
import torch

import triton_acts
from triton_acts import gpus
from triton_acts.dictionary import _bench as dictionary
from triton_acts.pointwise import _bench as pointwise
from triton_acts.tuning.bench import ends, reversed_copy, rows_of, scratch
from triton_acts.tuning.keys import layout_of
from triton_acts.tuning.registry import REGISTRY

assert triton_acts  # its import fills the registry
CPU = torch.device("cpu")
TUNED = [
    (op, variant) for op, spec in REGISTRY.items() for variant in spec.variants if variant.bench
]


@pytest.fixture(autouse=True)
def rate(monkeypatch):
    identity = gpus.classify("NVIDIA H200", "sm_90", 132, 140)
    monkeypatch.setattr(gpus, "identify", lambda device=None: identity)


@pytest.mark.parametrize("octave", [12, 16, 20, 24, 28])
@pytest.mark.parametrize("layout", ["inner1", "innerN", "small", "shared"])
def test_rows_have_the_layout_and_about_the_size(layout, octave):
    outer, channels, inner = rows_of(layout, 1 << octave)
    assert layout_of(channels, inner) == layout
    numel = outer * channels * inner
    assert round(math.log2(numel)) == octave, "promotion files it under that size"
    assert numel <= 1 << octave


@pytest.mark.parametrize("shape", [(1, 1, 1000), (7, 3, 50), (1, 3, 500), (2, 64, 1)])
def test_ends_are_the_first_and_the_last(shape):
    x = torch.arange(1500)[: torch.Size(shape).numel()].view(shape)
    for count in (1, 100, 5000):
        first, last = (x[part] for part in ends(shape, count))
        assert first.view(-1)[0] == 0
        assert last.reshape(-1)[-1] == x.numel() - 1
        assert first.shape == last.shape
        assert first.numel() <= max(count, shape[1] * shape[2] if shape[:2] != (1, 1) else 1)
        assert first.numel() >= min(count, x.numel()) // 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_scratch_is_the_same_every_time_and_aligned_or_not(dtype):
    for aligned in (True, False):
        x = scratch((3, 5, 7), dtype, aligned, CPU)
        assert torch.equal(x, scratch((3, 5, 7), dtype, aligned, CPU))
        assert (x.data_ptr() % 16 == 0) == aligned
        assert (x.shape, x.dtype, x.is_contiguous()) == ((3, 5, 7), dtype, True)
        g = reversed_copy(x, aligned)
        assert (g.data_ptr() % 16 == 0) == aligned
        assert torch.equal(g.view(-1), x.view(-1).flip(0))
        assert g.data_ptr() != x.data_ptr()


@pytest.mark.parametrize(
    "tuned", TUNED, ids=lambda t: f"{t[0]}-{t[1].name}-{t[1].direction}-{t[1].layout}"
)
@torch.no_grad()
def test_a_sample_is_small_however_large_the_tensors(tuned, monkeypatch):
    """Float64 over 2^28 elements and 20 nodes would take 43 GB."""
    for module in (pointwise, dictionary):
        monkeypatch.setattr(module, "_SAMPLE", 1 << 10)
    _, variant = tuned
    bench = variant.bench(torch.bfloat16, 1 << 16, True, CPU)
    y = bench.outputs[0].zero_()
    pairs = list(bench.sample())
    assert len(pairs) == 2
    row = 1 if variant.layout in ("flat", "shared") else y[0].numel()
    for found, expected in pairs:
        assert found.shape == expected.shape
        assert 1 << 10 <= found.numel() <= max(1 << 10, row)
        assert found.numel() < y.numel()
        assert expected.dtype is torch.float64
    first, last = (found for found, _ in pairs)
    first.fill_(1.0)
    last.fill_(2.0)
    assert (y.view(-1)[0], y.view(-1)[-1]) == (1.0, 2.0), "the two ends of what it writes"
