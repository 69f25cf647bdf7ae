"""All tasks at a glance: what was gained, and every activation's verdict on every task."""

from __future__ import annotations

from collections.abc import Sequence

from triton_acts.study._statistics import BETTER, WORSE

from ._document import Cell, Table
from ._view import View, sign

__all__ = ["overview"]


def overview(views: Sequence[View]) -> list[Table]:
    """A table with a row a task, and one with a row an activation; none of a single task."""
    return [_gains(views), _by_activation(views)] if len(views) > 1 else []


def _gains(views: Sequence[View]) -> Table:
    rows = []
    for view in views:
        better, worse = view.of(BETTER), view.of(WORSE)
        first = "nothing shown"
        if better:
            first = f"{better[0].variant}: {view.difference(better[0])}{view.scale.unit}"
        tone = BETTER if better else ""
        none = len(view.compared) - len(better) - len(worse)
        sums = [str(len(better)), str(len(worse)), str(none)]
        way = "higher" if view.higher_is_better else "lower"
        metric = f"{view.scale.label}, {way} is good"
        rows.append(
            [f"{view.place}: {view.task}", metric, view.about["baseline"], Cell(first, tone), *sums]
        )
    head = ["task", "metric", "baseline", "largest gain shown", BETTER, WORSE, "no difference"]
    return Table("All tasks: gains shown, and how many activations got which verdict", head, rows)


def _by_activation(views: Sequence[View]) -> Table:
    variants = dict.fromkeys(row.variant for view in views for row in view.rows)
    rows: list[list[str | Cell]] = [[v, *(_cell(view, v) for view in views)] for v in variants]
    caption = (
        "All activations: differences from the baseline that were shown, by the task's number; "
        "= where none was, \N{EN DASH} where none was looked for"
    )
    return Table(caption, ["activation", *(f"{view.place}" for view in views)], rows)


def _cell(view: View, variant: str) -> Cell:
    row = next((row for row in view.rows if row.variant == variant), None)
    if variant == view.about["baseline"]:
        return Cell("baseline")
    if row is None or not row.verdict:
        return Cell("\N{EN DASH}")
    if row.verdict not in (BETTER, WORSE):
        return Cell("=")
    return Cell(sign(row.verdict) + view.scale.signed(row.difference), row.verdict)
