"""The README's speed table: measured rows of the committed records, or 'not yet measured'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from perf.cases import LARGE, Case, kaf_rows
from perf.measure import identity
from perf.ops import kaf_op, pointwise_ops
from perf.tables import number
from triton_acts.tuning import records
from triton_acts.tuning.records import RESULTS, RUNS, Row
from triton_acts.tuning.writing import write_text

__all__ = ["speed_table", "write"]

NOT_YET = "not yet measured"
COLUMNS = (
    *("activation", "direction", "x", "GPU", "GB/s", "share of a plain copy or add"),
    *("times eager", "times torch.compile", "torch / triton", "UTC date"),
)
_KEY = ("op", "variant", "direction", "dtype", "shape", "layout")


def write(readme: Path, folder: Path) -> None:
    """Puts the table between the README's marks.

    Raises:
        ValueError: the marks are missing, or a record is damaged.
    """
    text = readme.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- speed -->\n).*?(<!-- /speed -->)", re.DOTALL)
    made, count = marked.subn(lambda m: f"{m[1]}\n{speed_table(folder)}\n\n{m[2]}", text)
    if count != 1:
        raise ValueError(f"{readme} has {count} sections marked 'speed', needs exactly 1")
    write_text(readme, made)


def speed_table(folder: Path) -> str:
    """Markdown: for every GPU in a folder of records its newest row of each case.

    Raises:
        ValueError: a file has another header, or a row is damaged (all are named).
    """
    runs, rows = _read(folder)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for case in _cases():
        own = identity(case, "")
        found = [row for row in rows if all(row[name] == own[name] for name in _KEY)]
        names = [str(own["op"]) + (", learned a" if own["variant"] == "per_channel" else "")]
        names += [str(own["direction"]), f"{own['dtype']} {own['shape']}"]
        measured = list(_measured(runs, found))
        for cells in measured or [[NOT_YET, *[""] * (len(COLUMNS) - len(names) - 1)]]:
            lines.append("| " + " | ".join([*names, *cells]) + " |")
    return "\n".join(lines)


def _cases() -> list[Case]:
    both, dtype = ("forward", "backward"), torch.bfloat16
    found = [Case(op, way, dtype, LARGE) for op in pointwise_ops() for way in both]
    return found + [Case(kaf_op(), way, dtype, kaf_rows(64)) for way in both]


def _read(folder: Path) -> tuple[dict[str, Row], list[Row]]:
    """Runs by id, and measurements of GPUs."""
    if not (folder / "runs.csv").exists():
        return {}, []
    tables = [records.read(folder / "runs.csv", RUNS)]
    slugs = dict.fromkeys(str(run["gpu_slug"]) for run in tables[0].rows)
    files = [folder / f"{slug}.csv" for slug in slugs if slug != "cpu"]
    tables += [records.read(file, RESULTS) for file in files if file.exists()]
    problems = [problem for table in tables for problem in table.problems]
    if problems:
        raise ValueError("; ".join(problems))
    runs = {str(run["run_id"]): run for run in tables[0].rows}
    return runs, [row for table in tables[1:] for row in table.rows]


def _measured(runs: dict[str, Row], rows: Sequence[Row]) -> Iterable[list[str]]:
    """The cells of each GPU's newest run."""
    newest: dict[str, Row] = {}
    for row in rows:
        run = runs.get(str(row["run_id"]))
        if run is None or row["provider"] != "triton_acts" or row["ms_p50"] is None:
            continue
        if str(row["config_source"]).startswith(("tune: ", "exhaustive")):
            continue
        slug = str(run["gpu_slug"])
        if slug not in newest or _time(runs, newest[slug]) <= _time(runs, row):
            newest[slug] = row
    for slug, row in sorted(newest.items()):
        run = runs[str(row["run_id"])]
        times = {str(r["provider"]): r["ms_p50"] for r in rows if r["run_id"] == row["run_id"]}
        yield [
            slug,
            number(row["gbps"]),
            number(row["share_of_yardstick"]),
            *(_ratio(times.get(name), row["ms_p50"]) for name in ("eager", "torch.compile")),
            f"{run['torch']} / {run['triton']}",
            str(run["utc_time"])[:10],
        ]


def _time(runs: dict[str, Row], row: Row) -> str:
    return str(runs[str(row["run_id"])]["utc_time"])


def _ratio(theirs: object, ours: object) -> str:
    if not isinstance(theirs, float) or not isinstance(ours, float):
        return ""
    return f"{theirs / ours:.2f}"
