"""How calls are timed on one device: wall-clock batches on the host, events on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

__all__ = ["Call", "Clock", "CudaClock", "HostClock"]

Call = Callable[[], object]


class Clock(Protocol):
    """How calls are timed on one device.

    Attributes:
        warmup_s: seconds of work before the first sample, for the device's clock rate to settle.
        min_batch_ms: shortest stretch, in ms, that the clock resolves; shorter calls are repeated.
    """

    warmup_s: float
    min_batch_ms: float

    def now(self) -> float:
        """Host time in s, for warm-up and budgets."""

    def round(self, calls: Sequence[Call], repeats: Sequence[int]) -> list[float]:
        """Times calls one after the other, each repeated; returns ms per single call."""


class HostClock:
    """Wall-clock time on the host, of batches long enough for its resolution.

    Args:
        sync: called at the end of each batch, inside the timed stretch; `torch.cuda.synchronize`
            makes it the launch-inclusive clock of a GPU.
        warmup_s: see `Clock`.
        min_batch_ms: see `Clock`.
    """

    def __init__(
        self, sync: Call | None = None, warmup_s: float = 0.02, min_batch_ms: float = 0.5
    ) -> None:
        self.warmup_s, self.min_batch_ms = warmup_s, min_batch_ms
        self._sync = sync

    def now(self) -> float:
        """Host time in s."""
        return time.perf_counter()

    def round(self, calls: Sequence[Call], repeats: Sequence[int]) -> list[float]:
        """Times each batch; ms per call."""
        times = []
        for call, count in zip(calls, repeats, strict=True):
            start = time.perf_counter_ns()
            for _ in range(count):
                call()
            if self._sync is not None:
                self._sync()
            times.append((time.perf_counter_ns() - start) / count / 1e6)
        return times


class CudaClock:
    """Device time between two events, with a cold last-level cache.

    Before each call a buffer is read that evicts all else. Reading leaves no dirty lines, whose
    write-back would count as the call's. Nothing waits between the flush and the start event, and
    the flush outlasts the host's work for the call (512 MiB: 0.12 ms at 4.3 TB/s), so the kernel
    is queued by the time the device reaches it.

    Args:
        device: the GPU.
        flush_bytes: size of that buffer, at least twice the last-level cache; 0 keeps caches warm.
        warmup_s: see `Clock`.
    """

    min_batch_ms = 0.0

    def __init__(self, device: torch.device, flush_bytes: int, warmup_s: float = 0.2) -> None:
        self.warmup_s = warmup_s
        self.flush_bytes = flush_bytes
        self._device = device
        self._buffer = torch.zeros(flush_bytes // 4, dtype=torch.float32, device=device)
        self._sum = torch.zeros((), dtype=torch.float32, device=device)

    def now(self) -> float:
        """Host time in s, with nothing left in the device's queue."""
        torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def round(self, calls: Sequence[Call], repeats: Sequence[int]) -> list[float]:
        """Times each call between two events; ms per call."""
        with torch.cuda.device(self._device):
            events = [(_event(), _event()) for _ in calls]
            for call, count, (start, end) in zip(calls, repeats, events, strict=True):
                if self.flush_bytes:
                    torch.sum(self._buffer, dim=0, out=self._sum)
                start.record()
                for _ in range(count):
                    call()
                end.record()
            torch.cuda.synchronize(self._device)
        return [
            start.elapsed_time(end) / count
            for (start, end), count in zip(events, repeats, strict=True)
        ]


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)
