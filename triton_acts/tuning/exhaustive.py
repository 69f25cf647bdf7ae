"""How good the choices are: beside the best of all candidates, on keys drawn by seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from . import lookup, records
from .clocks import Clock
from .config import Config
from .device import Device
from .jobs import Job
from .outlook import candidates_for, choose, outlook
from .records import RESULTS, Row
from .screening import Screened, compiled_counts
from .search import Found, Trial, measure_all
from .target import Target, target_of
from .timing import Timing
from .trial_rows import trial_rows

__all__ = ["NEAR", "Regret", "draw", "exhaustive"]

NEAR = 0.02  # of the best: as good
KEYS = 20
BEST = 3  # are timed again
_ENOUGH_S = 60.0  # for 20 samples of every candidate


@dataclass(frozen=True)
class Regret:
    """What a choice costs over the best.

    Attributes:
        job: the key and size.
        chosen: what `select` answers.
        best: the fastest.
        chosen_regret: time of the chosen over that of the best, minus 1.
        predicted: the model's choice; None where the GPU is not in the table, or it failed.
        predicted_regret: the same for the model's choice, NaN where there is none.
    """

    job: Job
    chosen: Config
    best: Config
    chosen_regret: float
    predicted: Config | None
    predicted_regret: float


def draw(todo: Sequence[Job], seed: int, count: int = KEYS) -> list[Job]:
    """Keys and sizes for the comparison, the same for one seed."""
    return random.Random(seed).sample(list(todo), min(count, len(todo)))


def exhaustive(
    todo: Sequence[Job],
    records_dir: Path,
    run_id: str,
    device: Device,
    clock: Clock,
    budget_s: float,
    watch: Callable[[Iterable[Job], int], Iterable[Job]] = lambda jobs, _: jobs,
) -> Iterator[Regret]:
    """Times every candidate with 20 samples, and the best three and the choices once more.

    Each is also held against float64 and the default's bits, and is never the best if it differs.

    Keys that do not fit the memory, or whose candidates all fail, are passed over.

    Args:
        todo: the keys and sizes, see `draw`.
        records_dir: where the rows are appended.
        run_id: goes into them.
        device: the GPU at hand.
        clock: times the rounds.
        budget_s: seconds for the second rounds of one key, for quieter medians.
        watch: passes jobs on, to show progress.
    """
    target = target_of(device.torch)
    with torch.no_grad():
        for job in watch(todo, len(todo)):
            try:
                rows, regret = _measure(job, run_id, device, target, clock, budget_s)
            except torch.OutOfMemoryError:
                continue
            records.append(records_dir / f"{device.slug}.csv", RESULTS, rows)
            if regret is not None:
                yield regret


def _measure(
    job: Job, run_id: str, device: Device, target: Target, clock: Clock, budget_s: float
) -> tuple[list[Row], Regret | None]:
    """The rows of one key, and the regrets if anything ran."""
    default, candidates = candidates_for(job.op, job.variant, job.dtype, target.hardware)
    numel, dims = 1 << job.octave, job.variant.dims
    direction = job.variant.direction
    chosen = lookup.answer(job.op, direction, job.dtype, numel, job.aligned, dims, target).config
    predicted = _predicted(job, device, numel, default, candidates)
    assert job.variant.bench is not None  # `jobs` lists no other
    bench = job.variant.bench(job.dtype, numel, job.aligned, device.torch)
    everyone = list(dict.fromkeys((*candidates, chosen)))
    times, plain, name = measure_all(bench, everyone, clock, _ENOUGH_S, noise=math.inf)
    ranked = sorted((c for c in everyone if not times[c].error), key=_by(times))
    choices = [c for c in (chosen, predicted) if c in ranked]
    finalists = list(dict.fromkeys((*ranked[:BEST], *choices)))
    again, _, _ = measure_all(bench, finalists, clock, budget_s)
    times |= again
    faults = {c: "" if t.error else bench.check(c) for c, t in times.items()}
    right = [c for c in again if not again[c].error and not faults[c]]
    best = min(right, key=_by(again), default=None)
    trials = tuple(Trial(c, t, _status(t, faults[c]), c in again) for c, t in times.items())
    found = Found(best, trials, plain, name, "the fastest of all")
    screened = [Screened(c, None, "") for c in everyone]
    rows = trial_rows(job, device, run_id, bench.x, screened, found, default)
    # not the tuner's rows: nothing is chosen by them
    marked = [{**row, "config_source": "exhaustive", "is_winner": False} for row in rows]
    if best is None:
        return marked, None
    losses = (_regret(times, chosen, best), _regret(times, predicted, best))
    return marked, Regret(job, chosen, best, losses[0], predicted, losses[1])


def _status(timing: Timing, fault: str) -> str:
    if timing.error:
        return f"failed: {timing.error}"
    return f"wrong: {fault}" if fault else "ok"


def _by(times: dict[Config, Timing]) -> Callable[[Config], float]:
    return lambda config: times[config].ms_p50


def _regret(times: dict[Config, Timing], config: Config | None, best: Config) -> float:
    return times[config].ms_p50 / times[best].ms_p50 - 1 if config in times else math.nan


def _predicted(
    job: Job, device: Device, numel: int, default: Config, candidates: Sequence[Config]
) -> Config | None:
    """What the model would choose."""
    if device.gpu is None:
        return None
    counts = compiled_counts(job.variant, job.dtype, device.gpu.arch, candidates)
    return choose(outlook(job.variant, job.dtype, device.gpu, numel, default, counts), default)
