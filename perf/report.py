"""report.md and the terminal's summary, from the rows of a run. pandas makes the tables."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from perf import static
from perf.bars import BASIS, TITLE, bars
from perf.cases import PEAK_MEMORY
from perf.tables import markdown, number
from perf.units import TOLERANCE
from triton_acts import gpus
from triton_acts.tuning import records
from triton_acts.tuning.records import RESULTS, RUNS, Row
from triton_acts.tuning.registry import REGISTRY
from triton_acts.tuning.timing import quantile

__all__ = ["bars_table", "measured_table", "newest", "summary", "terminal_table", "write"]

NOISY = 1.2  # p80 / p20 beyond which a ratio is called uncertain
_CASE = ["op", "variant", "direction", "dtype", "shape", "layout", "numel"]
_COUNTS = ["instr_per_elt", "mufu_per_elt", "load_bytes", "store_bytes", "regs", "spill_bytes"]
_KERNEL = ["op", "variant", "direction", "dtype", "layout"]


def measured_table(rows: Sequence[Row]) -> pd.DataFrame:
    """One line a case: time and rate of triton_acts, and its speed against the others.

    Ratios above 1 mean that triton_acts is faster. Both sides of a ratio come from the same
    interleaved rounds.
    """
    frame = pd.DataFrame(rows, columns=list(RESULTS.columns))
    lines = []
    for key, group in frame.groupby(_CASE, sort=False):
        providers = {str(row["provider"]): row for row in group.to_dict("records")}
        ours = providers.get("triton_acts")
        if ours is None or key[1].endswith(f"/{PEAK_MEMORY}"):
            continue
        compiled = providers.get("torch.compile", {})
        ours_compiled = providers.get("triton_acts compiled", {})
        line = dict(zip(_CASE, key, strict=True))
        line |= {
            "x (MiB)": ours["numel"] * {"float32": 4, "float64": 8}.get(ours["dtype"], 2) / 2**20,
            "time p50 (ms)": ours["ms_p50"],
            "p20 (ms)": ours["ms_p20"],
            "p80 (ms)": ours["ms_p80"],
            "rate (GB/s)": ours["gbps"],
            "share of yardstick": ours["share_of_yardstick"],
            "yardstick": ours["yardstick"],
            "speed / eager": ours["speedup_vs_eager"],
            "speed / compile": _ratio(compiled.get("ms_p50"), ours["ms_p50"]),
            "both compiled": _ratio(compiled.get("ms_p50"), ours_compiled.get("ms_p50")),
            "error (of 8)": ours["max_err"],
            "remarks": "; ".join(
                f"{name}: {row['status']}"
                for name, row in providers.items()
                if row["status"] != "ok"
            ),
        }
        lines.append(line)
    return pd.DataFrame(lines)


def terminal_table(rows: Sequence[Row]) -> str:
    """The measured table for a terminal: what was timed, and fewer columns."""
    table = measured_table(rows)
    if table.empty:
        return "No case was measured."
    dropped = ["numel", "p20 (ms)", "p80 (ms)", "yardstick", "error (of 8)", "remarks"]
    timed = table[table["time p50 (ms)"].notna()].drop(columns=dropped).dropna(axis=1, how="all")
    return str(timed.to_string(index=False, float_format=number, na_rep=""))


def bars_table(rows: Sequence[Row]) -> str:
    """What KAF promises on a CPU, for a terminal; "" where its case was not on the list."""
    table = pd.DataFrame(bars(rows))
    if table.empty:
        return ""
    text = table.to_string(index=False, float_format=number, na_rep="")
    return f"{textwrap.fill(f'{TITLE}: {BASIS}', 100)}\n{text}"


def our_failures(rows: Sequence[Row]) -> list[str]:
    """The cases in which triton_acts was wrong or raised: a run with one has not passed."""
    return [
        f"{' '.join(str(row[name]) for name in (*_CASE, 'provider'))}: {row['status']}, "
        f"error {row['max_err']}, allowed {TOLERANCE:.0f}"
        for row in rows
        if str(row["provider"]).startswith("triton_acts")
        and str(row["status"]).startswith(("wrong", "failed"))
    ]


def summary(meta: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """What a newcomer wants to know: what was measured on what, and how it compares."""
    cpu = meta["gpu_slug"] == "cpu"
    lines = [
        f"Measured on: {meta['gpu_name']}"
        + (" (no GPU: the plain PyTorch composite ran, not the Triton kernels)" if cpu else ""),
        f"torch {meta['torch']}, triton {meta['triton'] or 'not installed'}; a plain copy of "
        f"64 MiB reaches {number(meta['canary_gbps'])} GB/s",
    ]
    table = measured_table(rows)
    timed = table[table["time p50 (ms)"].notna()] if len(table) else table
    status = pd.Series([str(row["status"]) for row in rows], dtype=str)
    trouble = status[~status.str.startswith("ok")].value_counts()
    gaps = [f"Not timed, {count} rows: {text}" for text, count in trouble.items()]
    if timed.empty:
        return [*lines, "No case was measured.", *gaps]
    lines.append(f"{len(timed)} cases, medians of interleaved rounds. Speed of triton_acts")
    lines.append(
        "relative to each (above 1: triton_acts is faster), median and range of the cases:"
    )
    device_time = timed[~timed["variant"].str.contains("/")]
    for key, group in device_time.groupby(["op", "variant", "direction"], sort=False):
        against = ", ".join(
            f"{title} {_spread(group[column])}"
            for title, column in (
                ("eager", "speed / eager"),
                ("torch.compile", "speed / compile"),
                ("plain copy or add", "share of yardstick"),
            )
        )
        lines.append(f"  {' '.join(map(str, key))}: {against}")
    noisy = int((timed["p80 (ms)"] > NOISY * timed["p20 (ms)"]).sum())
    if noisy:
        lines.append(
            f"Noise: in {noisy} of {len(timed)} cases p80 is over {NOISY} x p20, so their ratios "
            "are uncertain; repeat the run on an idle machine."
        )
    return lines + gaps


def write(
    folder: Path,
    meta: Mapping[str, Any],
    rows: Sequence[Row],
    predicted: Sequence[Row],
    problems: Sequence[str] = (),
) -> Path:
    """Writes report.md into a folder; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    report = folder / "report.md"
    report.write_text(_text(meta, rows, predicted, problems), encoding="utf-8")
    return report


