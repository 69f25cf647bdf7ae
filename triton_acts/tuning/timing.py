"""The project's only clock: interleaved rounds, a yardstick in each of them, medians.

`measure` runs what is compared in turn (A B C, A B C, ...), so that a clock that drifts or a
neighbour that wakes up hits all alike, and times a yardstick in every round: a plain copy, or an
addition where the work reads two tensors. `Rounds` does so in several stays. The clock itself is
passed in, so the method is tested without a GPU and without waiting.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .clocks import Call, Clock

__all__ = ["MIN_ROUNDS", "YARDSTICK", "Rounds", "Timing", "canary", "measure", "quantile"]
__all__ += ["summarise", "yardstick"]

YARDSTICK = "yardstick"

MIN_ROUNDS = 3  # below this a median means nothing, so the budget may be overrun by this much
MAX_REPEATS = 1 << 16


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
    """Times `reference` (the yardstick) and the providers in interleaved rounds, in one stay.

    Takes what `Rounds` takes, and returns and raises the same.
    """
    rounds = Rounds(providers, reference, clock, budget_s, samples=samples, noise=noise)
    while not rounds.done:
        rounds.go_on(math.inf)
    return rounds.result()


class Rounds:
    """Interleaved rounds of providers and a yardstick, in as many stays as one likes.

    They are done once each call has `samples` samples and an interquartile range below `noise` of
    its median, or when `budget_s` (warm-up not counted) is spent. A provider that raises leaves
    the rounds; its `error` says why and the others go on.

    A machine that is disturbed for seconds disturbs all of a short stay; several stays, others'
    work between them, are disturbed independently, and p20 to p80 shows it.

    Args:
        providers: calls by name, in the order of the round.
        reference: the yardstick, first in every round.
        clock: times the calls.
        budget_s: seconds for the rounds; `MIN_ROUNDS` rounds are made in any case.
        samples: samples a call that are enough.
        noise: interquartile range / median that is quiet enough.

    Raises:
        ValueError: a provider is called `YARDSTICK`, or budget_s or samples is not positive.
    """

    def __init__(
        self,
        providers: Mapping[str, Call],
        reference: Call,
        clock: Clock,
        budget_s: float,
        *,
        samples: int = 20,
        noise: float = 0.02,
    ) -> None:
        if YARDSTICK in providers:
            raise ValueError(
                f"measure: {YARDSTICK!r} is the yardstick's name; rename that provider"
            )
        if not (budget_s > 0 and samples > 0):
            raise ValueError(
                f"measure: budget_s and samples must be positive, got {budget_s} and {samples}"
            )
        self._alive = {YARDSTICK: reference, **providers}
        self._errors: dict[str, str] = {}
        self._clock, self._budget_s = clock, budget_s
        self._samples, self._noise = samples, noise
        self._spent_s = 0.0
        self._repeats = _warm_up(self._alive, self._errors, clock)
        self._times: dict[str, list[float]] = {name: [] for name in (YARDSTICK, *providers)}

    @property
    def count(self) -> int:
        """How many rounds there were of what is still alive."""
        return max((len(self._times[name]) for name in self._alive), default=0)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to time, to spend or to learn."""
        times = [self._times[name] for name in self._alive]
        if not times or (self.count >= MIN_ROUNDS and self._spent_s >= self._budget_s):
            return True
        return self.count >= self._samples and all(_noise(t) < self._noise for t in times)

    def go_on(self, seconds: float) -> None:
        """One stay: a round, and more until that many seconds are over or the rounds are done."""
        before, started = self._spent_s, self._clock.now()
        while not self.done:
            for name, ms in _round(self._alive, self._repeats, self._errors, self._clock).items():
                self._times[name].append(ms)
            stayed = self._clock.now() - started
            self._spent_s = before + stayed
            if stayed >= seconds:
                break

    def result(self) -> dict[str, Timing]:
        """A timing per provider, and the yardstick's under `YARDSTICK`."""
        return {
            name: summarise(times, self._repeats.get(name, 1), self._errors.get(name, ""))
            for name, times in self._times.items()
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


def _warm_up(alive: dict[str, Call], errors: dict[str, str], clock: Clock) -> dict[str, int]:
    """Runs everything for `clock.warmup_s` and finds how often short calls have to be repeated."""
    repeats = dict.fromkeys(alive, 1)
    best = dict.fromkeys(alive, math.inf)  # one disturbed sample would look long enough
    started = clock.now()
    _round(alive, repeats, errors, clock)  # compiles, loads and allocates; no time is kept
    while alive:
        times = _round(alive, repeats, errors, clock)
        settled = True
        for name, latest in times.items():
            ms = min(best[name], latest)
            if latest > 0:  # else the clock has not seen it
                best[name] = ms
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
