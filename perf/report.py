"""The report, report.md and index.html, from all records; and what a run says on the terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from perf import history
from perf.frames import Book, compact, load, measured_table
from perf.headlines import WIDTH, YARDSTICK, summary
from perf.history import CASE, is_trial
from perf.page import page
from perf.promises import BASIS, TITLE, promises
from perf.section import Section
from perf.sections import sections
from perf.tables import markdown, number
from perf.timed import timed
from perf.units import TOLERANCE
from triton_acts.tuning.records import Row
from triton_acts.tuning.writing import write_text

__all__ = ["ending", "load", "measured_table", "our_failures", "promises_table", "summary"]
__all__ += ["terminal_table", "write"]

HEADING = "Performance of triton_acts"
_TERMINAL = {
    "p50 (ms)": "p50 (ms)",
    "GB/s": "GB/s",
    "share of yardstick": "of yardstick",
    "speed / eager": "/ eager",
    "speed / compile": "/ compile",
    "both compiled": "both compiled",
}
_LEGEND = (
    f"Medians. of yardstick: speed relative to {YARDSTICK}. / eager, / compile: times as fast as "
    "the formula in plain PyTorch, and in torch.compile. both compiled: torch.compile of "
    "triton_acts relative to torch.compile of the formula. learned a: one number a channel."
)


def terminal_table(rows: Sequence[Row]) -> str:
    """The measured table for a terminal: what was timed, and fewer columns, which it explains."""
    table = compact(measured_table(rows))
    timed = table[table["p50 (ms)"].notna()] if len(table) else table
    if timed.empty:
        return "No case was measured."
    numbers = timed[list(_TERMINAL)].rename(columns=_TERMINAL).dropna(axis=1, how="all")
    names = timed["case"].str.rpartition(", ")
    lines = []
    for what, group in numbers.groupby(names[0], sort=False):
        lines.append({"": str(what)})
        for place, values in group.iterrows():
            case = f"  {names.loc[place, 2]}, {timed.loc[place, 'x']}"
            lines.append({"": case} | {name: number(value) for name, value in values.items()})
    frame = pd.DataFrame(lines).fillna("")
    width = frame[""].str.len().max()
    text = frame.assign(**{"": frame[""].str.ljust(width)}).to_string(index=False)
    legend = textwrap.fill(_LEGEND, WIDTH)
    return "\n".join([legend, "", *(line.rstrip() for line in text.splitlines())])


def promises_table(rows: Sequence[Row]) -> str:
    """What KAF promises on a CPU, for a terminal; "" where its case was not on the list."""
    table = pd.DataFrame(promises(rows))
    if table.empty:
        return ""
    text = table.to_string(index=False, float_format=number, na_rep="")
    return f"{textwrap.fill(f'{TITLE}: {BASIS}', 100)}\n{text}"


def our_failures(rows: Sequence[Row]) -> list[str]:
    """The cases in which triton_acts was wrong or raised: a run with one has not passed."""
    return [
        f"{' '.join(str(row[name]) for name in (*CASE, 'provider'))}: {row['status']}, "
        f"error {row['max_err']}, allowed {TOLERANCE:.0f}"
        for row in rows
        if str(row["provider"]).startswith("triton_acts")
        and str(row["status"]).startswith(("wrong", "failed"))
    ]


def ending(meta: Row, folders: Sequence[Path], records_dir: Path | None = None) -> list[str]:
    """A run's name, and the command that compares it with an earlier one of the same GPU.

    That is the newest with the same arguments, or else the newest.

    Args:
        meta: the run's row in runs.csv.
        folders: where runs are looked up.
        records_dir: the folder that the user named in place of these.
    """
    lines = [f"Run: {meta['run_id']}"]
    earlier = [
        run.meta
        for run in history.load(folders).runs
        if run.gpu == meta["gpu_slug"] and run.run_id != meta["run_id"]
        if any(timed(row) and not is_trial(row) for row in run.rows)
    ]
    alike = [other for other in earlier if other["argv"] == meta["argv"]]
    if earlier:
        base, head = (alike or earlier)[-1]["run_id"], meta["run_id"]
        command = f"make perf-compare BASE={base} HEAD={head}"
        if records_dir:
            command = f"python -m perf compare {base} {head} --records {records_dir}"
        lines.append(f"What changed since the last one: {command}")
    return lines


def write(
    folder: Path, book: Book, predicted: Sequence[Row], chart_s: float = math.inf
) -> list[Path]:
    """Writes the report into a folder; returns the paths of report.md and index.html.

    Args:
        folder: made if missing.
        book: the records.
        predicted: rows of the static table.
        chart_s: seconds to draw charts for, the newest GPU's first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = sections(book, predicted)
    paths = [folder / "report.md", folder / "index.html"]
    write_text(paths[0], _markdown(found))
    write_text(paths[1], page(HEADING, found, chart_s))
    return paths


def _markdown(found: Sequence[Section]) -> str:
    parts = [f"# {HEADING}", "Charts are in index.html."]
    for section in found:
        parts += [f"## {section.title}", *section.text]
        for caption, table in section.tables:
            parts += [f"### {caption}", markdown(table)]
    return "\n\n".join([*parts, ""])