def newest(folders: Iterable[Path]) -> tuple[Row, list[Row], list[str]]:
    """The newest run in some folders: its row, its measurements, and which rows are damaged.

    Raises:
        LookupError: there is no run.
        ValueError: a file has another header.
    """
    problems: list[str] = []
    found: list[tuple[str, Path, Row]] = []
    for folder in folders:
        if (folder / "runs.csv").exists():
            table = records.read(folder / "runs.csv", RUNS)
            problems += table.problems
            found += [(str(row["utc_time"]), folder, row) for row in table.rows]
    if not found:
        raise LookupError("there are no records yet; make some with: python -m perf run")
    _, folder, meta = max(found, key=lambda item: item[0])
    path = folder / f"{meta['gpu_slug']}.csv"
    if not path.exists():
        return meta, [], problems
    table = records.read(path, RESULTS)
    rows = [row for row in table.rows if row["run_id"] == meta["run_id"]]
    return meta, rows, problems + table.problems


def _text(
    meta: Mapping[str, Any],
    rows: Sequence[Row],
    predicted: Sequence[Row],
    problems: Sequence[str],
) -> str:
    flush = (
        f"{meta['flush_bytes'] / 2**20:.0f} MiB are read before each call to empty the caches."
        if meta["flush_bytes"]
        else "Caches are as the round leaves them."
    )
    parts = [
        "# Performance of triton_acts",
        "",
        "```text",
        *summary(meta, rows),
        "```",
        "",
        "## Measured",
        "",
        f"Run {meta['run_id']}, {meta['utc_time']}, commit {meta['commit'] or 'unknown'}, driver "
        f"{meta['driver'] or 'none'}, seed {meta['seed']}, `python -m perf {meta['argv']}`.",
        "",
        "Rounds of a yardstick, triton_acts, the eager formula and torch.compile of it, one after "
        "the other: at least 20 rounds and an interquartile range below 2 % of the median, or as "
        f"many as the budget allows. {flush} The yardstick moves the same bytes with one call of "
        "torch into memory that is there already: a copy, or an addition where the work reads two "
        "tensors. 'backward' is the gradient of a kept graph, without the forward pass; its rate "
        "counts the bytes of x, incoming and outgoing gradient. 'both compiled' is the speed of "
        "torch.compile of triton_acts relative to torch.compile of the formula. 'error' is the "
        "largest deviation from float64 in eps of the dtype times max(1, absolute value), for KAF "
        "in eighths of what its documentation allows; a provider beyond 8 is marked 'wrong' and "
        "not timed.",
        "",
        markdown(measured_table(rows)),
        "",
        *_bars_text(rows),
        f"## Static table: {static.BASIS}",
        "",
        *_static_text(predicted),
    ]
    if problems:
        parts += ["", "## Damaged records", "", *(f"- {problem}" for problem in problems)]
    return "\n".join([*parts, ""])


