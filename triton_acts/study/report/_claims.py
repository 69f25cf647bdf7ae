"""What the papers claim in words, held against a study's runs.

A claim is reproduced only if all comparisons that it consists of come out its way, so each is made
at the study's alpha without a correction: an intersection-union test. The claims are about other
networks and data than a study's; what comes out here is that the words hold, or not, in small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from triton_acts.study._statistics import mean_interval
from triton_acts.study._study import Study

from ._document import Cell, Section, Table, Text
from ._view import learns, of_task
from ._words import Scale, listed, number, scale_of

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["REPRODUCED", "Claim", "claims", "claims_section"]

REPRODUCED, NOT_REPRODUCED, NOT_TESTED = "reproduced", "not reproduced", "not tested"

_DEEP = "33 layers, plain Xavier"
_CNNS = (
    "digits",
    "digits, batch norm before",
    "digits, batch norm after",
    "defects, 100 % of the data",
    "defects, 30 % of the data",
    "defects, 10 % of the data",
)
_SHALLOW, _DEEPER = "tabular, 1 hidden layer", "tabular, 3 hidden layers"
_LEAKY = ("leaky relu 0.25", "leaky relu 0.01")


@dataclass(frozen=True)
class Claim:
    """A claim and what became of it.

    Attributes:
        text: the claim.
        source: the paper, and how far it was read.
        made_precise: what had to come out.
        state: "reproduced", "not reproduced" or "not tested".
        numbers: what came out.
    """

    text: str
    source: str
    made_precise: str
    state: str
    numbers: str


def claims(study: Study) -> list[Claim]:
    """The claims whose tasks are part of the study."""
    tasks = study.protocol["tasks"]
    found = [_sigmoids(study)] if _DEEP in tasks else []
    found += [_penalized(study, task) for task in _CNNS if task in tasks]
    if _SHALLOW in tasks and _DEEPER in tasks:
        found.append(_shallow(study))
    return found


def claims_section(study: Study) -> Section:
    """A table of the claims."""
    found = claims(study)
    if not found:
        return Section("Claims of the papers", [])
    head = ["claim", "source", "what had to come out", "state", "what came out"]
    rows: list[list[str | Cell]] = [
        [c.text, c.source, c.made_precise, Cell(c.state, c.state), c.numbers] for c in found
    ]
    text = Text(
        "The papers used other networks and data sets. Here their words are tried in small; "
        "'reproduced' is no proof of them, and 'not reproduced' no refutation."
    )
    return Section("Claims of the papers", [text, Table("Claims", head, rows)])


def _sigmoids(study: Study) -> Claim:
    limits = study.protocol["claims"]
    level = 100 * (1 - study.protocol["alpha"])
    return _claim(
        "In a deep plain network the logistic sigmoid fails where the scaled sigmoid trains.",
        "Xu, Huang, Li 2016, arXiv 1602.05980 (abstract)",
        f"The {level:g} % intervals of the mean: sigmoid wholly below "
        f"{100 * limits['fails_below']:g} % accuracy, "
        f"scaled sigmoid wholly above {100 * limits['trains_above']:g} %.",
        lambda: _sigmoid_numbers(study),
    )


def _sigmoid_numbers(study: Study) -> tuple[bool, str]:
    limits = study.protocol["claims"]
    intervals = {}
    for variant in ("sigmoid", "scaled sigmoid"):
        values = _values(study, _DEEP, variant)
        intervals[variant] = mean_interval(values.tolist(), study.protocol["alpha"])
    scale = _scale("accuracy", intervals.values())
    words = [f"{v} {scale.interval(*interval)} %" for v, interval in intervals.items()]
    right = (
        intervals["sigmoid"][2] < limits["fails_below"]
        and intervals["scaled sigmoid"][1] > limits["trains_above"]
    )
    return right, f"{'; '.join(words)}."


def _penalized(study: Study, task: str) -> Claim:
    limits = study.protocol["claims"]
    return _claim(
        f"Penalized tanh at least ties leaky ReLU on a CNN (task {task}).",
        "Xu, Huang, Li 2016, arXiv 1602.05980 (abstract)",
        f"Penalized tanh (a fixed) minus {listed(_LEAKY)}, seed by seed: both intervals lie above "
        f"-{100 * limits['tie_points']:g} percentage point.".replace("-", "\N{MINUS SIGN}"),
        lambda: _penalized_numbers(study, task),
    )


def _penalized_numbers(study: Study, task: str) -> tuple[bool, str]:
    limits = study.protocol["claims"]
    ours, words, right = _values(study, task, "penalized tanh"), [], True
    for name in _LEAKY:
        interval = _paired(study, ours, _values(study, task, name))
        scale = _scale("accuracy", [interval])
        tie = interval[1] > -limits["tie_points"]
        right = right and tie
        words.append(
            f"against {name}: {scale.difference(*interval)} percentage points, a tie or more "
            f"{'shown' if tie else 'not shown'}"
        )
    return right, f"{'; '.join(words)}."


def _shallow(study: Study) -> Claim:
    limits = study.protocol["claims"]
    return _claim(
        "KAF with one hidden layer matches deeper networks with fixed activations.",
        "Scardapane and others 2017, arXiv 1707.04035 (abstract; results second-hand: Sensorless, "
        "KAF with 1 hidden layer 99.80 %, tanh with 3 layers 99.18 %)",
        f"Best KAF of '{_SHALLOW}' minus best fixed activation of '{_DEEPER}', each the best in "
        f"mean validation error, test errors seed by seed: the interval lies below "
        f"+{100 * limits['tie_relative']:g} % of the deeper network's error.",
        lambda: _shallow_numbers(study),
    )


def _shallow_numbers(study: Study) -> tuple[bool, str]:
    limits = study.protocol["claims"]
    kaf = _best(study, _SHALLOW, lambda v: v.startswith("kaf"))
    fixed = _best(study, _DEEPER, lambda v: not learns(v))
    ours, theirs = _values(study, _SHALLOW, kaf), _values(study, _DEEPER, fixed)
    interval = _paired(study, ours, theirs)
    margin = limits["tie_relative"] * float(theirs.mean())
    scale = _scale("rmse", [interval])
    sizes = [_parameters(study, _SHALLOW, kaf), _parameters(study, _DEEPER, fixed)]
    words = (
        f"{kaf}, 1 hidden layer ({sizes[0]} parameters): rmse {number(ours.mean())}; {fixed}, 3 "
        f"hidden layers ({sizes[1]}): {number(theirs.mean())}; difference "
        f"{scale.difference(*interval)}, margin {number(margin, 2)}."
    )
    return interval[2] < margin, words


class _Missing(LookupError):
    """A claim needs runs that the study has not."""


def _claim(text: str, source: str, precise: str, test: Callable[[], tuple[bool, str]]) -> Claim:
    try:
        right, numbers = test()
    except _Missing as missing:
        return Claim(text, source, precise, NOT_TESTED, str(missing))
    return Claim(text, source, precise, REPRODUCED if right else NOT_REPRODUCED, numbers)


def _values(study: Study, task: str, variant: str) -> DataFrame:
    """A variant's test metric by seed.

    Raises:
        _Missing: it has fewer than two runs there.
    """
    return _runs(study, task, variant).set_index("seed")["test"]


def _runs(study: Study, task: str, variant: str) -> DataFrame:
    runs = of_task(study.runs, task)
    runs = runs[runs["variant"] == variant] if len(runs) else runs
    if len(runs) < 2 or not runs["test"].notna().all():
        raise _Missing(f"Too few runs of {variant} on '{task}'.")
    return runs.sort_values("seed")


def _best(study: Study, task: str, wanted: Callable[[str], bool]) -> str:
    """The variant of the smallest mean validation error."""
    runs = of_task(study.runs, task)
    runs = runs[runs["variant"].map(wanted)] if len(runs) else runs
    if not len(runs):
        raise _Missing(f"No activation to compare was run on '{task}'.")
    return str(runs.groupby("variant", sort=False)["validation"].mean().idxmin())


def _paired(study: Study, ours: DataFrame, theirs: DataFrame) -> tuple[float, float, float]:
    differences = (ours - theirs).dropna().tolist()
    if len(differences) < 2:
        raise _Missing("Fewer than two seeds are common to both.")
    return mean_interval(differences, study.protocol["alpha"])


def _parameters(study: Study, task: str, variant: str) -> str:
    return number(float(_runs(study, task, variant)["parameters"].median()), 6)


def _scale(metric: str, intervals: Iterable[tuple[float, float, float]]) -> Scale:
    return scale_of(metric, [0.0], [(high - low) / 2 for _, low, high in intervals])
