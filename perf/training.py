"""The training step, which is what people pay for: what each activation costs over ReLU."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence

import torch

from perf.cases import BOTH, PEAK_MEMORY
from perf.models import ACTIVATIONS, Step, Training
from perf.progress import progress
from perf.providers import one_line
from perf.step_memory import peak
from triton_acts.tuning import timing
from triton_acts.tuning.clocks import Clock
from triton_acts.tuning.device import Device
from triton_acts.tuning.records import RESULTS, Row
from triton_acts.tuning.timing import YARDSTICK

__all__ = ["RELU", "TRAINING", "failures", "measure_steps"]

TRAINING = "training step"  # the op of the rows
RELU, KAF, PUBLISHED = "relu", "kaf", "kaf as published"
OURS = ("penalized_tanh", KAF)
LATE = "left out: out of time"
CHECKED = 4  # steps in which the loss has to fall
# Of the losses of both forms of KAF in these steps: 5e-6 and 4e-4 were seen
AGREEMENT = {torch.float32: 1e-4, torch.bfloat16: 1e-2}


def measure_steps(
    todo: Sequence[Step],
    device: Device,
    clock: Clock,
    run_id: str,
    budget_s: float,
    deadline: float,
    started: float | None = None,
) -> Iterator[Row]:
    """Checks every activation in every step, times those that learn; rows of time and of memory.

    Args:
        todo: the steps.
        device: where.
        clock: times the rounds, in which the activations of one step take turns.
        run_id: goes into the rows.
        budget_s: seconds for the timed rounds of one step.
        deadline: `time.monotonic()` after which nothing more begins; a row says so.
        started: `time.monotonic()` when the command began, now by default.
    """
    with progress("training", len(todo), started) as bar:
        for step in todo:
            bar.step(f"{step.variant}, batch {step.batch}")
            if step.left_out:
                status = dict.fromkeys(ACTIVATIONS, f"left out: {step.left_out}")
                yield from (_row(step, run_id, name, text) for name, text in status.items())
            else:
                ready, status = _prepare(step, device.torch, deadline)
                yield from _timed(step, ready, status, clock, run_id, budget_s)
                if step.memory:
                    yield from _memory(step, ready, status, device, run_id, deadline)
            bar.finish()


def _prepare(
    step: Step, device: torch.device, deadline: float
) -> tuple[dict[str, Training], dict[str, str]]:
    """What is ready to be timed, and the status of every activation."""
    torch._dynamo.reset()
    ready: dict[str, Training] = {}
    losses: dict[str, list[float]] = {}
    status: dict[str, str] = {}
    slowest = 0.0
    for name in ACTIVATIONS:
        begin = time.monotonic()
        if begin + slowest >= deadline:
            status[name] = LATE
            continue
        try:
            training = Training(step, name, device)
            losses[name] = [training().item() for _ in range(CHECKED)]
        except torch.OutOfMemoryError:
            status[name] = "left out: out of memory"
        except Exception as problem:
            kind = "not available" if step.mode == "compiled" else "failed"
            status[name] = f"{kind}: {one_line(problem)}"
        else:
            ready[name], status[name] = training, _fault(losses[name])
        slowest = max(slowest, time.monotonic() - begin)
    if status[KAF] == status[PUBLISHED] == "ok":
        pairs = zip(losses[KAF], losses[PUBLISHED], strict=True)
        apart = max(abs(ours / theirs - 1) for ours, theirs in pairs)
        if not apart <= AGREEMENT[step.dtype]:
            status[KAF] = f"wrong: its losses are {apart:.1e} from those of {PUBLISHED}"
    if list(ready) == [RELU] and LATE in status.values():
        status[RELU] = LATE  # alone it says nothing
    return {name: call for name, call in ready.items() if status[name] == "ok"}, status


def _fault(losses: Sequence[float]) -> str:
    """Either "ok", or "wrong" where a model does not learn."""
    first, last = losses[0], losses[-1]
    if all(map(math.isfinite, losses)) and last < first:
        return "ok"
    return f"wrong: the loss goes from {first:.4g} to {last:.4g} in {len(losses)} steps"


def _timed(
    step: Step,
    ready: Mapping[str, Training],
    status: Mapping[str, str],
    clock: Clock,
    run_id: str,
    budget_s: float,
) -> Iterator[Row]:
    """A row of time for every activation, after one for the copy in their rounds."""
    if not ready:
        yield from (_row(step, run_id, name, text) for name, text in status.items())
        return
    plain, copy = timing.yardstick(next(iter(ready.values())).x, 1)
    try:
        times = timing.measure(ready, copy, clock, budget_s)
    except Exception as problem:
        failed = timing.summarise((), error=one_line(problem))
        times = dict.fromkeys((YARDSTICK, *ready), failed)
    for name, text in {YARDSTICK: "ok", **status}.items():
        row = _row(step, run_id, name, text)
        if name in times:
            found = times[name]
            row |= {"ms_p20": found.ms_p20, "ms_p50": found.ms_p50, "ms_p80": found.ms_p80}
            row |= {"samples": found.samples, "yardstick": plain}
            if found.error:
                row["status"] = " ".join(f"failed: {found.error}".split())
        yield row


def _memory(
    step: Step,
    ready: Mapping[str, Training],
    status: Mapping[str, str],
    device: Device,
    run_id: str,
    deadline: float,
) -> Iterator[Row]:
    """A row of peak memory for every activation; `bytes` is what a step needs at most.

    That is beyond weights, momentum and inputs.
    """
    for name, text in status.items():
        found: int | None = None
        if name in ready and time.monotonic() >= deadline:
            text = LATE
        elif name in ready:
            found, text = peak(step, name, ready[name], device.torch)
        yield _row(step, run_id, name, text, f"/{PEAK_MEMORY}") | {"bytes": found}


def _row(step: Step, run_id: str, activation: str, status: str, mode: str = "") -> Row:
    """A row of the results file without numbers."""
    return dict.fromkeys(RESULTS.columns) | {
        "run_id": run_id,
        "op": TRAINING,
        "variant": f"{step.variant}{mode}",
        "direction": BOTH,
        "provider": activation,
        "dtype": str(step.dtype).removeprefix("torch."),
        "shape": "x".join(map(str, step.sizes)),
        "layout": "contiguous",
        "numel": math.prod(step.sizes),
        "status": status,
    }


def failures(rows: Sequence[Row]) -> list[str]:
    """The steps in which an activation of ours was wrong or raised: such a run has not passed."""
    return [
        f"{TRAINING} {row['variant']} {row['dtype']} {row['provider']}: {row['status']}"
        for row in rows
        if row["op"] == TRAINING
        and row["provider"] in OURS
        and str(row["status"]).startswith(("wrong", "failed"))
    ]
