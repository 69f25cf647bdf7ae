"""How the report's charts look: colours, sizes, margins, legends, and SVG.

Every figure is as wide as a page of 800 pixels, and its legend stands above the panels. Only this
module and `perf.charts` know matplotlib, and both import it late.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from triton_acts.tuning.timing import YARDSTICK

__all__ = ["OTHERS", "PALETTE", "PREDICTED", "STYLE", "colours", "filled", "installed", "line"]
__all__ += ["panels", "patch", "svg"]

# Okabe and Ito's and Tol's colours, which the colour-blind tell apart; one for each provider.
PALETTE = {
    "triton_acts": "#0072B2",
    "triton_acts compiled": "#56B4E9",
    "eager": "#D55E00",
    "torch.compile": "#E69F00",
    YARDSTICK: "#767676",
    "relu": "#999933",
    "penalized_tanh": "#009E73",
    "kaf": "#CC79A7",
    "kaf as published": "#882255",
    "liger relu^2": "#332288",
    "liger DyT": "#44AA99",
    "fla sigmoid": "#661100",
}
OTHERS = ("#AA4499", "#117733", "#000000")  # for providers not listed
PREDICTED = "#FFFFFF"  # the face of predicted marks; measured ones are filled

WIDTH = 8.0  # inches of 72 points: 768 CSS pixels
_LEFT, _RIGHT, _BOTTOM, _TITLE = 0.75, 0.15, 0.5, 0.35  # inches around a panel
_LEGEND_LINE, _LEGEND_COLUMNS = 0.2, 4  # inches, count
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9.5,
    "font.size": 9,
    "legend.fontsize": 8.5,
    "grid.color": "#DDDDDD",
    "legend.frameon": False,
    "lines.markersize": 4,
    "svg.hashsalt": "triton_acts",  # the same figure, the same file
}


def installed() -> bool:
    """Whether matplotlib is there."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def svg(draw: Callable[[], Any]) -> bytes:
    """A figure as SVG."""
    import matplotlib as mpl

    with mpl.rc_context(STYLE):
        file = io.BytesIO()
        draw().savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def colours(providers: Iterable[str]) -> dict[str, str]:
    """The colour of each provider, in the palette's order and then by name."""
    names = set(providers)
    strangers = sorted(names - PALETTE.keys())
    found = {name: PALETTE[name] for name in PALETTE if name in names}
    return found | {name: OTHERS[i % len(OTHERS)] for i, name in enumerate(strangers)}


def panels(
    heights: Sequence[float],
    columns: int,
    handles: Sequence[Any],
    title: float = _TITLE,
    left: float = _LEFT,
    right: float = _RIGHT,
) -> tuple[Any, Any]:
    """A figure with its legend above, and its axes in a grid; heights of the rows, in inches.

    Fixed margins in place of a layout engine, which draws everything twice.
    """
    from matplotlib.figure import Figure

    legend = _LEGEND_LINE * -(-len(handles) // _LEGEND_COLUMNS) + (0.15 if handles else 0)
    between = _BOTTOM + title
    total = legend + sum(heights) + between * len(heights)
    figure = Figure(figsize=(WIDTH, total))
    if handles:
        figure.legend(handles=handles, loc="upper center", ncols=min(_LEGEND_COLUMNS, len(handles)))
    width = (WIDTH - left - right + left) / columns - left
    axes = figure.subplots(
        len(heights),
        columns,
        squeeze=False,
        gridspec_kw={
            "left": left / WIDTH,
            "right": 1 - right / WIDTH,
            "bottom": _BOTTOM / total,
            "top": 1 - (legend + title) / total,
            "hspace": between * len(heights) / sum(heights),
            "wspace": left / width,
            "height_ratios": heights,
        },
    )
    return figure, axes


def filled(axes: Any, content: Mapping[str, Any]) -> list[tuple[Any, tuple[str, Any]]]:
    """Each panel's axes with its content; axes that are left over go."""
    for ax in axes.flat[len(content) :]:
        ax.remove()
    return list(zip(axes.flat, content.items(), strict=False))


def line(colour: str, label: str, style: str = "-", marker: str = "", face: str = "") -> Any:
    """A line in a legend."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=colour, ls=style, marker=marker, mfc=face or colour, label=label)


def patch(colour: str, label: str) -> Any:
    """A bar in a legend."""
    from matplotlib.patches import Patch

    return Patch(color=colour, label=label)
