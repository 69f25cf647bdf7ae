"""Derives the shipped files from records and the golden table: the same input, the same bytes.

A GPU with records of a tune gets what was measured there, any other GPU of the table what the model
expects. Architectures and vendors get the config in common with the smallest sum of t / t_best over
their GPUs, which is CLBlast's rule (Nugteren: CLBlast, IWOCL 2018).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from triton_acts import gpus
from triton_acts.gpus import GPU

from . import records
from .config import Config
from .golden import Entry, Table
from .jobs import DTYPES, OCTAVES, Job, jobs
from .keys import bucket
from .machine_code import Counts
from .outlook import candidates_for, choose, closest, outlook
from .records import RESULTS, RUNS, Row
from .registry import REGISTRY, Hardware
from .store import ConfigFile
from .trial_rows import TUNE

__all__ = ["Measured", "measurements", "promoted"]

_DTYPES: dict[object, torch.dtype] = {str(d).removeprefix("torch."): d for d in DTYPES}
Times = dict[Config, float]  # ms by config
Place = tuple[str, int]  # an entry: key and octave


@dataclass
class Measured:
    """What the tunes of one GPU found.

    Attributes:
        winners: by key and octave; of several runs the newest says.
        times: of all candidates of that run, in ms.
        runs: rows of runs.csv, oldest first.
        identity: warp size, arch and so on, from the newest run's slug.
    """

    winners: dict[Place, Config] = field(default_factory=dict)
    times: dict[Place, Times] = field(default_factory=dict)
    runs: list[Row] = field(default_factory=list)


def measurements(folder: Path) -> dict[str, Measured]:
    """By GPU slug, from the records in a folder; GPUs that the table lacks are left out.

    Raises:
        ValueError: a file has another header, or a row is damaged (all are named).
    """
    if not (folder / "runs.csv").exists():
        return {}
    problems: list[str] = []
    runs = _sound(folder / "runs.csv", RUNS, problems)
    found: dict[str, Measured] = {}
    for run in sorted(runs, key=lambda row: str(row["utc_time"])):
        slug = str(run["gpu_slug"])
        gpu, file = gpus.constants(slug), folder / f"{slug}.csv"
        if gpu is None or not file.exists():
            continue
        rows = [
            row
            for row in _sound(file, RESULTS, problems)
            if row["run_id"] == run["run_id"] and str(row["config_source"]).startswith(TUNE)
        ]
        if rows:
            _take(found.setdefault(slug, Measured()), run, rows, gpu)
    if problems:
        raise ValueError("; ".join(dict.fromkeys(problems)))
    return found


def _sound(path: Path, schema: records.Schema, problems: list[str]) -> list[Row]:
    table = records.read(path, schema)
    problems += table.problems
    return table.rows


def _take(measured: Measured, run: Row, rows: Iterable[Row], gpu: GPU) -> None:
    """Adds a run, which is newer than those before it."""
    measured.runs.append(run)
    fresh: dict[Place, Times] = defaultdict(dict)
    for row in rows:
        place = _place(row)
        if place is None or row["ms_p50"] is None or row["status"] != "ok":
            continue
        config = Config(
            int(row["elements_per_thread"] or 0),
            int(row["num_warps"] or 0),
            int(row["unroll"] or 1),
            gpu.warp_size,
        )
        fresh[place][config] = float(row["ms_p50"])
        if row["is_winner"]:
            measured.winners[place] = config
    measured.times.update(fresh)


def _place(row: Row) -> Place | None:
    """The entry that a row is of; None if no variant or dtype of today has its name."""
    spec, dtype = REGISTRY.get(str(row["op"])), _DTYPES.get(row["dtype"])
    if dtype is None:
        return None
    for variant in spec.variants if spec else ():
        named = (variant.name, variant.direction, variant.layout)
        if named == (row["variant"], row["direction"], row["layout"]):
            job = Job(
                str(row["op"]),
                variant,
                dtype,
                0,
                bool(row["aligned"]),
            )
            return job.key, bucket(int(row["numel"] or 1))
    return None


def promoted(measured: Mapping[str, Measured], entries: Sequence[Entry]) -> dict[str, ConfigFile]:
    """The shipped files by name, without ".json".

    Args:
        measured: what `measurements` found.
        entries: the golden table.
    """
    todo = jobs(tuple(REGISTRY), octaves=sorted(OCTAVES))
    table = Table(entries)
    origins = {e.arch: _model_provenance(e.triton, e.ptxas) for e in entries}
    files: dict[str, ConfigFile] = {}
    times: dict[str, dict[Place, Times]] = {}
    for gpu in gpus.table():
        model = {(job.key, job.octave): _model(job, gpu, table) for job in todo}
        times[gpu.slug] = {place: found[1] for place, found in model.items()}
        own = measured.get(gpu.slug)
        if own is not None:
            times[gpu.slug] |= own.times
            files[gpu.slug] = _file(_about(gpu), _measured_provenance(own), own.winners)
        else:
            chosen = {place: found[0] for place, found in model.items()}
            files[gpu.slug] = _file(_about(gpu), origins[gpu.arch], chosen)
    for name, group in _groups():
        runs = [run for gpu in group if gpu.slug in measured for run in measured[gpu.slug].runs]
        origin = {
            **origins[group[0].arch],
            "kind": "common-best",
            "run_ids": [str(run["run_id"]) for run in runs],
        }
        about = _about(group[0]) | {"slug": name, "sm_count": None, "mem_gib": None}
        if not name.startswith("arch-"):
            about["arch"], origin["ptxas"] = None, None
        files[name] = _file(about, origin, _common(group, todo, times))
    return files


def _model(job: Job, gpu: GPU, table: Table) -> tuple[Config, Times]:
    """The model's choice, and the ms of every candidate that neither spills nor loads narrowly."""
    hardware = Hardware(gpu.warp_size, gpu.bytes_per_clock_sm)
    default, candidates = candidates_for(job.op, job.variant, job.dtype, hardware)
    counts: dict[Config, Counts | str] = {
        config: table.counts_of(job.op, job.variant, job.dtype, gpu.arch, config) or "unknown"
        for config in candidates
    }
    found = outlook(job.variant, job.dtype, gpu, 1 << job.octave, default, counts)
    everywhere = outlook(job.variant, job.dtype, gpu, 1 << job.octave, default, counts, fill=False)
    times = {o.config: o.prediction.ms for o in everywhere if o.prediction is not None}
    return choose(found, default), times


