"""What training left behind, in numbers: weights, flat and dead units, gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triton_acts.study._study import Study

from ._document import Table
from ._view import View, of_task
from ._words import number

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["endings_table"]

_HEAD = [
    "activation",
    "seeds",
    "weight norm",
    "times that at the start",
    "flat (%)",
    "dead (%)",
    "gradient, first layer",
    "gradient, last layer",
]


def endings_table(study: Study, view: View) -> Table:
    """A row per activation: medians over the seeds, of the last epoch."""
    curves, layers = of_task(study.curves, view.task), of_task(study.layers, view.task)
    rows = []
    for name, curve in curves.groupby("variant", sort=False):
        first = curve[curve["epoch"] == curve["epoch"].min()].median(numeric_only=True)
        last = curve[curve["epoch"] == curve["epoch"].max()].median(numeric_only=True)
        row = [
            str(name),
            f"{(curve['epoch'] == curve['epoch'].max()).sum()}",
            number(last["weight_norm"]),
            number(last["weight_norm"] / first["weight_norm"]),
            number(100 * last["saturation"]),
            number(100 * last["dead"]),
        ]
        rows.append(row + [number(norm) for norm in _outer_gradients(layers, str(name))])
    return Table(f"{view.task}: at the end of training", _HEAD, rows)


def _outer_gradients(layers: DataFrame, variant: str) -> tuple[float, float]:
    """Of the first and the last layer; NaN where there are none."""
    norms = layers[layers["variant"] == variant] if len(layers) else layers
    if not len(norms):
        return float("nan"), float("nan")
    norms = norms[norms["epoch"] == norms["epoch"].max()]["gradient_norm"]
    return float(norms.iloc[0]), float(norms.iloc[-1])
