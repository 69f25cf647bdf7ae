"""What a newcomer wants to know first: what was measured on what, and how triton_acts compares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from perf.frames import Book, measured_table
from perf.section import Section
from perf.tables import number
from triton_acts.tuning.records import Row
from triton_acts.tuning.timing import quantile

__all__ = ["MAKE_RECORDS", "section", "summary"]

NOISY = 1.2  # p80 / p20 beyond which a ratio is called uncertain
_CPU = " (no GPU: the plain PyTorch composite ran, not the Triton kernels)"
_AGAINST = {
    "eager": "speed / eager",
    "torch.compile": "speed / compile",
    "plain copy or add": "share of yardstick",
}
_ARTICLES = {"plain copy or add": "a "}
MAKE_RECORDS = (
    "There are no records yet. Make some with `make perf` (or `python -m perf run`), which "
    "measures the device at hand and takes 4 minutes without a GPU; `make perf QUICK=1` takes one. "
    "`make gpu` runs everything on a GPU machine, and `python -m perf import DIR` takes over what "
    "another machine has recorded."
)


def section(book: Book) -> Section:
    """The report's first section."""
    about = (
        "triton_acts is a set of GPU activation functions for PyTorch. This report shows how long "
        "they take beside the same formulas in plain PyTorch ('eager'; of KAF as published) and in "
        "torch.compile. An activation reads and writes memory and computes little, so the best "
        "possible time is that of a plain copy of the same bytes (or of an addition, where two "
        "tensors are read): the 'yardstick'."
    )
    if not book.gpus:
        return Section("Summary", [about, MAKE_RECORDS])
    found = Section("Summary", [about])
    for slug in book.gpus:
        timed = _timed(measured_table(book.of(slug)))
        found.text += _headline(book, slug, timed)
        table = _compared(timed)
        if len(table):
            caption = f"Speed of triton_acts on {slug} relative to each: median and range of cases"
            found.tables.append((caption, table))
    found.text.append(
        "Speeds are ratios of medians of interleaved rounds: above 1, triton_acts is faster."
    )
    return found


def _headline(book: Book, slug: str, timed: pd.DataFrame) -> list[str]:
    """A paragraph on one GPU: its name, the newest run, and the medians over all its cases."""
    text = f"{slug}: {book.name(slug)}{_CPU if slug == 'cpu' else ''}."
    shown = book.rows["run_id"]
    runs = book.runs[(book.runs["gpu_slug"] == slug) & book.runs["run_id"].isin(shown)]
    if len(runs):
        run = runs.iloc[0]
        text += (
            f" Newest run {run['utc_time'][:10]}, torch {run['torch']}, triton "
            f"{run['triton'] or 'not installed'}; a plain copy reached "
            f"{number(run['canary_gbps'])} GB/s."
        )
    if timed.empty:
        return [f"{text} No case was measured."]
    is_kaf = timed["op"] == "kaf"
    for name, cases in (("The pointwise ops are", timed[~is_kaf]), ("KAF is", timed[is_kaf])):
        speeds = [
            f"{speed:.2f} times as fast as {_ARTICLES.get(title, '')}{title}"
            for title, column in _AGAINST.items()
            if (speed := _median(cases[column])) == speed
        ]
        if speeds:
            count = "1 case" if len(cases) == 1 else f"medians of {len(cases)} cases"
            text += f" {name} {', '.join(speeds)} ({count})."
    return [text, *_noise(timed)]


def _compared(timed: pd.DataFrame) -> pd.DataFrame:
    """Speed of triton_acts relative to each other provider, by op and direction.

    What was measured alone is left out.
    """
    lines = []
    for (op, variant, direction), group in _groups(timed):
        if group["speed / eager"].notna().any():
            line = {"op": f"{op} {variant}", "direction": direction, "cases": len(group)}
            line |= {title: _spread(group[column]) for title, column in _AGAINST.items()}
            lines.append(line)
    return pd.DataFrame(lines)


def summary(meta: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """The same of one run, for a terminal."""
    lines = [
        f"Measured on: {meta['gpu_name']}{_CPU if meta['gpu_slug'] == 'cpu' else ''}",
        f"torch {meta['torch']}, triton {meta['triton'] or 'not installed'}; a plain copy of "
        f"64 MiB reaches {number(meta['canary_gbps'])} GB/s",
    ]
    table = measured_table(rows)
    timed = table[table["time p50 (ms)"].notna()] if len(table) else table
    gaps = _gaps(rows)
    if timed.empty:
        return [*lines, "No case was measured.", *gaps]
    lines.append(f"{len(timed)} cases, medians of interleaved rounds. Speed of triton_acts")
    lines.append(
        "relative to each (above 1: triton_acts is faster), median and range of the cases:"
    )
    for key, group in _groups(_timed(timed)):
        against = (f"{title} {_spread(group[column])}" for title, column in _AGAINST.items())
        lines.append(f"  {' '.join(key)}: {', '.join(against)}")
    return lines + _noise(timed) + gaps


def _gaps(rows: Sequence[Row]) -> list[str]:
    """How many rows have no time, by reason."""
    status = pd.Series([str(row["status"]) for row in rows], dtype=str)
    trouble = status[~status.str.startswith("ok")].value_counts()
    return [f"Not timed, {count} rows: {text}" for text, count in trouble.items()]


def _timed(table: pd.DataFrame) -> pd.DataFrame:
    """The lines of a measured table that have a device time."""
    if table.empty:
        return table
    return table[table["time p50 (ms)"].notna() & ~table["variant"].str.contains("/")]


def _groups(timed: pd.DataFrame) -> Iterable[tuple[tuple[str, str, str], pd.DataFrame]]:
    if timed.empty:
        return []
    found: Any = timed.groupby(["op", "variant", "direction"], sort=False)
    return found  # type: ignore[no-any-return]


def _noise(timed: pd.DataFrame) -> list[str]:
    noisy = int((timed["p80 (ms)"] > NOISY * timed["p20 (ms)"]).sum())
    if not noisy:
        return []
    return [
        f"Noise: in {noisy} of {len(timed)} cases p80 is over {NOISY} x p20, so their ratios are "
        "uncertain; repeat the run on an idle machine."
    ]


def _median(values: Iterable[float]) -> float:
    known = [value for value in values if value is not None and value > 0]
    return quantile(known, 0.5) if known else math.nan


def _spread(values: Iterable[float]) -> str:
    """Median, and the range over the cases."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return "not measured"
    if len(known) == 1:
        return f"{known[0]:.2f} (1 case)"
    return f"{quantile(known, 0.5):.2f} ({min(known):.2f} to {max(known):.2f})"