def _groups() -> Iterator[tuple[str, list[GPU]]]:
    for arch in gpus.architectures():
        yield f"arch-{arch}", [gpu for gpu in gpus.table() if gpu.arch == arch]
    for vendor in dict.fromkeys(gpu.vendor for gpu in gpus.table()):
        yield f"vendor-{vendor}", [gpu for gpu in gpus.table() if gpu.vendor == vendor]


def _common(
    group: Sequence[GPU], todo: Sequence[Job], times: Mapping[str, Mapping[Place, Times]]
) -> dict[Place, Config]:
    """What suits a group of GPUs best."""
    hardware = Hardware(group[0].warp_size)
    chosen = {}
    for job in todo:
        place = job.key, job.octave
        columns = [times[gpu.slug].get(place, {}) for gpu in group]
        shared = set.intersection(*(set(column) for column in columns))
        default, _ = candidates_for(job.op, job.variant, job.dtype, hardware)
        sums = {c: sum(column[c] / min(column.values()) for column in columns) for c in shared}
        chosen[place] = closest(sums, default) if sums else default
    return chosen


def _about(gpu: GPU) -> dict[str, Any]:
    return {
        "slug": gpu.slug,
        "vendor": gpu.vendor,
        "arch": gpu.arch,
        "sm_count": gpu.sm_count,
        "mem_gib": gpu.mem_gib,
        "warp_size": gpu.warp_size,
    }


def _model_provenance(triton: str, ptxas: str) -> dict[str, Any]:
    return {"kind": "model", "run_ids": [], "triton": triton, "ptxas": ptxas or None}


def _measured_provenance(measured: Measured) -> dict[str, Any]:
    newest = measured.runs[-1]
    named = {name: newest[name] or None for name in ("torch", "triton", "driver")}
    return {"kind": "measured", "run_ids": [str(run["run_id"]) for run in measured.runs], **named}


def _file(
    about: dict[str, Any], origin: dict[str, Any], chosen: Mapping[Place, Config]
) -> ConfigFile:
    entries: dict[str, dict[int, Config]] = defaultdict(dict)
    for (name, octave), config in chosen.items():
        entries[name][octave] = config
    return ConfigFile(about, origin, dict(entries))
