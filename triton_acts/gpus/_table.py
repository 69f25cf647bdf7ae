"""The constants table: what is known of each GPU."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import log

__all__ = ["GPU", "architectures", "constants", "nearest", "table"]


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
    with resources.files(__package__).joinpath("table.csv").open(encoding="utf-8") as file:
        return tuple(
            GPU(**{key: types[str(GPU.__annotations__[key])](value) for key, value in row.items()})
            for row in csv.DictReader(file)
        )


def architectures() -> tuple[str, ...]:
    """The architectures in the table, in its order."""
    return tuple(dict.fromkeys(gpu.arch for gpu in table()))


def constants(slug: str) -> GPU | None:
    """The row of the table with this slug; None for a part that is cut down or not in it."""
    return next((gpu for gpu in table() if gpu.slug == slug), None)


def nearest(arch: str, bytes_per_clock_sm: float, other_than: str = "") -> GPU | None:
    """The GPU of an architecture whose memory feeds its multiprocessors most alike.

    Args:
        arch: "sm_90", "gfx942", ...
        bytes_per_clock_sm: DRAM bytes a clock and multiprocessor, as `device_rate` says.
        other_than: a slug that is passed over.

    Returns:
        The row whose rate has the smallest ratio to the one given, above or below; None where the
        table has no GPU of this architecture or the rate is unknown (0).
    """
    if not bytes_per_clock_sm > 0:
        return None
    return min(
        (gpu for gpu in table() if gpu.arch == arch and gpu.slug != other_than),
        key=lambda gpu: abs(log(gpu.bytes_per_clock_sm / bytes_per_clock_sm)),
        default=None,
    )
