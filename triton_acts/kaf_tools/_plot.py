"""Learned shapes as small multiples, with what comes in below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from triton_acts import _check
from triton_acts.dictionary import KAF

from ._inspect import initial_shape
from ._observe import Samples, sample, single
from ._shapes import between, values, weights

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot"]

_COLUMNS = 4
_WIDTH = 8.0  # inches; 800 pixels at _DPI
_DPI = 100
_ROW, _ONLY_ROW, _BETWEEN = 1.35, 2.1, 0.32  # inches: a panel, and its title
_TOP, _BOTTOM, _LEFT, _RIGHT = 0.85, 0.5, 0.6, 0.1  # inches: title and legend; labels
_SHAPE, _START, _DATA, _GRID = "#1f5fa8", "#c4561b", "#b8bcc2", "#eef1f5"
_STYLE: Any = {"font.size": 9.0, "axes.titlesize": 9.0, "axes.linewidth": 0.6}


def plot(
    kaf: KAF, batch: Any = None, *, model: torch.nn.Module | None = None, max_panels: int = 12
) -> Figure:
    """Draws the learned shape of each channel, all on the same axes.

    The shaded span is the grid. The dashed curve is the shape that training began with, where
    `init` says so (not for "normal"); grey bars are the histogram of what reaches the channel, each
    scaled to its panel. Of more channels than panels the first panel shows the median and the 5 to
    95 % band of all, and the others channels from the most typical to the least: those at equal
    steps in the order of their distance from the mean shape. Titles name them.

    Args:
        kaf: the layer.
        batch: what the layer is called with, or if `model` is given what the model is; None draws
            no histogram.
        model: one that has the layer, to find what reaches it there; left as it was.
        max_panels: at most so many panels, >= 2.

    Returns:
        A matplotlib Figure, 800 pixels wide, that pyplot knows nothing of; for example
        `plot(kaf).savefig("kaf.png")`.

    Raises:
        TypeError: kaf is no KAF, or max_panels no int.
        ValueError: max_panels is below 2; kaf is no part of model; model comes without batch; NaN
            or infinities reach the layer.
        ImportError: matplotlib is not installed; it comes with `pip install 'triton_acts[tools]'`.
    """
    single("plot", kaf)
    if _check.integer("plot", "max_panels", max_panels) < 2:
        raise ValueError(f"plot: max_panels must be at least 2, got {max_panels}")
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            "plot: matplotlib is not installed; it comes with pip install 'triton_acts[tools]'"
        ) from error
    seen = _seen(kaf, batch, model)
    d = kaf.dictionary
    tail = 2 / d.gamma**0.5
    s = between(d.lo - tail, d.hi + tail, d)
    y = values(s, weights(kaf), d)
    shown = _shown(y, max_panels)
    summed_up = len(shown) < y.shape[1]
    panels = len(shown) + summed_up
    rows = -(-panels // _COLUMNS)
    with mpl.rc_context(_STYLE):
        columns = min(panels, _COLUMNS)
        row = _ROW if rows > 1 else _ONLY_ROW
        height = rows * (row + _BETWEEN) - _BETWEEN + _TOP + _BOTTOM
        figure = Figure(figsize=(_WIDTH, height), dpi=_DPI)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
        figure.subplots_adjust(
            left=_LEFT / _WIDTH,
            right=1 - _RIGHT / _WIDTH,
            bottom=_BOTTOM / height,
            top=1 - _TOP / height,
            wspace=0.08,
            hspace=_BETWEEN / row,
        )
        axes = list(grid.flat)
        for ax in axes:
            _empty(ax, kaf)
        if summed_up:
            _band(axes[0], s, y, seen)
        for ax, channel in zip(axes[int(summed_up) :], shown, strict=False):
            _panel(ax, kaf, s, y, channel, seen)
        for i, ax in enumerate(axes):
            ax.tick_params(labelbottom=i + columns >= panels)
            ax.set_visible(i < panels)
        axes[0].set_xlim(s[0].item(), s[-1].item())
        figure.suptitle(_title(kaf, len(shown), seen), y=1 - 0.12 / height, va="top", fontsize=10)
        figure.supxlabel("input", y=0.1 / height, va="bottom", fontsize=9)
        figure.supylabel("output", x=0.1 / _WIDTH, ha="left", fontsize=9)
        _legend(figure, axes[:panels], 1 - 0.33 / height)
    return figure


def _seen(kaf: KAF, batch: Any, model: torch.nn.Module | None) -> Samples | None:
    """What reaches the layer, if anything does."""
    if batch is None:
        if model is not None:
            raise ValueError("plot: model is only of use with batch, which is None")
        return None
    root = kaf if model is None else model
    names = [name for name, module in root.named_modules() if module is kaf]
    if not names:
        raise ValueError(f"plot: the layer is no part of the {type(root).__name__} given as model")
    return sample("plot", root, batch)[names[0]]


def _shown(y: Tensor, most: int) -> list[int]:
    """Channels that get a panel of their own."""
    channels = y.shape[1]
    if channels <= most:
        return list(range(channels))
    away = (y - y.mean(1, keepdim=True)).square().mean(0)
    steps = (
        torch.linspace(0, channels - 1, most - 1, dtype=torch.float64, device="cpu").round().long()
    )
    chosen: list[int] = away.argsort()[steps].tolist()
    return chosen


def _empty(ax: Axes, kaf: KAF) -> None:
    """A panel's axes, with the grid as a shaded span."""
    d = kaf.dictionary
    ax.axvspan(d.lo, d.hi, color=_GRID, lw=0, zorder=0, label="grid")
    ax.axhline(0, color="#777777", lw=0.5, zorder=1)
    ax.spines[["top", "right"]].set_visible(False)
    ax.locator_params(nbins=5)


