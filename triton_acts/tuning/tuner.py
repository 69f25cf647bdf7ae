"""`tune`: measures every op, dtype and size on the GPU at hand, records it, and writes the choice.

Each key is finished before the next begins: its rows are appended to the records and its winner is
merged into the user's file, so that Ctrl-C or a crash costs one key.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from triton_acts import gpus

from . import lookup, records, store, timing
from .clocks import Clock, CudaClock
from .config import Config
from .device import Device, describe, here
from .jobs import Job
from .outlook import candidates_for
from .provenance import provenance
from .records import RESULTS, RUNS, Row
from .screening import Known, Screened, compiled_counts, screen
from .search import search
from .target import Target, target_of
from .trial_rows import trial_rows

__all__ = ["Tuned", "refuse_other_ranks", "tune"]

KEY_S = 0.6  # for the timed rounds of a key
WARM_S = 0.01  # of warm-up a key, once the canary has settled the clocks: keys follow at once
SEED = 1602


@dataclass
class Tuned:
    """What a tune did.

    Attributes:
        run_id: of its records.
        rows: measured rows.
        chosen: winner by key and octave.
        left_out: jobs without a winner, with the reason.
        files: what was written.
        interrupted: True after Ctrl-C.
    """

    run_id: str
    rows: list[Row] = field(default_factory=list)
    chosen: dict[str, dict[int, Config]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    interrupted: bool = False


def tune(
    todo: Sequence[Job],
    records_dir: Path,
    *,
    budget_s: float = 300.0,
    device: Device | None = None,
    clock: Clock | None = None,
    watch: Callable[[Iterable[Job], int], Iterable[Job]] = lambda jobs, _: jobs,
) -> Tuned:
    """Tunes the GPU at hand.

    Args:
        todo: the keys and sizes, in this order.
        records_dir: where measurements are appended.
        budget_s: seconds for everything; jobs beyond it are left out.
        device: by default the current GPU.
        clock: by default the device's.
        watch: passes jobs on, to show progress.

    Raises:
        RuntimeError: there is no GPU, a CUDA graph is being captured, or this process is not rank 0
            of a distributed job.
        OSError: records or the user's file cannot be written.
        ValueError: files of other versions are in their place.
    """
    refuse_other_ranks()
    device = device or here()
    if device.kind == "gpu" and torch.cuda.is_current_stream_capturing():
        raise RuntimeError("tune: a CUDA graph is being captured, which measuring would break off")
    if device.kind == "cpu" and clock is None:
        raise RuntimeError("tune: there is no GPU here; `plan` says what would be tried on one")
    settled = CudaClock(device.torch, device.flush_bytes) if clock is None else clock
    started = settled.now()
    target = target_of(device.torch)
    meta = describe(device, timing.canary(device.torch, settled), SEED, sys.argv[1:])
    if clock is None:
        settled.warmup_s = WARM_S
    clock = settled
    tuned = Tuned(str(meta["run_id"]))
    results = records_dir / f"{device.slug}.csv"
    records.append(results, RESULTS, [])  # says now, not after minutes, if it cannot be written
    records.append(records_dir / "runs.csv", RUNS, [meta])
    tuned.files += [records_dir / "runs.csv", results]
    counts = _Counts(target)
    try:
        with torch.no_grad():
            for job in watch(todo, len(todo)):
                if clock.now() - started >= budget_s:
                    tuned.left_out[job.label] = "out of time"
                    continue
                try:
                    rows, winner = _tune_one(job, device, clock, target, counts, tuned.run_id)
                except torch.OutOfMemoryError:
                    tuned.left_out[job.label] = "out of memory"
                    continue
                records.append(results, RESULTS, rows)
                tuned.rows += rows
                if winner is None:
                    tuned.left_out[job.label] = "every candidate failed"
                    continue
                path = _store(job, winner, device, target, meta)
                tuned.chosen.setdefault(job.key, {})[job.octave] = winner
                if path not in tuned.files:
                    tuned.files.append(path)
    except KeyboardInterrupt:
        tuned.interrupted = True
    finally:
        lookup.forget()
    return tuned


def refuse_other_ranks() -> None:
    """Lets only one process of a distributed job go on: others would disagree with it.

    Raises:
        RuntimeError: this is not rank 0.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = str(torch.distributed.get_rank()) if distributed else os.environ.get("RANK") or "0"
    if rank != "0":
        raise RuntimeError(
            f"tune: this is rank {rank} of a distributed job, and only rank 0 may tune; run the "
            "command once, before the job, and all ranks will read its file"
        )


class _Counts:
    """Machine-code counts of all candidates, compiled once for each variant and dtype."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._found: dict[tuple[str, str, torch.dtype], Known] = {}

    def of(self, job: Job, candidates: Sequence[Config]) -> Known | None:
        """By config; None where nothing is compiled for this architecture."""
        if self._target.arch not in gpus.architectures():
            return None
        name = (
            job.op,
            f"{job.variant.name} {job.variant.direction} {job.variant.layout}",
            job.dtype,
        )
        if name not in self._found:
            self._found[name] = compiled_counts(
                job.variant, job.dtype, self._target.arch, candidates, load=True
            )
        return self._found[name]


def _tune_one(
    job: Job, device: Device, clock: Clock, target: Target, counts: _Counts, run_id: str
) -> tuple[list[Row], Config | None]:
    """The rows and the winner of one job."""
    default, candidates = candidates_for(job.op, job.variant, job.dtype, target.hardware)
    numel = 1 << job.octave
    known = counts.of(job, candidates)
    if known is None:
        screened = [Screened(config, None, "") for config in candidates]
    else:
        sm_count = device.gpu.sm_count if device.gpu else _sm_count(device)
        to_fill = sm_count if job.variant.layout == "flat" else 1
        screened = screen(candidates, default, known, numel, to_fill, job.aligned)
    assert job.variant.bench is not None  # `jobs` lists no other
    bench = job.variant.bench(job.dtype, numel, job.aligned, device.torch)
    alive = [s.config for s in screened if not s.dropped]
    present = _incumbent(job, device, target)
    found = search(bench, alive, default, present, clock, KEY_S)
    rows = trial_rows(job, device, run_id, bench.x, screened, found, default)
    return list(rows), found.winner


def _sm_count(device: Device) -> int:
    if device.kind == "cpu":
        return 1
    return int(torch.cuda.get_device_properties(device.torch).multi_processor_count)


def _incumbent(job: Job, device: Device, target: Target) -> Config | None:
    """What the user's file holds for this very size."""
    own = store.user(device.slug)
    config = own.entries.get(job.key, {}).get(job.octave) if own else None
    return config.on(target.hardware.warp_size) if config else None


def _store(job: Job, winner: Config, device: Device, target: Target, meta: Row) -> Path:
    """Merges a winner into the user's file: that of the GPU, whatever TRITON_ACTS_GPU says."""
    gpu = gpus.identify(device.torch) if device.kind == "gpu" else None
    about = {
        "slug": device.slug,
        "vendor": target.vendor,
        "arch": target.arch,
        "sm_count": gpu.sm_count if gpu else 1,
        "mem_gib": round(gpu.mem_gib, 1) if gpu else 1,
        "warp_size": target.hardware.warp_size,
    }
    entries = {job.key: {job.octave: winner}}
    return store.update_user(device.slug, about, provenance([meta], target.arch), entries)
