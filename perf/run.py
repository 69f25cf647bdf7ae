"""One run: measures the cases on the device at hand, predicts the others, records every row."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import torch

from perf import SEED, frames, report, static
from perf.cases import PEAK_MEMORY, Case, cases
from perf.history import places
from perf.measure import Session, groups, left_out, not_measured, take_turns
from perf.memory import measure_memory
from perf.models import Step, steps
from perf.progress import progress
from perf.providers import one_line
from perf.training import measure_steps
from triton_acts import gpus
from triton_acts.tuning import device as devices
from triton_acts.tuning import inspect, records, timing
from triton_acts.tuning.clocks import Clock, CudaClock, HostClock
from triton_acts.tuning.device import Device
from triton_acts.tuning.records import RESULTS, RUNS, Row

__all__ = ["Budget", "Outcome", "budget_for", "run"]

CHARTS_S = 6.0  # for the charts, after the budget
STEP_ROUNDS = 3  # times a case's seconds, for the rounds of a training step: they are long


@dataclass(frozen=True)
class Budget:
    """Seconds that a run may take.

    Attributes:
        total_s: for everything, from `started` on.
        static_s: of these, kept for the static table.
        case_s: for the timed rounds of one case.
        training_s: of the total, kept for the training steps.
    """

    total_s: float
    static_s: float
    case_s: float
    training_s: float = 0.0


@dataclass
class Outcome:
    """What a run made.

    Attributes:
        meta: its row in runs.csv.
        rows: measured rows.
        kernels: machine code of the kernels on this device.
        static: rows of the static table.
        files: what was written, the report last.
        interrupted: True after Ctrl-C.
    """

    meta: Row
    rows: list[Row] = field(default_factory=list)
    kernels: list[inspect.Row] = field(default_factory=list)
    static: list[Row] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    interrupted: bool = False


def budget_for(kind: str, quick: bool) -> Budget:
    """The budget on a "cpu" or "gpu": 4 and 6 minutes, 1 when quick, less a margin for the end."""
    if quick:
        return Budget(total_s=45, static_s=8, case_s=0.7, training_s=4)
    return Budget(316, 55, 0.5, 80) if kind == "gpu" else Budget(214, 50, 0.8, 36)


def run(
    *,
    quick: bool,
    report_dir: Path,
    records_dir: Path | None = None,
    started: float | None = None,
    selected: Sequence[Case] | None = None,
    training: Sequence[Step] | None = None,
    architectures: Sequence[str] | None = None,
    budget: Budget | None = None,
    device: Device | None = None,
    clock: Clock | None = None,
) -> Outcome:
    """Measures, predicts, records and reports.

    Args:
        quick: the short list of cases and architectures.
        report_dir: where report.md, index.html and static.csv go.
        records_dir: where the CSV files go; None for perf/records/local, which git ignores.
        started: `time.monotonic()` when the command began; budgets count from there.
        selected: the cases, by default those of the device.
        training: the training steps, by default those of the device, or none beside selected cases.
        architectures: for the static table, by default all, or a few when quick.
        budget: by default that of the device.
        device: by default the current GPU, or the CPU.
        clock: by default the device's.

    Raises:
        OtherColumns: a file of records has another header; nothing has been measured then.
    """
    started = time.monotonic() if started is None else started
    device = device or devices.here()
    budget = budget or budget_for(device.kind, quick)
    clock = clock or _clock(device)
    todo = cases(device.kind, quick) if selected is None else list(selected)
    if training is None:
        training = steps(device.kind, quick) if selected is None else ()
    folders = places(records_dir)
    runs, results = (folders[-1] / name for name in ("runs.csv", f"{device.slug}.csv"))
    records.check(runs, RUNS)
    records.check(results, RESULTS)
    outcome = Outcome(
        devices.describe(device, timing.canary(device.torch, clock), SEED, sys.argv[1:])
    )
    report_dir.mkdir(parents=True, exist_ok=True)
    table = report_dir / "static.csv"
    records.append(runs, RUNS, [outcome.meta])
    archs = list(architectures or (static.QUICK if quick else gpus.architectures()))
    try:
        if device.gpu is not None:  # its predictions stand beside what is measured
            arch = device.gpu.arch
            archs = [arch, *(other for other in archs if other != arch)]
            outcome.kernels = _kernels_of(arch)
        until = started + budget.total_s - budget.static_s
        run_id, rounds_s = str(outcome.meta["run_id"]), STEP_ROUNDS * budget.case_s
        for row in chain(
            _measure(
                *(todo, device, clock, outcome, budget.case_s, until - budget.training_s, started)
            ),
            measure_steps(training, device, clock, run_id, rounds_s, until, started),
        ):
            records.append(results, RESULTS, [row])
            outcome.rows.append(row)
        _predict(archs, table, outcome, started + budget.total_s, started)
    except KeyboardInterrupt:
        outcome.interrupted = True
    book = frames.load(folders)
    for problem in book.problems:
        print(problem, file=sys.stderr)
    outcome.files = [path for path in (runs, results, table) if path.exists()]
    outcome.files += report.write(report_dir, book, static.read(table), CHARTS_S)
    return outcome


def _kernels_of(arch: str) -> list[inspect.Row]:
    """Machine code of the kernels on the GPU at hand; none if it cannot be had."""
    try:
        return static.kernels(arch, [*static.DTYPES, torch.float16], static.MEASURED)
    except Exception as problem:  # measuring does not need it
        print(f"no predictions beside the measurements of {arch}: {one_line(problem)}")
        return []


def _clock(device: Device) -> Clock:
    return HostClock() if device.kind == "cpu" else CudaClock(device.torch, device.flush_bytes)


def _measure(
    todo: Sequence[Case],
    device: Device,
    clock: Clock,
    outcome: Outcome,
    case_s: float,
    deadline: float,
    started: float,
) -> Iterator[Row]:
    """The rows of all cases in their order; past the deadline a case gets a row that says so.

    Those of a group come at its end, or at an interruption as far as they are worth keeping.
    """
    run_id = str(outcome.meta["run_id"])
    with progress("measuring", len(todo), started) as bar:
        for group in groups(todo):
            torch._dynamo.reset()  # now: later it would forget what the group has compiled
            found: list[Session | list[Row]] = []
            try:
                for case in group:
                    going = sum(not isinstance(one, list) for one in found)
                    if time.monotonic() + going * case_s >= deadline:
                        found.append([left_out(case, run_id, "out of time")])
                    else:
                        bar.step(case.label)
                        found.append(_begin(case, device, clock, case_s, run_id))
                    if isinstance(found[-1], list):
                        bar.finish()
                sessions = [one for one in found if not isinstance(one, list)]
                if sessions:
                    bar.step(f"timing {len(sessions)} in turn")
                take_turns(sessions, lambda _: bar.finish())
            finally:
                for one in found:
                    if isinstance(one, list):
                        yield from one
                    elif one.worth_keeping:
                        yield from one.rows(run_id, outcome.kernels)


def _begin(
    case: Case, device: Device, clock: Clock, case_s: float, run_id: str
) -> Session | list[Row]:
    """A case after its first stay, so that an interruption has something to keep; or its rows."""
    try:
        if case.mode == PEAK_MEMORY:
            return measure_memory(case, run_id, device.torch)
        inclusive = case.mode == "launch-inclusive"
        session = Session(
            case, device, HostClock(torch.cuda.synchronize) if inclusive else clock, case_s
        )
    except torch.OutOfMemoryError:
        return [left_out(case, run_id, "out of memory")]
    except Exception as problem:  # that of one case; the others go on
        return [not_measured(case, run_id, f"failed: {one_line(problem)}")]
    session.stay()
    return session


def _predict(
    archs: Sequence[str], table: Path, outcome: Outcome, deadline: float, started: float
) -> None:
    """Adds the static rows of architectures, as far as the time goes."""
    work = static.parts(archs)
    slowest: dict[str, float] = {}
    gaps: dict[str, list[str]] = {}
    with progress("predicting from machine code", len(work), started) as bar:
        for part in work:
            begin = time.monotonic()
            longest = slowest.get(part.title, max(slowest.values(), default=0.0))
            if begin + longest >= deadline:
                gaps.setdefault("out of time", []).append(part.label)
                continue
            bar.step(part.label)
            try:
                kernels = static.kernels(part.arch, [part.dtype], part.layouts)
            except Exception as problem:  # what was measured is reported in any case
                gaps.setdefault(f"not available: {one_line(problem)}", []).append(part.label)
                continue
            for note in dict.fromkeys(kernel.note for kernel in kernels if kernel.note):
                bar.say(f"predictions: {part.label}: {note}")
            made = static.rows(kernels)
            static.update(table, made)
            outcome.static += made
            bar.finish()
            taken = time.monotonic() - begin
            slowest[part.title] = max(slowest.get(part.title, 0.0), taken)
        for reason, labels in gaps.items():
            count = f"{len(labels)} of {len(work)} parts, from {labels[0]} on"
            bar.say(f"predictions: {reason}: {count}")
