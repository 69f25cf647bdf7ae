"""The search for one op, dtype and size: coarse rounds over all candidates, finals, one check."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .clocks import Call, Clock
from .config import Config
from .registry import Bench
from .timing import YARDSTICK, Timing, measure, summarise, yardstick

__all__ = ["Found", "Trial", "measure_all", "search"]

COARSE_SAMPLES = 5
FINALISTS = 4
MARGIN = 0.01  # an incumbent is replaced only if beaten by more than this


@dataclass(frozen=True)
class Trial:
    """What became of a candidate.

    Attributes:
        config: the candidate.
        timing: of the finals if it got there, else of the coarse rounds.
        status: "ok", "failed: ..." or "wrong: ...".
        final: whether it was among the finalists.
    """

    config: Config
    timing: Timing
    status: str
    final: bool


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        winner: the config to use; None if every candidate failed.
        trials: all candidates, in their order.
        yardstick: the timing of the plain aten call that moves the same bytes.
        yardstick_name: "copy" or "add".
        reason: why this one, in a sentence.
    """

    winner: Config | None
    trials: tuple[Trial, ...]
    yardstick: Timing
    yardstick_name: str
    reason: str


def search(
    bench: Bench,
    candidates: Sequence[Config],
    default: Config,
    incumbent: Config | None,
    clock: Clock,
    budget_s: float,
) -> Found:
    """Times the candidates, re-times the best beside incumbent and default, checks the winner.

    What is in use, the incumbent or else the default, stays unless it is beaten by more than 1 %
    and by more than twice the interquartile range. A winner whose results are wrong is struck out,
    and the next best takes its place.

    Args:
        bench: scratch tensors and the launch.
        candidates: what the static filter left.
        default: the analytic config.
        incumbent: what an earlier search chose, if any.
        clock: times the rounds.
        budget_s: seconds for the timed rounds, coarse and final together.

    Raises:
        torch.OutOfMemoryError: the check, or the yardstick, does not fit the memory.
    """
    present = default if incumbent is None else incumbent
    everyone = list(dict.fromkeys((*candidates, default, present)))
    coarse, _, _ = measure_all(bench, everyone, clock, budget_s / 2, COARSE_SAMPLES, math.inf)
    ranked = sorted((c for c in everyone if not coarse[c].error), key=lambda c: coarse[c].ms_p50)
    finalists = list(dict.fromkeys((*ranked[:FINALISTS], default, present)))
    finalists = [config for config in finalists if not coarse[config].error]
    finals, plain, name = measure_all(bench, finalists, clock, budget_s / 2)
    wrong: dict[Config, str] = {}
    winner, reason = None, "every candidate failed"
    while winner is None:
        alive = {c: finals[c] for c in finalists if not finals[c].error and c not in wrong}
        if not alive:
            break
        chosen, why = _choose(alive, present)
        fault = _check(bench, chosen)
        if fault:
            wrong[chosen] = fault
        else:
            winner, reason = chosen, why
    timings = {**coarse, **finals}
    trials = tuple(
        Trial(
            config, timings[config], _status(timings[config], wrong.get(config)), config in finals
        )
        for config in everyone
    )
    return Found(winner, trials, plain, name, reason)


def measure_all(
    bench: Bench,
    configs: Sequence[Config],
    clock: Clock,
    budget_s: float,
    samples: int = 20,
    noise: float = 0.02,
) -> tuple[dict[Config, Timing], Timing, str]:
    """Timings by config, and the yardstick's timing and name, of one interleaved measurement."""
    name, plain = yardstick(bench.x, bench.reads)
    if not configs:
        return {}, summarise((), error="nothing was timed"), name
    calls = {str(i): _call(bench, config) for i, config in enumerate(configs)}
    times = measure(calls, plain, clock, budget_s, samples=samples, noise=noise)
    return {config: times[str(i)] for i, config in enumerate(configs)}, times[YARDSTICK], name


def _call(bench: Bench, config: Config) -> Call:
    return lambda: bench.run(config)


def _choose(alive: dict[Config, Timing], present: Config) -> tuple[Config, str]:
    """The fastest, or what is in use if that is not clearly slower."""
    best = min(alive, key=lambda config: alive[config].ms_p50)
    if present not in alive:
        return best, "the fastest; what was in use failed"
    old, new = alive[present], alive[best]
    gain = 1 - new.ms_p50 / old.ms_p50
    threshold = max(MARGIN, 2 * max(old.noise, new.noise))
    if gain > threshold:
        return best, f"{gain:.1%} faster than what was in use"
    return present, f"none was over {threshold:.1%} faster"


def _check(bench: Bench, config: Config) -> str:
    try:
        return bench.check(config)
    except torch.OutOfMemoryError:
        raise  # says nothing of the config
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _status(timing: Timing, fault: str | None) -> str:
    if timing.error:
        return f"failed: {timing.error}"
    return f"wrong: {fault}" if fault else "ok"
