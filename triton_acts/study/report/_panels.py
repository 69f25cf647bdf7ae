"""How the pictures look: colours, sizes, highlighted lines, legends, and PNG.

Every picture is as wide as a page of 800 pixels. At most three lines and the baseline are coloured
in a panel, and differ in their strokes, too; the other activations are grey.
"""

from __future__ import annotations

import io
import itertools
import math
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from triton_acts.study._variants import VARIANTS

from ._view import OURS, is_ours

__all__ = ["BLACK", "GREY", "WIDTH", "Line", "beside", "groups", "key", "label", "logarithmic"]
__all__ += ["panels", "png"]

WIDTH = 8.0  # inches; 768 CSS pixels
_DPI, _SHADES = 144, 256  # 1.5 pixels a CSS pixel; 160 an inch on paper
GREY, BLACK = "#C4C4C4", "#000000"
# Okabe and Ito's colours, which the colour-blind tell apart
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STROKES = ("-", "--", "-.")
_IN_PANEL = 3  # coloured lines besides the baseline
_LONGEST = 26  # letters of a name
_LEFT, _RIGHT, _BOTTOM, _TITLE, _BETWEEN = 0.95, 0.12, 0.5, 0.3, 0.22  # inches
_LEGEND_LINE, _LEGEND_COLUMNS = 0.22, 4  # inches, count
_STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "font.size": 9,
    "grid.color": "#E4E4E4",
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}


@dataclass(frozen=True)
class Line:
    """How a variant is drawn."""

    variant: str
    colour: str
    stroke: str

    @property
    def keywords(self) -> dict[str, Any]:
        """For matplotlib's plot."""
        return {"color": self.colour, "ls": self.stroke, "lw": 1.6, "zorder": 3}


def groups(variants: Sequence[str], baseline: str) -> list[tuple[str, list[Line]]]:
    """Which variants are coloured in which column of panels, after the column's title.

    This package's activations by family; then a user's own; without either, all of them.
    """
    others = [v for v in variants if v != baseline]
    shown = [v for v in others if is_ours(v) or v not in VARIANTS] or others
    families: dict[str, list[str]] = {}
    for variant in shown:
        family = next((name for name in OURS if variant.startswith(name)), "")
        families.setdefault(family, []).append(variant)
    chunks = [
        (family, members[i : i + _IN_PANEL])
        for family, members in families.items()
        for i in range(0, len(members), _IN_PANEL)
    ]
    colours = itertools.cycle(_COLOURS)
    return [
        (family, [Line(v, next(colours), stroke) for v, stroke in zip(c, _STROKES, strict=False)])
        for family, c in chunks
    ]


def label(name: str) -> str:
    """A name as matplotlib shows it: one short line, no formula, nothing that hides it."""
    name = " ".join(name.split())
    if len(name) > _LONGEST:
        name = name[: _LONGEST - 1] + "\N{HORIZONTAL ELLIPSIS}"
    name = name.replace("$", r"\$")
    return f" {name}" if name.startswith("_") else name


def panels(rows: int, columns: int, handles: Sequence[Any], height: float = 1.25) -> Any:
    """A figure with its legend above, and axes in a grid that share x down and y across."""
    from matplotlib.figure import Figure

    legend = _LEGEND_LINE * -(-len(handles) // _LEGEND_COLUMNS) + (0.1 if handles else 0)
    inner = height * rows + _BETWEEN * (rows - 1)
    total = legend + _TITLE + inner + _BOTTOM
    figure = Figure(figsize=(WIDTH, total))
    if handles:
        figure.legend(handles=handles, loc="upper center", ncols=min(_LEGEND_COLUMNS, len(handles)))
    axes = figure.subplots(rows, columns, squeeze=False, sharex="col", sharey="row")
    figure.subplots_adjust(
        left=_LEFT / WIDTH,
        right=1 - _RIGHT / WIDTH,
        bottom=_BOTTOM / total,
        top=1 - (legend + _TITLE) / total,
        hspace=_BETWEEN / height,
        wspace=0.08,
    )
    return figure, axes


def logarithmic(ax: Any) -> None:
    """A logarithmic axis with few ticks, each a number, if its row has anything positive."""
    from matplotlib.ticker import LogFormatterMathtext, LogLocator, NullFormatter, NullLocator

    row = ax.get_shared_y_axes().get_siblings(ax)
    if not any(math.isfinite(panel.yaxis.get_minpos()) for panel in row):
        return
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,), numticks=5))
    plain = low > 1e-3 and high < 1e4
    ax.yaxis.set_major_formatter("{x:g}" if plain else LogFormatterMathtext())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())


def beside(text: str) -> str:
    """A label of a low panel's axis, in short lines."""
    return textwrap.fill(text, 13)


def key(colour: str, text: str, stroke: str = "-", marker: str = "", face: str = "") -> Any:
    """A line in a legend."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], color=colour, ls=stroke, lw=1.6, marker=marker, mfc=face or colour, label=text
    )


def png(draw: Callable[[], Any]) -> bytes:
    """A figure as PNG, with few colours: of these pictures a third of the size of SVG."""
    import matplotlib as mpl
    from PIL import Image

    drawn, packed = io.BytesIO(), io.BytesIO()
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # in a user's names
        draw().savefig(drawn, format="png", dpi=_DPI)
    # maximum coverage: the median cut merges the colours of thin lines; a step of k-means: without
    # it large pale areas take the colour of others
    every = Image.open(drawn).convert("RGB")
    few = every.quantize(_SHADES, Image.Quantize.MAXCOVERAGE, kmeans=1)
    few.save(packed, format="png", optimize=True)
    return packed.getvalue()
