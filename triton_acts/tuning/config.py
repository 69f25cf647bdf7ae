"""Block sizes: what a kernel is launched with, and the analytic rule that needs no measurement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import torch

from triton_acts import _triton, gpus

__all__ = ["Config", "analytic", "default_config"]


@dataclass(frozen=True)
class Config:
    """How many elements a thread handles and how many warps a program has.

    Attributes:
        elements_per_thread: consecutive elements that one thread loads.
        num_warps: warps a program.
        warp_size: lanes a warp, 32 on NVIDIA and 64 on AMD's data-centre GPUs.
    """

    elements_per_thread: int
    num_warps: int = 4
    warp_size: int = 32

    @cached_property
    def block(self) -> int:
        """Elements a program handles."""
        return self.elements_per_thread * self.num_warps * self.warp_size


@cache
def analytic(itemsize: int, warp_size: int = 32, bytes_per_clock_sm: float = 0.0) -> Config:
    """16 bytes a thread and 4 warps, or 32 bytes where DRAM is fast for the multiprocessors.

    Fast is over 20 bytes a clock and multiprocessor. One 16-byte access a thread keeps about 700 ns
    x bandwidth in flight at full occupancy up to that rate (an H200 needs 18); beyond it two
    independent accesses a thread are needed.
    """
    accesses = 2 if bytes_per_clock_sm > 20 else 1
    return Config(accesses * 16 // itemsize, 4, warp_size)


_INTERPRETED = Config(2048, 1, 32)  # the interpreter pays by the program: few of 65,536 elements


def default_config(device: int, dtype: torch.dtype) -> Config:
    """The analytic config for a dtype on the GPU of that index."""
    return _INTERPRETED if _triton.INTERPRETED else _for_device(device, dtype)


@cache
def _for_device(device: int, dtype: torch.dtype) -> Config:
    rate = gpus.device_rate(device)
    return analytic(dtype.itemsize, rate.warp_size, rate.bytes_per_clock_sm)
