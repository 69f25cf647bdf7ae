"""What training did over time: the metric, gradients, weights, flat and dead units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from triton_acts.study._study import Study

from ._document import Block, Picture, Section, Text
from ._endings import endings_table
from ._panels import BLACK, GREY, Line, beside, groups, key, label, logarithmic, panels
from ._verdicts import file_name
from ._view import View, has, of_task

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["training_section"]

_LEGEND = (
    "Median over the seeds; shaded: from the lowest to the highest seed. A column of panels "
    "highlights some activations beside the baseline, and the others are grey. Flat: the share of "
    "pre-activations at which the derivative is below 0.05 in magnitude, as in saturation or on "
    "ReLU's negative side. Dead: the share of channels without any derivative above 0.001. "
    "Gradient norms are those of an epoch's last step, after clipping where a task clips, and the "
    "median over the seeds. A seed that diverged is part of all of this until it did."
)
_QUANTITIES = {
    "validation": "",  # the metric's own name
    "first": "gradient, first layer",
    "last": "gradient, last layer",
    "weight_norm": "weight norm",
    "saturation": "flat (share)",
    "dead": "dead (share)",
}
_SHARES, _GRADIENTS = ("saturation", "dead"), ("first", "last")
_WIDE_RANGE = 20.0  # from which on an axis is logarithmic
_DEEP = 3  # layers from which on their gradients are shown one by one
_COLUMNS = 3
Draw = Callable[[Any, Line | None, "DataFrame"], None]


def training_section(study: Study, views: Sequence[View]) -> Section:
    """A picture and a table a task, and for deep ones a picture of the gradients by layer."""
    blocks: list[Block] = []
    for view in views:
        curves, layers = of_task(study.curves, view.task), of_task(study.layers, view.task)
        if len(curves):
            draw = partial(_training, view, curves, layers)
            blocks.append(Picture(f"{view.task}: training", file_name(view, "training"), draw))
            blocks.append(endings_table(study, view))
        if len(layers) and layers["layer"].nunique() >= _DEEP:
            draw = partial(_by_layer, view, layers)
            caption = f"{view.task}: gradient norm by layer, from input to output"
            blocks.append(Picture(caption, file_name(view, "layers"), draw))
    return Section("Training", [Text(_LEGEND), *blocks] if blocks else [])


def _training(view: View, curves: DataFrame, layers: DataFrame) -> Any:
    frames = dict.fromkeys(_QUANTITIES, curves)
    if len(layers):
        steps = curves.drop_duplicates("epoch").set_index("epoch")["step"]
        known = layers.assign(step=layers["epoch"].map(steps))
        for name, which in zip(_GRADIENTS, ("first", "last"), strict=True):
            outer = known.groupby(["variant", "epoch"], sort=False).agg(which).reset_index()
            positive = outer["gradient_norm"].where(outer["gradient_norm"] > 0)
            frames[name] = outer.assign(**{name: positive})
    shown = [name for name in _QUANTITIES if name in frames and has(frames[name], name)]
    figure, axes, columns = _grid(view, curves, len(shown))
    for row, name in zip(axes, shown, strict=True):
        factor = view.scale.factor if name == "validation" else 1.0
        draw = partial(_over_seeds, name=name, factor=factor)
        _fill(row, columns, frames[name], view, draw)
        row[0].set_ylabel(beside(_QUANTITIES[name] or f"validation {label(view.scale.label)}"))
        if name in _SHARES:
            row[0].set_ylim(-0.04, 1.04)
        elif name in _GRADIENTS or (not view.scale.share and _spread(frames[name][name])):
            logarithmic(row[0])
    figure.align_ylabels(axes[:, 0])
    _name_x(axes, columns, "optimizer step")
    return figure


def _by_layer(view: View, layers: DataFrame) -> Any:
    figure, axes, columns = _grid(view, layers, 2)
    for row, name, which in zip(axes, ("first epoch", "last epoch"), (0, -1), strict=True):
        _fill(row, columns, layers, view, partial(_along_layers, which=which))
        row[0].set_ylabel(beside(f"gradient, {name}"))
        logarithmic(row[0])
    _name_x(axes, columns, "layer")
    for ax in axes[-1]:
        ax.xaxis.get_major_locator().set_params(integer=True)
    return figure


def _grid(view: View, frame: DataFrame, rows: int) -> Any:
    """A figure, its axes, and what is highlighted in each of its columns."""
    variants, base = frame["variant"].unique().tolist(), view.about["baseline"]
    columns = groups(variants, base)[:_COLUMNS] or [("", [])]
    handles = [key(BLACK, f"{label(base)} (baseline)", ":")] if base in variants else []
    lines = [line for _, group in columns for line in group]
    handles += [key(line.colour, label(line.variant), line.stroke) for line in lines]
    if len(variants) > len(lines) + 1:
        handles.append(key(GREY, "other activations"))
    figure, axes = panels(rows, len(columns), handles)
    for ax, (title, _) in zip(axes[0], columns, strict=True):
        ax.set_title(label(title))
    return figure, axes, columns


def _fill(
    row: Sequence[Any],
    columns: Sequence[tuple[str, list[Line]]],
    frame: DataFrame,
    view: View,
    draw: Draw,
) -> None:
    """Draws a row of panels: in each the grey ones first, then the baseline and its own lines."""
    by = {str(v): rows for v, rows in frame.groupby("variant", sort=False)}
    base = Line(view.about["baseline"], BLACK, ":")
    for ax, (_, group) in zip(row, columns, strict=True):
        lines = [line for line in (base, *group) if line.variant in by]
        shown = {line.variant for line in lines}
        for variant in (name for name in by if name not in shown):
            draw(ax, None, by[variant])
        for line in lines:
            draw(ax, line, by[line.variant])


def _over_seeds(ax: Any, line: Line | None, rows: DataFrame, *, name: str, factor: float) -> None:
    by_step = factor * rows.groupby("step")[name].agg(["median", "min", "max"])
    _plot(ax, line, by_step.index, by_step["median"])
    if line is not None:
        band = {"color": line.colour, "alpha": 0.15, "lw": 0}
        ax.fill_between(by_step.index, by_step["min"], by_step["max"], **band)


def _along_layers(ax: Any, line: Line | None, rows: DataFrame, *, which: int) -> None:
    chosen = rows[rows["epoch"] == sorted(rows["epoch"].unique())[which]]
    norms = chosen["gradient_norm"].where(chosen["gradient_norm"] > 0)
    _plot(ax, line, range(1, len(chosen) + 1), norms)


def _plot(ax: Any, line: Line | None, x: Any, y: Any) -> None:
    look = {"color": GREY, "lw": 0.9} if line is None else line.keywords
    ax.plot(x, y, **look)


def _name_x(axes: Any, columns: Sequence[object], text: str) -> None:
    for ax in axes[-1, : len(columns)]:
        ax.set_xlabel(text)


def _spread(values: Any) -> bool:
    """Whether positive values differ so much that only a logarithmic axis shows them."""
    return bool((values.dropna() > 0).all() and values.max() > _WIDE_RANGE * values.min())
