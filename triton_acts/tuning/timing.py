"""The project's only clock: interleaved rounds, a yardstick in each of them, medians.

`measure` runs what is compared in turn (A B C, A B C, ...), so that a clock that drifts or a
neighbour that wakes up hits all alike, and times a yardstick in every round: a plain copy, or an
addition where the work reads two tensors. The clock itself is passed in, so the method is tested
without a GPU and without waiting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = ["YARDSTICK", "Call", "Clock", "CudaClock", "HostClock", "Timing", "measure"]
__all__ += ["canary", "quantile", "summarise", "yardstick"]

Call = Callable[[], object]
YARDSTICK = "yardstick"

MIN_ROUNDS = 3  # below this a median means nothing, so the budget may be overrun by this much
MAX_REPEATS = 1 << 16


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


@dataclass(frozen=True)
class Timing:
    """What was measured of one call.

    Attributes:
        ms_p20: 20th percentile in ms.
        ms_p50: median in ms; NaN where the call raised.
        ms_p80: 80th percentile in ms.
        noise: interquartile range / median.
        samples: rounds that were timed.
        repeats: calls a sample.
        error: why there is no time, or "".
    """

    ms_p20: float
    ms_p50: float
    ms_p80: float
    noise: float
    samples: int
    repeats: int = 1
    error: str = ""

    def per(self, calls: int) -> Timing:
        """The time of one of `calls` equal pieces of work that the timed call did."""
        p20, p50, p80 = (ms / calls for ms in (self.ms_p20, self.ms_p50, self.ms_p80))
        return replace(self, ms_p20=p20, ms_p50=p50, ms_p80=p80)


def measure(
    providers: Mapping[str, Call],
    reference: Call,
    clock: Clock,
    budget_s: float,
    *,
    samples: int = 20,
    noise: float = 0.02,
) -> dict[str, Timing]:
    """Times `reference` (the yardstick) and the providers in interleaved rounds.

    Rounds stop once each call has `samples` samples and an interquartile range below `noise` of
    its median, or when `budget_s` (warm-up not counted) is spent. A provider that raises leaves
    the rounds; its `error` says why and the others go on.

    Args:
        providers: calls by name, in the order of the round.
        reference: the yardstick, first in every round.
        clock: times the calls.
        budget_s: seconds for the rounds; `MIN_ROUNDS` rounds are made in any case.
        samples: samples a call that are enough.
        noise: interquartile range / median that is quiet enough.

    Returns:
        A timing per provider, and the yardstick's under `YARDSTICK`.

    Raises:
        ValueError: a provider is called `YARDSTICK`, or budget_s or samples is not positive.
    """
    if YARDSTICK in providers:
        raise ValueError(f"measure: {YARDSTICK!r} is the yardstick's name; rename that provider")
    if not (budget_s > 0 and samples > 0):
        raise ValueError(
            f"measure: budget_s and samples must be positive, got {budget_s} and {samples}"
        )
    alive = {YARDSTICK: reference, **providers}
    errors: dict[str, str] = {}
    repeats = _warm_up(alive, errors, clock)
    times: dict[str, list[float]] = {name: [] for name in alive}
    started = clock.now()
    while True:
        for name, ms in _round(alive, repeats, errors, clock).items():
            times[name].append(ms)
        rounds = max((len(times[name]) for name in alive), default=0)
        if not alive or (rounds >= MIN_ROUNDS and clock.now() - started >= budget_s):
            break
        if rounds >= samples and all(_noise(times[name]) < noise for name in alive):
            break
    return {
        name: summarise(times.get(name, ()), repeats.get(name, 1), errors.get(name, ""))
        for name in (YARDSTICK, *providers)
    }


def summarise(times: Sequence[float], repeats: int = 1, error: str = "") -> Timing:
    """Percentiles of samples in ms; of a failed call there are none."""
    if error or not times:
        nan = math.nan
        return Timing(nan, nan, nan, nan, 0, repeats, error or "no sample was taken")
    p20, p50, p80 = (quantile(times, share) for share in (0.2, 0.5, 0.8))
    return Timing(p20, p50, p80, _noise(times), len(times), repeats)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that a `share` in [0, 1] of the values lies below, linear between neighbours."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def yardstick(x: Tensor, *reads: int) -> tuple[str, Call]:
    """The plain aten calls that move the same bytes: their names, and a call of all of them.

    Args:
        x: one of the tensors; the others get its dtype and strides.
        *reads: for each pass over memory the tensors of x's size that it reads, 1 or 2; it writes
            one. A forward is 1, a backward 2, both after each other are 1, 2.

    Raises:
        ValueError: a pass reads neither 1 nor 2, or there is none.
    """
    if not reads or not set(reads) <= {1, 2}:
        raise ValueError(f"yardstick: reads must be 1 (copy) or 2 (add), got {reads}")
    out = torch.empty_like(x)
    other = torch.ones_like(x) if 2 in reads else x
    passes: dict[int, tuple[str, Call]] = {
        1: ("copy", lambda: out.copy_(x)),
        2: ("add", lambda: torch.add(x, other, out=out)),
    }
    names, calls = zip(*(passes[n] for n in reads), strict=True)
    if len(calls) == 1:
        return names[0], calls[0]

    def all_of_them() -> None:
        for call in calls:
            call()

    return " + ".join(names), all_of_them


def canary(device: torch.device, clock: Clock) -> float:
    """GB/s of a plain copy of 64 MiB: a run on a disturbed machine shows here."""
    x = torch.randn(1 << 24, device=device)
    _, copy = yardstick(x, 1)
    result = measure({}, copy, clock, budget_s=0.5)[YARDSTICK]
    return 2 * x.nbytes / result.ms_p50 / 1e6


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


def _warm_up(alive: dict[str, Call], errors: dict[str, str], clock: Clock) -> dict[str, int]:
    """Runs everything for `clock.warmup_s` and finds how often short calls have to be repeated."""
    repeats = dict.fromkeys(alive, 1)
    started = clock.now()
    _round(alive, repeats, errors, clock)  # compiles, loads and allocates; no time is kept
    while alive:
        times = _round(alive, repeats, errors, clock)
        settled = True
        for name, ms in times.items():
            if ms * repeats[name] < clock.min_batch_ms and repeats[name] < MAX_REPEATS:
                factor = clock.min_batch_ms / max(ms * repeats[name], clock.min_batch_ms / 16)
                repeats[name] = min(MAX_REPEATS, math.ceil(repeats[name] * factor * 1.2))
                settled = False
        if settled and clock.now() - started >= clock.warmup_s:
            break
    return repeats


def _round(
    alive: dict[str, Call], repeats: Mapping[str, int], errors: dict[str, str], clock: Clock
) -> dict[str, float]:
    """One interleaved round, in ms; calls that raise are moved from `alive` to `errors`."""
    while alive:
        try:
            times = clock.round(list(alive.values()), [repeats[name] for name in alive])
        except Exception as error:
            if not _remove_failing(alive, errors):
                raise RuntimeError("measure: a round failed but none of its calls alone") from error
        else:
            return dict(zip(alive, times, strict=True))
    return {}


def _remove_failing(alive: dict[str, Call], errors: dict[str, str]) -> bool:
    """Calls each once more to find those that raise: no wrapper costs time inside a sample."""
    failed = len(errors)
    for name, call in list(alive.items()):
        try:
            call()
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
            del alive[name]
    return len(errors) > failed


def _noise(times: Sequence[float]) -> float:
    """Interquartile range / median; 0 for a median of 0."""
    median = quantile(times, 0.5)
    return (quantile(times, 0.75) - quantile(times, 0.25)) / median if median else 0.0
