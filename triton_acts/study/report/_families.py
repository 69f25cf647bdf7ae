"""What several tasks of one family say together: further metrics, shares of data, batch norm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from triton_acts.study._statistics import compare_paired
from triton_acts.study._study import Study

from ._document import Block, Cell, Picture, Section, Table, Text
from ._panels import BLACK, GREY, groups, key, label, panels
from ._view import Row, View, of_task, verdict_cell, views
from ._words import plural, scale_of

__all__ = ["also_section", "norm_section"]

_SHARE = re.compile(r"defects, (\d+) % of the data")
_NORMS = {
    "digits": "none",
    "digits, batch norm before": "before",
    "digits, batch norm after": "after",
}


def also_section(study: Study, main: Sequence[View]) -> Section:
    """Further metrics with their verdicts, and learning curves over the share of the data."""
    names = dict.fromkeys(n for task in study.protocol["tasks"].values() for n in task["also"])
    also = {name: views(study, f"also: {name}") for name in names}
    also = {name: found for name, found in also.items() if found}
    if not also:
        return Section("Further metrics", [])
    text = (
        "On the test set, with intervals and verdicts as above; a metric's activations are a "
        "family of their own in Holm's correction. A diverged run answers the same to everything: "
        "it raises no false alarm, and misses everything."
    )
    blocks: list[Block] = [Text(text)]
    by_share: dict[str, dict[int, View]] = {}
    for view in (*main, *(view for found in also.values() for view in found)):
        if match := _SHARE.fullmatch(view.task):
            by_share.setdefault(view.scale.label, {})[int(match[1])] = view
    by_share = {name: shares for name, shares in by_share.items() if len(shares) > 1}
    if by_share:
        caption = "defects: means with their intervals, over the share of the training data"
        blocks.append(Picture(caption, "defects-shares", partial(_learning_curves, by_share)))
    for view in main:
        same = [v for found in also.values() for v in found if v.task == view.task]
        if same:
            blocks.append(_also_table(view, same))
    return Section("Further metrics", blocks)


def _also_table(view: View, metrics: Sequence[View]) -> Table:
    head, rows = ["activation"], [[row.variant] for row in view.rows]
    cells: list[list[str | Cell]] = [[*row] for row in rows]
    for metric in metrics:
        way = "higher" if metric.higher_is_better else "lower"
        head += [f"{metric.scale.label}, {way} is good", "difference", "verdict"]
        for line, row in zip(cells, metric.rows, strict=True):
            difference = metric.difference(row) if row.verdict else ""
            lost = f", {plural(row.diverged, 'seed')} diverged" if row.diverged else ""
            line += [metric.mean(row) + lost, difference, verdict_cell(row.verdict)]
    return Table(view.task, head, cells)


def _learning_curves(by_share: dict[str, dict[int, View]]) -> Any:
    first = next(iter(next(iter(by_share.values())).values()))
    variants, base = [row.variant for row in first.rows], first.about["baseline"]
    columns = groups(variants, base)[:3]
    lines = [line for _, group in columns for line in group]
    handles = [key(BLACK, f"{label(base)} (baseline)", ":", "o")]
    handles += [key(line.colour, label(line.variant), line.stroke, "o") for line in lines]
    if len(variants) > len(lines) + 1:
        handles.append(key(GREY, "other activations"))
    figure, axes = panels(len(by_share), len(columns), handles, height=1.7)
    for row, (name, shares) in zip(axes, by_share.items(), strict=True):
        row[0].set_ylabel(label(name))
        for ax, (_, group) in zip(row, columns, strict=True):
            looks = {base: (BLACK, ":")} | {
                line.variant: (line.colour, line.stroke) for line in group
            }
            for i, variant in enumerate(sorted(variants, key=lambda v: v in looks)):
                _curve(ax, variant, looks.get(variant), shares, i)
    for ax, (title, _) in zip(axes[0], columns, strict=True):
        ax.set_title(label(title))
    for ax in axes[-1]:
        ax.set_xscale("log")
        ticks = sorted({share for shares in by_share.values() for share in shares})
        ax.set_xticks(ticks, [f"{tick}" for tick in ticks])
        ax.minorticks_off()
        ax.set_xlim(ticks[0] / 1.25, ticks[-1] * 1.25)
        ax.set_xlabel("share of the data (%)")
    return figure


def _curve(
    ax: Any, variant: str, look: tuple[str, str] | None, shares: dict[int, View], place: int
) -> None:
    points = [
        (share, view.scale.factor, row)
        for share, view in sorted(shares.items())
        for row in view.rows
        if row.variant == variant
    ]
    means = [factor * row.mean for _, factor, row in points]
    if look is None:
        ax.plot([share for share, _, _ in points], means, color=GREY, lw=0.9)
        return
    aside = 1 + 0.03 * (place % 4)  # so that bars do not hide each other
    x = [share * aside for share, _, _ in points]
    down = [factor * (row.mean - row.low) for _, factor, row in points]
    up = [factor * (row.high - row.mean) for _, factor, row in points]
    ax.errorbar(x, means, [down, up], color=look[0], ls=look[1], lw=1.4, marker="o", ms=3.5)


def norm_section(study: Study, main: Sequence[View]) -> Section:
    """Batch norm nowhere, before and after each activation, on the digits."""
    found = {_NORMS[view.task]: view for view in main if view.task in _NORMS}
    if len(found) < 2:
        return Section("Batch norm", [])
    variants = dict.fromkeys(row.variant for view in found.values() for row in view.rows)
    effect = _after_minus_before(study) if {"before", "after"} <= found.keys() else {}
    head = ["activation"]
    for name, view in found.items():
        head += [f"{name}: {view.scale.label}", "verdict"]
    head += ["after minus before", "verdict"] if effect else []
    rows = []
    for variant in variants:
        row: list[str | Cell] = [variant]
        for view in found.values():
            row += _mean_and_verdict(view, variant)
        rows.append(row + (effect.get(variant, ["", ""]) if effect else []))
    text = (
        "The verdicts compare activations at the same place of batch norm. The last column "
        "compares, for each activation, batch norm after it with batch norm before it, seed by "
        "seed; its family for Holm's correction is the column."
    )
    quote = (
        "Elsewhere, batch norm after a bounded activation, instead of before it, gained 7.33 "
        "points for VGG16 with tanh on CIFAR-100 (anonymous review copy)."
    )
    blocks: list[Block] = [
        Text(text),
        Table("Test accuracy by the place of batch norm", head, rows),
    ]
    return Section("Batch norm", [*blocks, Text(quote)])


def _mean_and_verdict(view: View, variant: str) -> list[str | Cell]:
    row: Row | None = next((row for row in view.rows if row.variant == variant), None)
    if row is None:
        return ["not run", ""]
    return [view.mean(row), verdict_cell(row.verdict)]


def _after_minus_before(study: Study) -> dict[str, list[str | Cell]]:
    """The paired effect of the place, by variant, with its verdict."""
    before, after = (
        of_task(study.runs, f"digits, batch norm {place}").pivot(
            index="variant", columns="seed", values="test"
        )
        for place in ("before", "after")
    )
    gains = (after - before).dropna()
    if not len(gains):
        return {}
    none = [0.0] * len(gains.columns)
    higher = study.higher_is_better("digits, batch norm after")
    values = {str(v): row.tolist() for v, row in gains.iterrows()}
    alpha = study.protocol["alpha"]
    compared = compare_paired(none, values, higher_is_better=higher, alpha=alpha)
    halves = [(c.high - c.low) / 2 for c in compared.values()]
    scale = scale_of("accuracy", [0.0], halves)
    return {
        v: [scale.difference(c.difference, c.low, c.high), verdict_cell(c.verdict)]
        for v, c in compared.items()
    }
