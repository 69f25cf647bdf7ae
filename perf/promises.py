"""KAF on a CPU against the published formula: what is promised, beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from perf.cases import COMPARED, PEAK_MEMORY
from triton_acts.tuning.records import Row

__all__ = ["BASIS", "TITLE", "promises"]

TITLE = "KAF against the published formula"
BASIS = (
    "x 4096 x 512 float32, 20 nodes. A time is the median of forward, or the sum of the medians of "
    "forward and backward; memory is the growth of a fresh process's peak over one forward and "
    "backward, beyond x, alpha and incoming gradient."
)
_CASE = {"op": "kaf", "dtype": "float32", "shape": "4096x512", "layout": "contiguous"}
_BOTH = ("forward", "backward")
_OURS, _EAGER, _COMPILED = COMPARED


@dataclass(frozen=True)
class _Promise:
    """A line of the table: a ratio of two providers, or of one provider and x's bytes."""

    quantity: str
    ours: str
    formula: str
    ratio: float | None
    promised: str
    met: Callable[[float], bool] | None

    def cells(self) -> Row:
        verdict = ""
        if self.ratio is None:
            verdict = "not measured"
        elif self.met is not None:
            verdict = "met" if self.met(self.ratio) else "not met"
        return {
            "quantity": self.quantity,
            "triton_acts": self.ours,
            "formula": self.formula,
            "ratio": self.ratio,
            "promised": self.promised,
            "verdict": verdict,
        }


def promises(rows: Iterable[Row]) -> list[Row]:
    """The table of a run's rows; empty if the case was not on its list."""
    own = [row for row in rows if all(row[name] == value for name, value in _CASE.items())]
    if not own:
        return []
    ours, compiled = _OURS, f"{_OURS} compiled"
    lines = (
        _speed(own, "forward + backward, eager mode", ours, _EAGER, _BOTH, 25),
        _speed(own, "forward + backward, compiled", compiled, _COMPILED, _BOTH, 4),
        _speed(own, "forward, compiled", compiled, _COMPILED, _BOTH[:1], 1),
        _memory(own, ours, 4),
        _memory(own, _EAGER, None),
    )
    return [line.cells() for line in lines]


def _speed(
    rows: Sequence[Row],
    quantity: str,
    ours: str,
    formula: str,
    directions: Sequence[str],
    least: float,
) -> _Promise:
    """How many times faster we are."""
    own, other = (_milliseconds(rows, provider, directions) for provider in (ours, formula))
    return _Promise(
        f"speed, {quantity}",
        "" if own is None else f"{own:.4g} ms",
        "" if other is None else f"{other:.4g} ms",
        other / own if own and other else None,
        f"at least {least}",
        lambda ratio: ratio >= least,
    )


def _milliseconds(rows: Sequence[Row], provider: str, directions: Sequence[str]) -> float | None:
    """The sum of the medians, None unless each was timed."""
    times = [
        float(row["ms_p50"])  # type: ignore[arg-type]
        for row in rows
        if row["provider"] == provider and row["direction"] in directions and _is_ok(row)
    ]
    return sum(times) if len(times) == len(directions) else None


def _is_ok(row: Row) -> bool:
    return row["status"] == "ok"


def _memory(rows: Sequence[Row], provider: str, most: float | None) -> _Promise:
    """How many times x's bytes a provider needs."""
    found = [
        (int(row["bytes"]), 4 * int(row["numel"]))  # type: ignore[arg-type]
        for row in rows
        if row["provider"] == provider
        and str(row["variant"]).endswith(f"/{PEAK_MEMORY}")
        and _is_ok(row)
    ]
    size, x = found[0] if found else (None, 1)
    text = "" if size is None else f"{size / 2**20:.4g} MiB"
    return _Promise(
        f"memory, {'triton_acts' if provider == _OURS else 'formula'}, eager mode, relative to x",
        text if provider == _OURS else "",
        "" if provider == _OURS else text,
        None if size is None else size / x,
        "" if most is None else f"at most {most}",
        None if most is None else lambda ratio: ratio <= most,
    )
