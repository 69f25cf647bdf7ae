"""The README's speed table: measured rows of the committed records, or 'not yet measured'."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from perf.cases import LARGE, Case, kaf_rows
from perf.history import CASE, Run, is_trial, load
from perf.measure import identity
from perf.ops import kaf_op, pointwise_ops
from perf.tables import number, op_name
from triton_acts.tuning.records import Row
from triton_acts.tuning.writing import write_text

__all__ = ["speed_table", "write"]

NOT_YET = "not yet measured"
COLUMNS = (
    *("activation", "direction", "x", "GPU", "GB/s", "share of yardstick"),
    *("times eager", "times torch.compile", "torch / triton", "UTC date"),
)


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
    runs = _runs(folder)
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for case in _cases():
        own = identity(case, "")
        names = [op_name(str(own["op"]), str(own["variant"]))]
        names += [str(own["direction"]), f"{own['dtype']} {own['shape']}"]
        measured = list(_measured(runs, own))
        for cells in measured or [[NOT_YET, *[""] * (len(COLUMNS) - len(names) - 1)]]:
            lines.append("| " + " | ".join([*names, *cells]) + " |")
    return "\n".join(lines)


def _cases() -> list[Case]:
    both, dtype = ("forward", "backward"), torch.bfloat16
    found = [Case(op, way, dtype, LARGE) for op in pointwise_ops() for way in both]
    return found + [Case(kaf_op(), way, dtype, kaf_rows(64)) for way in both]


def _runs(folder: Path) -> list[Run]:
    """The runs on GPUs, oldest first."""
    history = load([folder])
    if history.problems:
        raise ValueError("; ".join(history.problems))
    return [run for run in history.runs if run.gpu != "cpu" and run.meta["utc_time"]]


def _measured(runs: Sequence[Run], case: Row) -> Iterable[list[str]]:
    """The cells of each GPU's newest run that timed the case."""
    newest: dict[str, tuple[Run, dict[str, Row]]] = {}
    for run in runs:
        providers = {
            str(row["provider"]): row
            for row in run.rows
            if not is_trial(row) and all(row[name] == case[name] for name in CASE)
        }
        if providers.get("triton_acts", {}).get("ms_p50") is not None:
            newest[run.gpu] = run, providers
    for slug, (run, providers) in sorted(newest.items()):
        ours = providers["triton_acts"]
        times = {name: row["ms_p50"] for name, row in providers.items()}
        yield [
            slug,
            number(ours["gbps"]),
            number(ours["share_of_yardstick"]),
            *(_ratio(times.get(name), ours["ms_p50"]) for name in ("eager", "torch.compile")),
            f"{run.meta['torch']} / {run.meta['triton']}",
            str(run.meta["utc_time"])[:10],
        ]


def _ratio(theirs: object, ours: object) -> str:
    if not isinstance(theirs, float) or not isinstance(ours, float):
        return ""
    return f"{theirs / ours:.2f}"
