"""What the GPUs are: the constants table, and the rates of a device that is present."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

import torch

__all__ = ["GPU", "DeviceRate", "architectures", "device_rate", "table"]


@dataclass(frozen=True)
class GPU:
    """One row of `table.csv`. 'Multiprocessor' also stands for AMD's compute unit.

    Attributes:
        slug: the GPU's short name in files and on the command line.
        vendor: "nvidia" or "amd".
        arch: "sm_90", "gfx942", ...
        sm_count: multiprocessors.
        boost_ghz: clock in GHz.
        dram_gbs: DRAM bandwidth in GB/s (1e9 bytes).
        mem_gib: memory in GiB.
        l2_mib: L2 cache in MiB.
        llc_mib: last-level cache in MiB.
        fp32_lanes_per_clk_sm: float32 operations a clock and multiprocessor.
        mufu_per_clk_sm: special-function operations a clock and multiprocessor.
        warps_per_sm: resident warps.
        warp_size: lanes a warp.
        issue_lanes_per_clk_sm: lanes a clock that can issue on a multiprocessor.
        source: where the constants come from; 'recalled' ones are unverified.
    """

    slug: str
    vendor: str
    arch: str
    sm_count: int
    boost_ghz: float
    dram_gbs: float
    mem_gib: int
    l2_mib: int
    llc_mib: int
    fp32_lanes_per_clk_sm: int
    mufu_per_clk_sm: int
    warps_per_sm: int
    warp_size: int
    issue_lanes_per_clk_sm: int
    source: str

    @property
    def bytes_per_clock_sm(self) -> float:
        """DRAM bytes a clock and multiprocessor: decides how much each has to keep in flight."""
        return self.dram_gbs / (self.sm_count * self.boost_ghz)


@cache
def table() -> tuple[GPU, ...]:
    """All known GPUs, in the order of the file."""
    types = {"int": int, "float": float, "str": str}
    with resources.files(__name__).joinpath("table.csv").open(encoding="utf-8") as file:
        return tuple(
            GPU(**{key: types[str(GPU.__annotations__[key])](value) for key, value in row.items()})
            for row in csv.DictReader(file)
        )


def architectures() -> tuple[str, ...]:
    """The architectures in the table, in its order."""
    return tuple(dict.fromkeys(gpu.arch for gpu in table()))


@dataclass(frozen=True)
class DeviceRate:
    """What the analytic block-size rule needs to know of a device."""

    warp_size: int
    bytes_per_clock_sm: float


@cache
def device_rate(device: int) -> DeviceRate:
    """The rate of a GPU that is present, by its own properties (0 where they do not say)."""
    properties = torch.cuda.get_device_properties(device)
    memory_khz = getattr(properties, "memory_clock_rate", 0)
    bus_bits = getattr(properties, "memory_bus_width", 0)
    clock_khz = getattr(properties, "clock_rate", 0)
    if not (memory_khz and bus_bits and clock_khz):
        return DeviceRate(properties.warp_size, 0.0)
    bytes_per_ms = 2 * memory_khz * bus_bits / 8  # two transfers a memory clock
    rate = bytes_per_ms / (clock_khz * properties.multi_processor_count)
    return DeviceRate(properties.warp_size, rate)
