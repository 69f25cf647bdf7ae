"""The forest plot: each activation's difference from the baseline with its interval."""

from __future__ import annotations

import math
from typing import Any

from triton_acts.study._statistics import BETTER, UNKNOWN, WORSE

from ._panels import WIDTH, key, label
from ._view import Row, View

__all__ = ["forest"]

_ROW, _ABOVE, _BELOW = 0.24, 0.42, 0.5  # inches
_LEFT, _RIGHT = 1.85, 2.3  # inches, for names and numbers
_LOOKS = {
    BETTER: ("#0072B2", "^", "#0072B2"),
    WORSE: ("#D55E00", "v", "#D55E00"),
    UNKNOWN: ("#767676", "o", "#FFFFFF"),
}
_BEYOND = 3.0  # upper quartiles of the intervals' ends at which the axis stops


def forest(view: View) -> Any:
    """Draws it; what lies beyond the axis is an arrow, and its numbers stand beside it."""
    from matplotlib.figure import Figure

    rows = view.compared
    height = _ABOVE + _ROW * (len(rows) + 0.6) + _BELOW
    figure = Figure(figsize=(WIDTH, height))
    place = (
        _LEFT / WIDTH,
        _BELOW / height,
        1 - (_LEFT + _RIGHT) / WIDTH,
        1 - (_ABOVE + _BELOW) / height,
    )
    ax = figure.add_axes(place)
    factor, limit = view.scale.factor, _limit(view)
    ax.axvline(0, color="black", lw=1)
    for y, row in enumerate(rows):
        _interval(ax, y, row, factor, limit)
        text = f"{view.difference(row)}"
        ax.text(1.02, y, text, transform=ax.get_yaxis_transform(), va="center", fontsize=8.5)
    ax.set_yticks(range(len(rows)), [label(row.variant) for row in rows])
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(-limit * 1.04, limit * 1.04)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    good = "right" if view.higher_is_better else "left"
    base = label(view.about["baseline"])
    ax.set_xlabel(f"{label(view.scale.label)} minus that of {base}; {good} is good")
    shown = [v for v in _LOOKS if any(row.verdict == v for row in rows)]
    handles = [key(_LOOKS[v][0], v, "-", _LOOKS[v][1], _LOOKS[v][2]) for v in shown]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles))
    return figure


def _interval(ax: Any, y: int, row: Row, factor: float, limit: float) -> None:
    colour, marker, face = _LOOKS[row.verdict]
    low, middle, high = (
        factor * x for x in (row.difference_low, row.difference, row.difference_high)
    )
    ends = [min(max(x, -limit), limit) for x in (low, high)]
    ax.plot(ends, [y, y], color=colour, lw=1.8, solid_capstyle="butt")
    for end, true in zip(ends, (low, high), strict=True):
        if end != true:
            ax.plot([end], [y], marker="<" if end < 0 else ">", color=colour, ms=5, clip_on=False)
    if abs(middle) <= limit:
        ax.plot([middle], [y], marker=marker, color=colour, mfc=face, ms=6.5, zorder=4)


def _limit(view: View) -> float:
    """Where the axis ends: a run that fails altogether must not squash all others to a point."""
    ends = sorted(max(abs(r.difference_low), abs(r.difference_high)) for r in view.compared)
    quartile = ends[math.ceil(0.75 * len(ends)) - 1]
    limit = min(ends[-1], _BEYOND * quartile) if quartile else ends[-1]
    return view.scale.factor * (limit or 0.01)
