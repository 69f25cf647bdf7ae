"""The best row of every case as best.csv and best.json: what it took, where and with what."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from perf.history import CASE, Run, load
from perf.timed import timed
from triton_acts.tuning.records import RESULTS, RUNS, Row
from triton_acts.tuning.writing import write_csv, write_text

__all__ = ["COLUMNS", "SCHEMA", "best", "main"]

SCHEMA = 1
COLUMNS = (*RESULTS.columns, *(name for name in RUNS.columns if name != "run_id"))
_KEY = (*CASE, "provider", "aligned")


def main(folders: Sequence[Path], out: Path) -> int:
    """Writes both files, each whole or not at all; returns 1 where there is nothing to write."""
    history = load(folders)
    for problem in history.problems:
        print(problem, file=sys.stderr)
    rows = best(history.runs)
    if not rows:
        places = ", ".join(map(str, folders))
        made = "make some with: python -m perf run"
        print(f"export: no measurement with a time in {places}; {made}", file=sys.stderr)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    write_csv(out / "best.csv", COLUMNS, ({k: _cell(v) for k, v in row.items()} for row in rows))
    text = json.dumps({"schema": SCHEMA, "rows": rows}, indent=1, allow_nan=False)
    write_text(out / "best.json", f"{text}\n")
    print(f"{len(rows)} cases of {len(history.runs)} runs: {out / 'best.csv'}, {out / 'best.json'}")
    return 0


def best(runs: Sequence[Run]) -> list[Row]:
    """The fastest row of each case on each GPU, joined with its run; of equals the newest.

    Trials of the tuner count, and their `config_source` says what they are.

    Args:
        runs: oldest first.
    """
    found: dict[tuple[object, ...], tuple[float, Row]] = {}
    for run in runs:
        for row in run.rows:
            time = timed(row)
            key = (*(row[name] for name in _KEY), run.gpu)
            if time is not None and (key not in found or time.p50 <= found[key][0]):
                found[key] = time.p50, {**run.meta, **row}
    return [{name: _finite(row[name]) for name in COLUMNS} for _, row in found.values()]


def _finite(value: str | float | bool | None) -> str | float | bool | None:
    """JSON has no NaN and no infinity."""
    finite = not isinstance(value, float) or abs(value) < float("inf")
    return value if finite else None


def _cell(value: str | float | bool | None) -> str:
    if value is None:
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)
