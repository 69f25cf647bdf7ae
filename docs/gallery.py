"""`make gallery`: draws docs/gallery.png, every shape and its derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

import triton_acts as ta

Shape = Callable[[Tensor], Tensor]

FILE = Path(__file__).with_suffix(".png")
OURS, THEIRS, SLOPE = "#1f5fa8", "#4d535b", "#c4561b"
LIMIT = 5.5


def fitted(target: Shape) -> Shape:
    """A KAF layer that starts from another activation."""
    return ta.KAF(1, init=target, channel_dim=-1)


def random_shapes(count: int) -> list[Shape]:
    """KAF as it starts by itself; the seed is that of the picture."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        return [ta.KAF(1, channel_dim=-1) for _ in range(count)]


def panels() -> dict[str, list[Shape]]:
    """Title by title, row by row; the first four are there to compare with."""
    learned = [partial(ta.penalized_tanh, a=a) for a in (-0.5, 0.25, 1.0)]
    return {
        "ReLU": [F.relu],
        "GELU": [F.gelu],
        "SiLU": [F.silu],
        "ELU": [F.elu],
        "sigmoid": [torch.sigmoid],
        "tanh": [torch.tanh],
        "scaled sigmoid": [ta.scaled_sigmoid],
        "penalized tanh, a = 0.25": [ta.penalized_tanh],
        "penalized tanh, learned a": learned,
        "KAF, random": random_shapes(3),
        "KAF from tanh": [fitted(torch.tanh)],
        "KAF from ELU": [fitted(F.elu)],
    }


def draw(ax: Axes, title: str, shapes: list[Shape]) -> None:
    """One panel: shapes solid, the derivative of a single one dashed."""
    x = torch.linspace(-LIMIT, LIMIT, 801, dtype=torch.float64, requires_grad=True)
    ours = title.startswith(("scaled", "penalized", "KAF"))
    if title.startswith("KAF"):
        ax.axvspan(-3, 3, color="#eef1f5", lw=0)
    ax.axhline(0, color="#999999", lw=0.6)
    ax.axvline(0, color="#999999", lw=0.6)
    for strength, shape in zip((1.0, 0.6, 0.35), shapes, strict=False):
        y = shape(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        color = OURS if ours else THEIRS
        ax.plot(x.detach(), y.detach(), color=color, lw=2, alpha=strength)
        if len(shapes) == 1:
            ax.plot(x.detach(), slope, color=SLOPE, lw=1.3, ls=(0, (4, 1.5)))
    ax.set_title(title, color=OURS if ours else "black", pad=4)
    ax.set_xlim(-LIMIT, LIMIT)
    ax.set_ylim(-2.3, 2.3)
    ax.set_xticks((-3, 0, 3))
    ax.set_yticks((-2, -1, 0, 1, 2))
    ax.spines[["top", "right"]].set_visible(False)


def gallery() -> Figure:
    """800 pixels wide."""
    with mpl.rc_context({"font.size": 9.5, "axes.titlesize": 9.5, "axes.linewidth": 0.6}):
        figure = Figure(figsize=(8, 6.2), dpi=100, layout="constrained")
        axes = figure.subplots(3, 4, sharex=True, sharey=True)
        for ax, (title, shapes) in zip(axes.flat, panels().items(), strict=True):
            draw(ax, title, shapes)
        handles = [
            mpl.lines.Line2D([], [], color=OURS, lw=2, label="activation of this package"),
            mpl.lines.Line2D([], [], color=THEIRS, lw=2, label="others"),
            mpl.lines.Line2D([], [], color=SLOPE, lw=1.3, ls=(0, (4, 1.5)), label="derivative"),
            mpl.patches.Patch(color="#e3e8ef", label="KAF's grid"),
        ]
        figure.legend(handles=handles, loc="outside upper center", ncols=4, frameon=False)
    return figure


if __name__ == "__main__":
    gallery().savefig(FILE, metadata={"Software": None})
