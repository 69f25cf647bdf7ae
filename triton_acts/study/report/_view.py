"""A task as the report sees it: who was compared, with what result, at what cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from triton_acts.study._statistics import BETTER, WORSE
from triton_acts.study._study import Study

from ._document import Cell
from ._words import Scale, number, scale_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["OURS", "Row", "View", "count", "has", "is_ours", "learns", "of_task", "verdict_cell"]
__all__ += ["sign", "views"]

OURS = ("scaled sigmoid", "penalized tanh", "kaf")
_SIGNS = {BETTER: "\N{BLACK UP-POINTING TRIANGLE} ", WORSE: "\N{BLACK DOWN-POINTING TRIANGLE} "}
_LEARNED = ("penalized tanh, learned",)


@dataclass(frozen=True)
class Row:
    """A variant's figures, in the metric's own units; NaN where there are none."""

    variant: str
    seeds: int
    mean: float
    low: float
    high: float
    worst: float
    difference: float
    difference_low: float
    difference_high: float
    detectable: float
    verdict: str
    diverged: int
    steps_to_target: float
    parameters: float
    epoch_s: float
    inference_us: float
    saved_mib: float


@dataclass(frozen=True)
class View:
    """A task and one metric.

    Attributes:
        place: the task's number in the study, from 1, which keeps names of files apart.
        task: its name.
        about: its protocol.
        scale: how its metric is written.
        higher_is_better: which way is good.
        rows: its variants.
    """

    place: int
    task: str
    about: dict[str, Any]
    scale: Scale
    higher_is_better: bool
    rows: list[Row]

    @property
    def baseline(self) -> Row | None:
        """The baseline's row, if it was run."""
        return next((row for row in self.rows if row.variant == self.about["baseline"]), None)

    @property
    def compared(self) -> list[Row]:
        """The rows with a verdict."""
        return [row for row in self.rows if row.verdict]

    @property
    def target_is_fair(self) -> bool:
        """Whether the baseline learns anything: else even untrained models reach its target."""
        return self.baseline is not None and self.baseline.steps_to_target > 0

    def of(self, verdict: str) -> list[Row]:
        """The rows with this verdict, the largest difference first."""
        found = [row for row in self.rows if row.verdict == verdict]
        return sorted(found, key=lambda row: -abs(row.difference))

    def difference(self, row: Row) -> str:
        """A row's difference from the baseline with its interval."""
        return self.scale.difference(row.difference, row.difference_low, row.difference_high)

    def mean(self, row: Row) -> str:
        """A row's mean with its interval."""
        return self.scale.interval(row.mean, row.low, row.high)

    def detectable(self, row: Row) -> str:
        """A row's smallest detectable difference; none where the seeds do not differ at all."""
        return self.scale.value(row.detectable) if row.detectable > 0 else "seeds agree"


def views(study: Study, metric: str = "test") -> list[View]:
    """A View of each task that has this metric."""
    if not len(study.runs):
        return []
    table, found = study.verdicts(metric), []
    for place, (task, about) in enumerate(study.protocol["tasks"].items(), 1):
        if not len(table) or not (table["task"] == task).any():
            continue
        rows = [_row(r) for r in of_task(table, task).to_dict("records")]
        name = about["metric"] if metric == "test" else metric.removeprefix("also: ")
        halves = [(row.difference_high - row.difference_low) / 2 for row in rows]
        scale = scale_of(name, [row.mean for row in rows], halves)
        higher = study.higher_is_better(task, metric)
        found.append(View(place, task, about, scale, higher, rows))
    return found


def of_task(table: DataFrame, task: str) -> DataFrame:
    """A task's rows of one of a study's tables."""
    return table[table["task"] == task] if len(table) else table


def has(frame: DataFrame, column: str) -> bool:
    """Whether a frame has a column with a value in it."""
    return column in frame and bool(frame[column].notna().any())


def sign(verdict: str) -> str:
    """What stands before a verdict, for those who see no colours."""
    return _SIGNS.get(verdict, "")


def verdict_cell(verdict: str) -> Cell:
    """A verdict in a table."""
    return Cell(sign(verdict) + (verdict or "baseline"), verdict if verdict in _SIGNS else "")


def is_ours(variant: str) -> bool:
    """Whether it is one of this package's activations."""
    return variant.startswith(OURS)


def learns(variant: str) -> bool:
    """Whether one of this package's activations has weights of its own."""
    return variant.startswith("kaf") or variant in _LEARNED


def count(x: float) -> str:
    """A whole number."""
    return number(x, 12) if math.isfinite(x) else number(x)


def _row(record: dict[str, Any]) -> Row:
    numbers = {k: _float(record.get(k)) for k in Row.__annotations__ if k not in _OTHERS}
    verdict = record.get("verdict")
    return Row(
        variant=str(record["variant"]),
        seeds=int(record["seeds"]),
        diverged=int(record["diverged"]),
        verdict=verdict if isinstance(verdict, str) else "",
        **numbers,
    )


_OTHERS = ("variant", "seeds", "diverged", "verdict")


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
