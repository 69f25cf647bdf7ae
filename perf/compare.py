"""`perf compare`: what changed between two runs, for a terminal and as CSV."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from perf.history import CASE, Run, from_file, load
from perf.tables import number
from perf.verdicts import (
    ALIKE,
    ALONE,
    BETWEEN_RUNS,
    MATTERS,
    RULED_OUT,
    SAMPLES,
    VERDICTS,
    Comparison,
    Line,
    Ratio,
    compare,
)
from triton_acts.tuning.records import Row
from triton_acts.tuning.writing import write_text

__all__ = ["METHOD", "main"]

_BEYOND, _WITHIN = (f"{x:g} or 1/{x:g}" for x in (MATTERS, RULED_OUT))
METHOD = f"""\
ratio = head / base; above 1, head is slower. Its interval adds in quadrature p20 to p80 of each
side and {BETWEEN_RUNS:.0%} between runs, per yardstick also those of the yardstick.
SLOW, FAST: all of the interval is beyond {_BEYOND}, in ms and per yardstick, and not all
  other providers of the case moved {ALIKE:.0%} of the way or more. Both sides and their
  yardsticks have at least {SAMPLES} samples; a training step has another activation.
SAME: both intervals hold 1, and that of the ms does not reach {_WITHIN}.
UNCLEAR: none of these."""
_COLUMNS = (
    *(*CASE, "aligned", "provider", "gpu", "verdict", "base_ms", "head_ms"),
    *("ratio", "low", "high", "per_yardstick", "per_yardstick_low", "per_yardstick_high"),
    *("yardstick_ratio", "remark"),
)


def main(
    base: str, head: str, folders: Sequence[Path], file: Path | None = None, every: bool = False
) -> int:
    """Compares and prints; returns 1 where a case is SLOW, 2 where a run cannot be had, else 0.

    Args:
        base: a run's id, the beginning of one, or a CSV file of measurements.
        head: likewise.
        folders: where runs are looked up.
        file: gets a row a case as CSV.
        every: shows SAME cases, too.
    """
    missing = [f"{title}=" for title, name in (("BASE", base), ("HEAD", head)) if not name]
    if missing:
        print(f"compare: {' and '.join(missing)} missing; give two runs", file=sys.stderr)
        return 2
    history = load(folders)
    runs = []
    try:
        for name in (base, head):
            if Path(name).is_file():
                run, count = from_file(Path(name), history)
                if count > 1:
                    print(f"{name} holds {count} runs; compared is its newest, {run.run_id}")
                runs.append(run)
            else:
                runs.append(history.find(name))
    except (LookupError, ValueError) as error:
        print(f"compare: {error.args[0]}", file=sys.stderr)
        return 2
    finally:
        for problem in dict.fromkeys(history.problems):
            print(problem, file=sys.stderr)
    found = compare(*runs)
    print(_text(found, every))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, _frame(found.lines).to_csv(index=False, lineterminator="\n"))
        print(f"\n{len(found.lines)} rows: {file}")
    return int(found.counts["SLOW"] > 0)


def _frame(lines: Sequence[Line]) -> pd.DataFrame:
    """One row a case, with what the CSV file holds."""
    rows = []
    for line in lines:
        parts = [line.raw, line.shared]
        views = [x for r in parts for x in ((r.value, r.low, r.high) if r else (None,) * 3)]
        moved = line.yardstick.value if line.yardstick else None
        who = (*line.case, line.provider, line.gpu, line.verdict)
        rows.append((*who, line.base_ms, line.head_ms, *views, moved, line.remark))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _text(found: Comparison, every: bool) -> str:
    """What the terminal shows."""
    parts = [_heads(found.base, found.head), METHOD, _summary(found)]
    shown = [line for line in found.lines if line.verdict in VERDICTS[0 if every else 1 :]]
    shown.sort(key=lambda line: ("SLOW", "FAST", "UNCLEAR", "SAME").index(line.verdict))
    if shown:
        parts.append(_table(shown))
    for where in ALONE:
        alone = [line for line in found.lines if line.verdict == where]
        if alone:
            names = [f"  {_name(x)}{f' ({x.remark})' if x.remark else ''}" for x in alone]
            parts.append("\n".join([f"With a time {where}:", *names]))
    return "\n\n".join(parts)


def _table(lines: Sequence[Line]) -> str:
    def view(part: Ratio | None) -> tuple[str, str]:
        return (f"{part.value:.3f}", f"{part.low:.3f}-{part.high:.3f}") if part else ("", "")

    width = max(len(_name(x)) for x in lines)
    rows = [
        (
            x.verdict,
            _name(x).ljust(width),
            number(x.base_ms),
            number(x.head_ms),
            *view(x.raw),
            *view(x.shared),
            x.remark,
        )
        for x in lines
    ]
    titles = ["verdict", "case".ljust(width), "base (ms)", "head (ms)", "ratio", "interval"]
    frame = pd.DataFrame(rows, columns=[*titles, "per yardstick", "its interval", "remark"])
    if not any(frame["remark"]):
        frame = frame.drop(columns="remark")
    return "\n".join(line.rstrip() for line in frame.to_string(index=False).splitlines())


def _name(line: Line) -> str:
    *case, aligned = line.case
    words = [*map(str, case), *(["unaligned"] if aligned is False else []), line.provider]
    return " ".join(words)


def _summary(found: Comparison) -> str:
    counts = found.counts
    joined = [line for line in found.lines if line.raw]
    moved = sum(1 for x in joined if x.yardstick and not x.yardstick.holds_one)
    verdicts = ", ".join(f"{counts[name]} {name}" for name in VERDICTS)
    alone = ", ".join(f"{counts[name]} {name}" for name in ALONE)
    lines = [f"{len(joined)} cases: {verdicts}; {alone}."]
    if moved:
        lines.append(f"The yardstick moved in {moved} of {len(joined)}: so did the machine.")
    if found.base.gpu != found.head.gpu:
        both = f"{found.base.gpu} and {found.head.gpu}"
        lines.append(f"Nothing is compared: the runs are of different GPUs, {both}.")
    elif not joined:
        lines.append("Nothing is compared: no case has a time in both runs.")
    return "\n".join(lines)


def _heads(base: Run, head: Run) -> str:
    """What each run measured with; versions that differ are marked."""
    columns = [_facts(base.meta), _facts(head.meta)]
    width = max(len(fact) for fact in (*columns[0].values(), "base"))
    lines = [f"{'':<13}{'base':<{width}}  head"]
    for name, old in columns[0].items():
        new = columns[1][name]
        mark = "  (differs)" if old != new and name not in ("run", "time", "canary") else ""
        lines.append(f"{name:<13}{old:<{width}}  {new}{mark}")
    return "\n".join(lines)


def _facts(meta: Row) -> dict[str, str]:
    commit = str(meta["commit"]).split()
    canary = number(meta["canary_gbps"])
    facts = {
        "run": str(meta["run_id"]),
        "time": str(meta["utc_time"]),
        "commit": " ".join([commit[0][:12], *commit[1:]]) if commit else "",
        **{name: str(meta[name]) for name in ("triton_acts", "torch", "triton", "driver")},
        "GPU": f"{meta['gpu_slug']}: {meta['gpu_name']}".removesuffix(": "),
        "canary": f"{canary} GB/s" if canary else "",
    }
    return {name: fact or "unknown" for name, fact in facts.items()}
