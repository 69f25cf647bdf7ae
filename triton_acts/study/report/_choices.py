"""What was chosen for each activation, and whether it lies at the edge of what was tried."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triton_acts.study._study import Study

from ._document import Cell, Table
from ._view import View, of_task
from ._words import Scale, number, short_options

__all__ = ["choice_tables", "rate_sensitivity", "rates_at_an_edge"]

_HEAD = ["activation", "learning rate", "initialisation", "options", "validation over the rates"]


def choice_tables(study: Study, views: Sequence[View]) -> list[Table]:
    """A table a task."""
    return [_table(study, view) for view in views]


def rate_sensitivity(study: Study, view: View, variant: str) -> list[str]:
    """A sentence about a variant's validation metric over the learning rates, if several."""
    found = _over_rates(study, view, variant)
    if len(found) < 2:
        return []
    low, high = min(found.values()), max(found.values())
    words = f"between {view.scale.value(low)} and {view.scale.value(high)}"
    rates = f"{min(found):g} to {max(found):g}"
    return [f"Over learning rates {rates} its validation {view.scale.label} lay {words}."]


def rates_at_an_edge(study: Study, view: View) -> list[str]:
    """A sentence about the activations that might have wanted a rate beyond those tried, if any."""
    records = of_task(study.choices, view.task).to_dict("records")
    rates = view.about["learning_rates"]
    edge = [r["variant"] for r in records if _edge("rate", r["learning_rate"], rates)]
    if not edge:
        return []
    base = view.about["baseline"]
    among = f", {base} among them" if base in edge else ""
    return [
        f"{len(edge)} of {len(records)} activations chose the smallest or the largest learning "
        f"rate that was tried{among}: others might rank them otherwise."
    ]


def _table(study: Study, view: View) -> Table:
    rows: list[list[str | Cell]] = []
    for record in of_task(study.choices, view.task).to_dict("records"):
        variant, options = str(record["variant"]), _text(record["options"])
        found = _over_rates(study, view, variant)
        span = _range(view.scale, min(found.values()), max(found.values())) if found else ""
        edges = [_edge("rate", record["learning_rate"], view.about["learning_rates"])]
        edges += _option_edges(options, view.about["variants"].get(variant, []))
        rate = f"{record['learning_rate']:g}"
        warning = Cell(", ".join(filter(None, edges)), "edge")
        rows.append([variant, rate, str(record["init"]), short_options(options), span, warning])
    return Table(f"Choices, {view.task}", [*_HEAD, "at the edge of its grid"], rows)


def _over_rates(study: Study, view: View, variant: str) -> dict[float, float]:
    """The validation metric by learning rate, at the chosen initialisation and first options."""
    tried, choices = of_task(study.tried, view.task), of_task(study.choices, view.task)
    tried, chosen = tried[tried["variant"] == variant], choices[choices["variant"] == variant]
    if not len(tried) or not len(chosen):
        return {}
    first = tried.iloc[0]
    same = tried["init"] == chosen.iloc[0]["init"]
    same &= tried["options"].fillna("") == _text(first["options"])
    rows = tried[same & tried["validation"].map(math.isfinite)]
    return dict(zip(rows["learning_rate"].tolist(), rows["validation"].tolist(), strict=True))


def _range(scale: Scale, low: float, high: float) -> str:
    return f"{scale.value(low)} to {scale.value(high)}"


def _option_edges(chosen: str, offered: Sequence[str]) -> list[str]:
    """Warnings about options that are numbers of which at least three were offered."""
    grids: dict[str, list[float]] = {}
    for text in offered:
        for key, value in _numbers(text).items():
            grids.setdefault(key, []).append(value)
    return [
        _edge(key, value, grids[key])
        for key, value in _numbers(chosen).items()
        if len(set(grids.get(key, []))) > 2
    ]


def _numbers(options: str) -> dict[str, float]:
    found = {}
    for part in options.split(", "):
        key, _, value = part.partition("=")
        try:
            found[key] = float(value)
        except ValueError:
            continue  # a function's name, or no value at all
    return found


def _edge(what: str, chosen: float, grid: Sequence[float]) -> str:
    if len(set(grid)) < 2 or min(grid) < chosen < max(grid):
        return ""
    side = "smallest" if chosen <= min(grid) else "largest"
    return f"{side} {what} of {number(len(set(grid)))}"


def _text(options: object) -> str:
    return options if isinstance(options, str) else ""
