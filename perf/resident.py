"""What Linux says of this process's memory, and a GPU's allocator of its own."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = ["STATUS", "allocated", "release_at_once", "resident"]

STATUS = Path("/proc/self/status")
M_MMAP_THRESHOLD = -3  # malloc.h


def resident(entry: str) -> int:
    """A size of this process in bytes: "VmRSS" is now, "VmHWM" the most so far.

    `getrusage` has a most, too, but a new process starts with its parent's.
    """
    found = re.search(rf"^{entry}:\s+(\d+) kB$", STATUS.read_text(encoding="ascii"), re.M)
    if found is None:
        raise RuntimeError(f"{STATUS} has no {entry}")
    return int(found[1]) * 1024


def release_at_once() -> None:
    """Freed blocks from 128 KiB on go back to the system, where the C library is glibc.

    By itself it raises that limit up to 32 MiB and keeps what lies below it: a quarter more at
    times.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, 1 << 17)


def allocated(work: Callable[[], object], device: torch.device) -> int:
    """Bytes by which `work` raises the peak of what is allocated on a GPU."""
    torch.cuda.synchronize(device)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return torch.cuda.max_memory_allocated(device) - before
