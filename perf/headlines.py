"""What a newcomer wants to know first: what was measured on what, and how triton_acts compares."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from perf.frames import Book, measured_table
from perf.section import Section
from perf.tables import number, op_name, ratio
from triton_acts.tuning.records import Row
from triton_acts.tuning.timing import quantile

__all__ = ["MAKE_RECORDS", "section", "summary"]

NOISY = 1.2  # p80 / p20 beyond which a ratio is called uncertain
LARGE_MIB, LARGE_CPU_MIB = 16, 1  # of x, from which on calls and launches are a small part
WIDTH = 118  # characters of a line on a terminal
YARDSTICK = (
    "a plain copy of the same bytes, or an addition where the work reads two tensors: as fast as "
    "memory allows"
)
_CPU = " (no GPU: the plain PyTorch composite ran, not the Triton kernels)"
_AGAINST = {
    "eager": "speed / eager",
    "torch.compile": "speed / compile",
    "share of yardstick": "share of yardstick",
}
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
        "torch.compile. An activation reads and writes memory and computes little, so its measure "
        f"is the 'yardstick': {YARDSTICK}."
    )
    if not book.gpus:
        return Section("Summary", [about, MAKE_RECORDS])
    found = Section("Summary", [about])
    overview, detail = [], []
    for slug in book.gpus:
        timed = _timed(measured_table(book.of(slug)), slug)
        found.text.append(_headline(book, slug, timed))
        overview += _overview(timed, slug)
        detail.append(_compared(timed, slug))
    if overview:
        found.tables = [
            ("Speed of triton_acts relative to each: median (range)", pd.DataFrame(overview)),
            ("The same by op and direction", pd.concat(detail)),
        ]
    found.text.append(
        "Speeds are ratios of medians of interleaved rounds: above 1, triton_acts is faster. Large "
        f"is x from {LARGE_MIB} MiB on, on a CPU from {LARGE_CPU_MIB}; below, launches and calls "
        "count."
    )
    return found


def _headline(book: Book, slug: str, timed: pd.DataFrame) -> str:
    """A paragraph on one GPU: its name, the newest run, and how sure it is."""
    text = [f"{slug}: {book.name(slug)}{_CPU if slug == 'cpu' else ''}."]
    shown = book.rows["run_id"]
    runs = book.runs[(book.runs["gpu_slug"] == slug) & book.runs["run_id"].isin(shown)]
    if len(runs):
        run = runs.iloc[0]
        text.append(
            f"Newest run {run['utc_time'][:10]}, torch {run['torch']}, triton "
            f"{run['triton'] or 'not installed'}; a plain copy reached "
            f"{number(run['canary_gbps'])} GB/s."
        )
    if timed.empty:
        return " ".join([*text, "No case was measured."])
    return " ".join([*text, *_noise(timed)])


def _overview(timed: pd.DataFrame, slug: str) -> list[dict[str, Any]]:
    """The pointwise ops and KAF on large and on small tensors; what was measured alone is out."""
    if timed.empty:
        return []
    beside = timed[timed["speed / eager"].notna()]
    kinds = beside["op"].map(lambda op: "KAF" if op == "kaf" else "pointwise")
    groups = beside.assign(kind=kinds).groupby(["size", "kind"], sort=False)
    return [
        {"GPU": slug, "ops": kind, "x": size, **_speeds(cases)} for (size, kind), cases in groups
    ]


def _speeds(cases: pd.DataFrame) -> dict[str, Any]:
    spreads = {title: _spread(cases[name]) for title, name in _AGAINST.items()}
    return {"cases": len(cases), **spreads}


def _compared(timed: pd.DataFrame, slug: str) -> pd.DataFrame:
    """Speed of triton_acts relative to each other provider, by op, direction and size.

    What was measured alone is left out.
    """
    lines = []
    for (what, direction, size), group in _groups(timed):
        if group["speed / eager"].notna().any():
            line = {"GPU": slug, "op": what, "direction": direction, "x": size}
            lines.append({**line, **_speeds(group)})
    return pd.DataFrame(lines)


def summary(meta: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """The same of one run, for a terminal."""
    slug = str(meta["gpu_slug"])
    lines = [
        f"Measured on: {meta['gpu_name']}{_CPU if slug == 'cpu' else ''}",
        f"torch {meta['torch']}, triton {meta['triton'] or 'not installed'}; a plain copy of "
        f"64 MiB reaches {number(meta['canary_gbps'])} GB/s",
    ]
    timed, gaps = _timed(measured_table(rows), slug), _gaps(rows)
    if timed.empty:
        return [*lines, "No case was measured.", *gaps]
    lines += _noise(timed)
    lines.append(
        "How many times as fast triton_acts is, and its share of the yardstick's speed; median "
        f"(range) of the cases; large is x from {_least(slug)} MiB on:"
    )
    table = _compared(timed, slug)
    text = _beside(table) if len(table) else ["No case was measured beside another provider."]
    return [part for line in lines for part in _wrapped(line)] + text + gaps


def _beside(table: pd.DataFrame) -> list[str]:
    """The compared speeds as lines."""
    names = "  " + table["op"] + ", " + table["direction"] + ", " + table["x"]
    width = names.str.len().max()
    shown = pd.concat([names.str.ljust(width).rename(" " * width), table[list(_AGAINST)]], axis=1)
    cells = {title: shown[title].replace("", "not measured") for title in _AGAINST}
    return [line.rstrip() for line in shown.assign(**cells).to_string(index=False).splitlines()]


def _gaps(rows: Sequence[Row]) -> list[str]:
    """What has no time, by reason."""
    gaps: dict[str, dict[str, dict[str, None]]] = {}
    counts: dict[str, int] = {}
    for row in rows:
        status, provider = str(row["status"]), str(row["provider"])
        if not status.startswith("ok"):
            name = op_name(str(row["op"]), str(row["variant"]))
            if not status.startswith("left out"):  # which is a whole case
                name = f"{provider} of {name}"
            counts[status] = counts.get(status, 0) + 1
            gaps.setdefault(status, {}).setdefault(name, {})[str(row["direction"])] = None
    return [
        part
        for status, names in gaps.items()
        for part in _wrapped(
            f"Not timed, {counts[status]} rows: {status} ("
            + "; ".join(f"{name}, {' and '.join(ways)}" for name, ways in names.items())
            + ")"
        )
    ]


def _wrapped(line: str) -> list[str]:
    indent = line[: len(line) - len(line.lstrip())]
    return textwrap.wrap(line, WIDTH, subsequent_indent=f"{indent}  ")


def _timed(table: pd.DataFrame, slug: str) -> pd.DataFrame:
    """The lines of a measured table that have a device time, "large" or "small" by x."""
    if table.empty:
        return table
    found = table[table["time p50 (ms)"].notna() & ~table["variant"].str.contains("/")]
    large = found["x (MiB)"] >= _least(slug)
    return found.assign(size=large.map({True: "large", False: "small"}))


def _least(slug: str) -> int:
    """MiB of a large x."""
    return LARGE_CPU_MIB if slug == "cpu" else LARGE_MIB


def _groups(timed: pd.DataFrame) -> Iterable[tuple[tuple[str, str, str], pd.DataFrame]]:
    if timed.empty:
        return []
    by_size = timed.sort_values("size", kind="stable")
    found: Any = by_size.groupby(["what", "direction", "size"], sort=False)
    return found  # type: ignore[no-any-return]


def _noise(timed: pd.DataFrame) -> list[str]:
    noisy = int((timed["p80 (ms)"] > NOISY * timed["p20 (ms)"]).sum())
    if not noisy:
        return []
    most = "Most cases are noisy: what follows is a rough guide. " * (2 * noisy > len(timed))
    return [
        f"{most}Noise: in {noisy} of {len(timed)} cases p80 is over {NOISY} x p20, so their ratios "
        "are uncertain; repeat the run on an idle machine."
    ]


def _spread(values: Iterable[float]) -> str:
    """Median, and the range over the cases; "" where there is no value."""
    known = [value for value in values if value is not None and value > 0]
    if len(known) < 2:
        return "".join(map(ratio, known))
    return f"{ratio(quantile(known, 0.5))} ({ratio(min(known))} to {ratio(max(known))})"
