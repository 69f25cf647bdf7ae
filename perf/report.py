"""The report, report.md and index.html, from all records; and what a run says on the terminal."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from perf import history
from perf.frames import Book, load, measured_table
from perf.headlines import summary
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


def terminal_table(rows: Sequence[Row]) -> str:
    """The measured table for a terminal: what was timed, and fewer columns."""
    table = measured_table(rows)
    if table.empty:
        return "No case was measured."
    dropped = ["p20 (ms)", "p80 (ms)", "yardstick", "error (of 8)", "remarks"]
    timed = table[table["time p50 (ms)"].notna()].drop(columns=dropped).dropna(axis=1, how="all")
    return str(timed.to_string(index=False, float_format=number, na_rep=""))


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
