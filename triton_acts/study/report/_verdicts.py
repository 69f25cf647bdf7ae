"""Verdicts: a table and a forest plot for each task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ._document import Block, Cell, Picture, Section, Table, Text
from ._forest import forest
from ._view import Row, View, count, verdict_cell
from ._words import number, slug, steps

__all__ = ["file_name", "verdict_section"]


def verdict_section(views: Sequence[View]) -> Section:
    """What was found, task by task."""
    blocks: list[Block] = []
    if views:
        blocks.append(Text(_LEGEND))
    for view in views:
        blocks.append(_table(view))
        if view.compared:
            caption = f"{view.task}: differences from {view.about['baseline']}"
            blocks.append(Picture(caption, file_name(view, "forest"), partial(forest, view)))
    return Section("Verdicts", blocks)


_LEGEND = (
    "mean: on the test set, over the seeds, with its interval. worst seed: where it lies far from "
    "the mean, runs fail now and then. difference: from the baseline, seed by seed, with the "
    "interval at Holm's level. detectable: the smallest difference that as many seeds find about "
    "four times in five. steps: optimizer steps until validation, looked at after each epoch, is "
    "where the baseline ends, in the median; no target where the baseline ends no further than it "
    "began. Times and memory are medians over the seeds that did not diverge; memory is what a "
    "batch's forward pass keeps for backward."
)


def file_name(view: View, what: str) -> str:
    """A picture's name, which no other task has."""
    return f"{view.place:02d}-{slug(view.task)}-{what}"


def _table(view: View) -> Table:
    label = view.scale.label
    head = [
        "activation",
        f"mean {label}",
        "worst seed",
        "difference",
        "verdict",
        "detectable",
        "steps",
    ]
    head += ["diverged", "s an epoch", "us an example", "memory (MiB)", "parameters"]
    way = "higher" if view.higher_is_better else "lower"
    seeds = max((row.seeds for row in view.rows), default=0)
    caption = f"{view.task}: {label}, {way} is good; {seeds} seeds"
    return Table(caption, head, [_line(view, row) for row in view.rows])


def _line(view: View, row: Row) -> list[str | Cell]:
    verdict = row.variant == view.about["baseline"] or row.verdict
    return [
        row.variant,
        view.mean(row),
        view.scale.value(row.worst),
        view.difference(row) if row.verdict else "",
        verdict_cell(row.verdict) if verdict else "not compared",
        view.detectable(row) if row.verdict else "",
        steps(row.steps_to_target if view.target_is_fair else None),
        count(row.diverged),
        number(row.epoch_s),
        number(row.inference_us),
        number(row.saved_mib),
        count(row.parameters),
    ]
