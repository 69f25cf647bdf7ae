"""Merges the records that another machine made, by run_id; a second merge changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from perf.history import CASE
from triton_acts.tuning import records
from triton_acts.tuning.records import RESULTS, RUNS, Row

__all__ = ["Merged", "merge"]

_NAMES = (
    *("run_id", *CASE, "provider"),
    *("aligned", "elements_per_thread", "num_warps", "unroll", "config_source"),
)


@dataclass
class Merged:
    """What a merge added.

    Attributes:
        runs: new runs.
        rows: new measurements.
        problems: rows of the source that are damaged and were left out.
    """

    runs: int = 0
    rows: int = 0
    problems: list[str] = field(default_factory=list)


def merge(source: Path, target: Path, local: Path | None = None) -> Merged:
    """Appends the runs of `source` that `target` does not have, with their measurements.

    A run's row is appended last: a merge that was interrupted is completed by the next one.

    Args:
        source: a folder of records.
        target: gets them.
        local: gets those of a CPU, as `target` by default.

    Raises:
        FileNotFoundError: source has no runs.csv.
        ValueError: a file has another header.
    """
    runs_file = source / "runs.csv"
    if not runs_file.exists():
        raise FileNotFoundError(f"{source} holds no records: there is no runs.csv in it")
    merged = Merged()
    runs = _sound(runs_file, records.RUNS, merged)
    known = {
        row["run_id"]
        for folder in {target, local or target}
        for row in _existing(folder / "runs.csv", RUNS)
    }
    for run in runs:
        if run["run_id"] in known:
            continue
        known.add(run["run_id"])
        name, place = f"{run['gpu_slug']}.csv", target
        if local is not None and run["gpu_slug"] == "cpu":
            place = local
        if (source / name).exists():
            rows = [row for row in _sound(source / name, RESULTS, merged) if _same(row, run)]
            there = {_key(row) for row in _existing(place / name, RESULTS) if _same(row, run)}
            merged.rows += records.append(
                place / name, RESULTS, [row for row in rows if _key(row) not in there]
            )
        merged.runs += records.append(place / "runs.csv", RUNS, [run])
    merged.problems = list(dict.fromkeys(merged.problems))
    return merged


def _sound(path: Path, schema: records.Schema, merged: Merged) -> list[Row]:
    table = records.read(path, schema)
    merged.problems += table.problems
    return table.rows


def _existing(path: Path, schema: records.Schema) -> list[Row]:
    return records.read(path, schema).rows if path.exists() else []


def _same(row: Row, run: Row) -> bool:
    return row["run_id"] == run["run_id"]


def _key(row: Row) -> tuple[object, ...]:
    """What a measurement is of; a run has one row for each."""
    return tuple(row[name] for name in _NAMES)