def _panel(ax: Axes, kaf: KAF, s: Tensor, y: Tensor, channel: int, seen: Samples | None) -> None:
    """One channel."""
    one_for_all = y.shape[1] == 1
    if seen is not None:
        _histogram(ax, seen.x[seen.channel == channel], s)
    initial = initial_shape(kaf)
    if initial is not None:
        start = values(s, *initial)[:, 0]
        ax.plot(s, start, color=_START, lw=1, ls="--", zorder=3, label="initial shape")
    ax.plot(s, y[:, channel], color=_SHAPE, lw=1.8, label="learned shape")
    ax.set_title("all channels" if one_for_all else f"channel {channel}", pad=3)


def _band(ax: Axes, s: Tensor, y: Tensor, seen: Samples | None) -> None:
    """All channels in one panel."""
    if seen is not None:
        _histogram(ax, seen.x, s)
    at = torch.tensor((0.05, 0.5, 0.95), dtype=torch.float64, device="cpu")
    low, median, high = torch.quantile(y, at, dim=1)
    ax.fill_between(s, low, high, color=_SHAPE, alpha=0.25, lw=0, label="5 to 95 %")
    ax.plot(s, median, color=_SHAPE, lw=1.6, label="median", ls=(0, (4, 1)))
    ax.set_title(f"all {y.shape[1]} channels", pad=3)


def _histogram(ax: Axes, x: Tensor, s: Tensor) -> None:
    """Bars in the lower third of a panel; what lies beyond it is not shown."""
    lo, hi, bins = s[0].item(), s[-1].item(), 40
    inside = x[(x >= lo) & (x <= hi)]
    counts = torch.histc(inside, bins, lo, hi)
    edges = torch.linspace(lo, hi, bins + 1, dtype=torch.float64, device="cpu")
    heights = counts / counts.max().clamp_min(1) * 0.33
    ax.stairs(
        heights.numpy(),
        edges.numpy(),
        fill=True,
        color=_DATA,
        transform=ax.get_xaxis_transform(),
        zorder=0.5,
        label="inputs",
    )


def _title(kaf: KAF, shown: int, seen: Samples | None) -> str:
    d, channels = kaf.dictionary, kaf.alpha.shape[0]
    what = f"{channels} channels" if channels > 1 else "one shape for all channels"
    which = f", {shown} shown, from typical to unusual" if shown < channels else ""
    outside = ""
    if seen is not None and len(seen.x):
        share = ((seen.x < d.lo) | (seen.x > d.hi)).double().mean().item()
        outside = f", {share:.1%} of inputs outside"
    return f"KAF, {what}{which}; {d.num_nodes} nodes from {d.lo:.3g} to {d.hi:.3g}{outside}"


def _legend(figure: Figure, axes: list[Axes], top: float) -> None:
    """One entry for each label of any panel, in a row below the title."""
    pairs = [zip(*ax.get_legend_handles_labels(), strict=True) for ax in axes]
    handles = {label: handle for panel in pairs for handle, label in panel}
    figure.legend(
        handles.values(),
        handles,
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=len(handles),
        frameon=False,
        columnspacing=1.4,
    )
