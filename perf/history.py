"""The records of some folders as runs: what each measured, and what it measured with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from perf import LOCAL, RECORDS
from triton_acts.tuning import records
from triton_acts.tuning.records import RESULTS, RUNS, Row, Schema
from triton_acts.tuning.trial_rows import TUNE

__all__ = ["CASE", "History", "Run", "from_file", "is_trial", "load", "places"]

CASE = ("op", "variant", "direction", "dtype", "shape", "layout")  # the columns that name a case

SHOWN = 20  # ids that an error lists


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        meta: its row in runs.csv; where that is lost, its run_id, the GPU that its file is named
            after, and nothing else.
        rows: what it measured, in order.
    """

    meta: Row
    rows: list[Row]

    @property
    def run_id(self) -> str:
        """Its name."""
        return str(self.meta["run_id"])

    @property
    def gpu(self) -> str:
        """The GPU's slug."""
        return str(self.meta["gpu_slug"])


@dataclass
class History:
    """The runs of some folders.

    Attributes:
        folders: where they are from.
        runs: oldest first.
        problems: one sentence for each damaged row or file, which are left out.
    """

    folders: Sequence[Path]
    runs: list[Run] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def find(self, name: str) -> Run:
        """The run of that id, or the only one whose id begins so.

        Raises:
            LookupError: there is none, or more than one; lists those there are, newest first.
        """
        places = ", ".join(map(str, self.folders))
        if not self.runs:
            raise LookupError(f"no run in {places}; make some with: python -m perf run")
        exact = [run for run in self.runs if run.run_id == name]
        found = exact or [run for run in self.runs if name and run.run_id.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            raise LookupError(f"{name!r} begins the ids of {len(found)} runs:\n{_listed(found)}")
        raise LookupError(
            f"no run {name!r} in {places}, and no such file; newest first:\n{_listed(self.runs)}"
        )


def places(named: Path | None) -> list[Path]:
    """The folder that a user named, or those of the checkout; a run writes to the last."""
    return [named] if named else [RECORDS, LOCAL]


def load(folders: Sequence[Path]) -> History:
    """Reads all records in some folders; a run that is in two of them counts once.

    A damaged row or a file with another header is named and costs nothing but itself.
    """
    history = History(folders)
    runs: dict[str, Run] = {}
    for folder in folders:
        for run in _runs_in(folder, history.problems):
            if run.run_id not in runs or not runs[run.run_id].rows:
                runs[run.run_id] = run
    history.runs = sorted(runs.values(), key=lambda run: (str(run.meta["utc_time"]), run.run_id))
    return history


def from_file(path: Path, history: History) -> tuple[Run, int]:
    """The newest run in a file of measurements by its order, and how many the file holds.

    What the run measured with is in the runs.csv beside the file, or else in `history`, whose
    `problems` take what is damaged.

    Raises:
        ValueError: the file has another header.
        LookupError: it has no sound row.
    """
    columns = _header(path)
    if set(columns) > set(RESULTS.columns):
        raise ValueError(
            f"{path} is an export, the best rows of several runs; name a run or a file of records"
        )
    if columns != [*RESULTS.columns]:
        raise ValueError(f"{path} is not a file of measurements, or one of another version")
    table = records.read(path, RESULTS)
    history.problems += table.problems
    if not table.rows:
        raise LookupError(f"{path} holds no run")
    name = table.rows[-1]["run_id"]
    known = [*_read(path.parent / "runs.csv", RUNS, history.problems)]
    known += [run.meta for run in history.runs]
    meta = next((row for row in known if row["run_id"] == name), None)
    rows = [row for row in table.rows if row["run_id"] == name]
    count = len({row["run_id"] for row in table.rows})
    return Run(meta or _unknown(str(name), path.stem), rows), count


def is_trial(row: Row) -> bool:
    """True for a row of a search: a config that was tried, not what a call gets."""
    source = str(row["config_source"])
    return source == "exhaustive" or source.startswith(TUNE)


def _runs_in(folder: Path, problems: list[str]) -> list[Run]:
    runs: dict[str, Run] = {}
    for meta in _read(folder / "runs.csv", RUNS, problems):
        runs.setdefault(str(meta["run_id"]), Run(meta, []))
    slugs = {run.gpu for run in runs.values()}
    for path in sorted(folder.glob("*.csv")):
        if path.name == "runs.csv" or not (path.stem in slugs or _begins_as_results(path)):
            continue
        for row in _read(path, RESULTS, problems):
            name = str(row["run_id"])
            runs.setdefault(name, Run(_unknown(name, path.stem), [])).rows.append(row)
    return list(runs.values())


def _begins_as_results(path: Path) -> bool:
    """False for the other tables that a GPU machine leaves in its folder."""
    return _header(path)[0] == "run_id"


def _header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().strip("\r\n").split(",")


def _read(path: Path, schema: Schema, problems: list[str]) -> list[Row]:
    """The sound rows; none where there is no file, or one of another kind."""
    if not path.exists():
        return []
    try:
        table = records.read(path, schema)
    except ValueError as error:
        problems.append(str(error))
        return []
    problems += table.problems
    return table.rows


def _unknown(run_id: str, gpu: str) -> Row:
    empty: Row = {name: "" if kind is str else None for name, kind in RUNS.columns.items()}
    return empty | {"run_id": run_id, "gpu_slug": gpu}


def _listed(runs: Sequence[Run]) -> str:
    lines = [f"  {run.run_id}  {run.gpu}, {len(run.rows)} rows" for run in reversed(runs)]
    more = [f"  and {len(lines) - SHOWN} older ones"] if len(lines) > SHOWN else []
    return "\n".join(lines[:SHOWN] + more)