def _bars_text(rows: Sequence[Row]) -> list[str]:
    table = pd.DataFrame(bars(rows))
    return [] if table.empty else [f"## {TITLE}", "", BASIS, "", markdown(table), ""]


def _static_text(predicted: Sequence[Row]) -> list[str]:
    """The static rows as two tables: counts by architecture, rates by GPU."""
    lines = [
        "Compiled for GPUs that need not be there. Nothing below is a measurement: every number "
        f"is {static.BASIS}, every rate for {static.NUMEL >> 20} Mi elements.",
        "",
    ]
    if predicted:
        frame = pd.DataFrame(predicted, columns=list(static.COLUMNS))
        counts = frame.drop_duplicates([*_KERNEL, "arch"])
        counts = counts[[*_KERNEL, "arch", "block", "num_warps", *_COUNTS, "triton", "basis"]]
        rate = frame.assign(
            rate=[
                f"{float(gbps):.0f} ({bound})"
                for gbps, bound in zip(
                    frame["predicted_gbps"], frame["predicted_bound"], strict=True
                )
            ]
        )
        rates = rate.pivot_table(
            index=[*_KERNEL, "basis"], columns="gpu", values="rate", aggfunc="first", sort=False
        )
        named = counts.rename(
            columns={
                "instr_per_elt": "instructions / element",
                "mufu_per_elt": "MUFU / element",
                "load_bytes": "load (bytes)",
                "store_bytes": "store (bytes)",
                "regs": "registers / thread",
                "spill_bytes": "spills (bytes / thread)",
                "block": "block (elements)",
                "num_warps": "warps / program",
            }
        )
        lines += ["Predicted rate in GB/s, and what bounds it:", "", markdown(rates.reset_index())]
        lines += ["", "Machine code:", "", markdown(named), ""]
    return lines + _missing(predicted)


def _missing(predicted: Sequence[Row]) -> list[str]:
    """The architectures without a row, for each op."""
    ops: dict[str, list[str]] = {}
    for op in REGISTRY:
        there = {row["arch"] for row in predicted if row["op"] == op}
        archs = ", ".join(arch for arch in gpus.architectures() if arch not in there)
        ops.setdefault(archs, []).append(op)
    return [
        f"Left out in this run: {archs} ({', '.join(names)})."
        for archs, names in ops.items()
        if archs
    ]


def _ratio(other_ms: Any, ms: Any) -> float:
    """The ratio other_ms / ms, NaN where one is missing."""
    return other_ms / ms if other_ms and ms else math.nan


def _spread(values: Iterable[float]) -> str:
    """Median, and the range over the cases."""
    known = [value for value in values if value is not None and value > 0]
    if not known:
        return "not measured"
    if len(known) == 1:
        return f"{known[0]:.2f} (1 case)"
    return f"{quantile(known, 0.5):.2f} ({min(known):.2f} to {max(known):.2f})"
