"""What a kernel is launched with, beside its arguments: a config changes speed, never a bit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

__all__ = ["MAX_BLOCK", "MAX_THREADS", "Config", "analytic", "describe"]

MAX_THREADS = 1024  # a program's threads, on every GPU
MAX_BLOCK = 1 << 20  # elements of a tile, what Triton allows


@dataclass(frozen=True)
class Config:
    """How many elements a thread handles and how many warps a program has.

    Attributes:
        elements_per_thread: elements of a tile that a thread handles.
        num_warps: warps a program.
        unroll: tiles that a program loads before it computes, where a kernel has that.
        warp_size: lanes a warp, 32 on NVIDIA and 64 on AMD's data-centre GPUs.

    Raises:
        ValueError: a value is no power of two, or a program would have more than 1024 threads or
            2^20 elements.
    """

    elements_per_thread: int
    num_warps: int = 4
    unroll: int = 1
    warp_size: int = 32

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if type(value) is not int or value < 1 or value & (value - 1):
                raise ValueError(f"Config: {name} must be a power of two, got {value!r}")
        if self.threads > MAX_THREADS:
            raise ValueError(
                f"Config: num_warps={self.num_warps} of {self.warp_size} lanes are {self.threads} "
                f"threads, allowed are {MAX_THREADS}"
            )
        if self.block * self.unroll > MAX_BLOCK:
            raise ValueError(
                f"Config: {describe(self)} handle {self.block * self.unroll} elements a program, "
                f"allowed are {MAX_BLOCK}"
            )

    @property
    def threads(self) -> int:
        """Threads a program."""
        return self.num_warps * self.warp_size

    @cached_property
    def block(self) -> int:
        """Elements of a tile."""
        return self.elements_per_thread * self.threads

    def on(self, warp_size: int) -> Config:
        """The same for another warp size."""
        return self if warp_size == self.warp_size else replace(self, warp_size=warp_size)


def describe(config: Config) -> str:
    """The config in a few words."""
    ahead = f", {config.unroll} tiles ahead" if config.unroll > 1 else ""
    return f"{config.elements_per_thread} elements a thread, {config.num_warps} warps{ahead}"


@cache
def analytic(itemsize: int, warp_size: int = 32, bytes_per_clock_sm: float = 0.0) -> Config:
    """16 bytes a thread and 4 warps, or 32 bytes where DRAM is fast for the multiprocessors.

    Fast is over 20 bytes a clock and multiprocessor. One 16-byte access a thread keeps about 700 ns
    x bandwidth in flight at full occupancy up to that rate (an H200 needs 18); beyond it two
    independent accesses a thread are needed.
    """
    accesses = 2 if bytes_per_clock_sm > 20 else 1
    return Config(accesses * 16 // itemsize, 4, warp_size=warp_size)
