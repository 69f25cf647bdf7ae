"""The constants table and what the block-size rule reads off a device."""

from types import SimpleNamespace

import pytest
import torch

from triton_acts import gpus
from triton_acts.tuning.config import analytic

# What a column may hold. Famous code bases carry an L4 with an H100's bandwidth: an architecture's
# own bounds say no.
RANGES = {
    "sm_count": (20, 320),
    "boost_ghz": (1.0, 3.0),
    "dram_gbs": (250, 8500),
    "mem_gib": (15, 300),
    "l2_mib": (4, 160),
    "llc_mib": (4, 320),
    "mufu_per_clk_sm": (16, 32),
    "warps_per_sm": (32, 64),
    "bytes_per_clock_sm": (1.5, 35),
}
BANDWIDTH = {
    "sm_75": (300, 700),
    "sm_80": (1500, 2100),
    "sm_86": (500, 1100),
    "sm_89": (250, 1100),
    "sm_90": (2000, 4900),
    "sm_100": (7000, 8100),
    "sm_103": (7000, 8100),
    "sm_120": (250, 1900),
    "sm_121": (200, 400),
    "gfx90a": (1500, 1700),
    "gfx942": (5000, 6100),
    "gfx950": (7900, 8100),
}


@pytest.mark.parametrize("gpu", gpus.table(), ids=lambda gpu: gpu.slug)
def test_constants(gpu):
    for column, (low, high) in RANGES.items():
        assert low <= getattr(gpu, column) <= high, column
    low, high = BANDWIDTH[gpu.arch]
    assert low <= gpu.dram_gbs <= high
    assert gpu.vendor == ("nvidia" if gpu.arch.startswith("sm_") else "amd")
    assert gpu.warp_size == (32 if gpu.vendor == "nvidia" else 64)
    assert gpu.issue_lanes_per_clk_sm == (128 if gpu.vendor == "nvidia" else 64)
    assert gpu.fp32_lanes_per_clk_sm in (64, 128)
    assert gpu.llc_mib >= gpu.l2_mib


def test_slugs_are_unique():
    slugs = [gpu.slug for gpu in gpus.table()]
    assert len(set(slugs)) == len(slugs) == 23


def properties(memory_mhz, bus_bits, clock_mhz, sms, warp=32):
    """What torch.cuda.get_device_properties says."""
    return SimpleNamespace(
        memory_clock_rate=memory_mhz * 1000,
        memory_bus_width=bus_bits,
        clock_rate=clock_mhz * 1000,
        multi_processor_count=sms,
        warp_size=warp,
    )


@pytest.mark.parametrize(
    ("device", "rate", "elements"),
    [
        (properties(3201, 6144, 1980, 132), 18.8, 8),  # H200
        (properties(2619, 5120, 1980, 132), 12.8, 8),  # H100
        (properties(3996, 7680, 1965, 148), 26.4, 16),  # B200: two accesses a thread
        (properties(2600, 8192, 2100, 304, warp=64), 8.3, 8),  # MI300X
        (SimpleNamespace(warp_size=32), 0.0, 8),  # properties that do not say
        (properties(0, 0, 0, 10), 0.0, 8),
    ],
    ids=["h200", "h100", "b200", "mi300x", "silent", "zero"],
)
def test_device_rate(device, rate, elements, monkeypatch):
    """Bytes a clock and multiprocessor from clocks and bus, and the block that follows."""
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: device)
    found = gpus.device_rate.__wrapped__(0)
    assert found.warp_size == device.warp_size
    assert found.bytes_per_clock_sm == pytest.approx(rate, abs=0.2)
    config = analytic(2, found.warp_size, found.bytes_per_clock_sm)
    assert config.elements_per_thread == elements
    assert config.block == elements * 4 * device.warp_size
