"""The decision sheet: what whoever pays has to know, task by task, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from triton_acts.study._statistics import BETTER, WORSE
from triton_acts.study._study import Study

from ._choices import rate_sensitivity, rates_at_an_edge
from ._document import Block, Facts, Section, Text
from ._overview import overview
from ._view import Row, View, count, of_task
from ._words import listed, number, plural, short_options, times

__all__ = ["decision_sheet"]

_NAMED = 3  # activations besides the first
_FEW_SEEDS = 8  # below, an interval says little beyond the runs it comes from


def decision_sheet(study: Study, views: Sequence[View]) -> Section:
    """Tables of all tasks, where there are several, and then a box for each."""
    blocks: list[Block] = []
    if views:
        blocks = [Text(_how_to_read(study)), *overview(views)]
    blocks += [_box(study, view, views) for view in views]
    return Section("Decision sheet", blocks)


def _how_to_read(study: Study) -> str:
    seeds, alpha = len(study.protocol["seeds"]), 100 * study.protocol["alpha"]
    return (
        f"Each activation was trained {seeds} times. '{BETTER}' and '{WORSE}' are said only where "
        f"the interval of its paired difference from the baseline excludes 0, at a level so strict "
        f"that the chance of one wrong claim or more in a task is at most {alpha:g} %. Everything "
        f"else is 'no difference shown', which does not mean that there is none. Numbers in "
        f"brackets are intervals."
    )


def _box(study: Study, view: View, views: Sequence[View]) -> Facts:
    better, base = view.of(BETTER), view.baseline
    rows = [("What changed", _what_changed(study, view, better))]
    if base is None:
        rows.append(("Gain", f"Not tested: the baseline {view.about['baseline']} was not run."))
        return Facts(view.task, rows)
    if better:
        rows += [("Gain", _gain(view, better, base)), ("Cost", _cost(view, better[0], base))]
    else:
        rows.append(("Gain", _no_gain(view)))
    rows.append(("Risk", " ".join(_risks(study, view, views))))
    rows.append(("Next step", _next_step(view, better)))
    return Facts(view.task, rows)


def _what_changed(study: Study, view: View, better: Sequence[Row]) -> str:
    base, about = view.about["baseline"], view.about["about"]
    where = f" ({about})" if about else ""
    if not better:
        names = len(view.compared)
        return f"The activation, {base}, was replaced by {plural(names, 'other')} in turn{where}."
    choice = _choice(study, view.task, better[0].variant)
    return f"{base} is replaced by {better[0].variant}{where}, trained with {choice}."


def _choice(study: Study, task: str, variant: str) -> str:
    choices = of_task(study.choices, task)
    row = choices[choices["variant"] == variant].iloc[0]
    words = [f"learning rate {row['learning_rate']:g}", f"initialisation '{row['init']}'"]
    return ", ".join(filter(None, [*words, short_options(row["options"])]))


def _gain(view: View, better: Sequence[Row], base: Row) -> str:
    first, scale = better[0], view.scale
    text = (
        f"{first.variant} is better: {scale.label} {view.mean(first)} instead of "
        f"{view.mean(base)}, a difference of {view.difference(first)}{scale.unit}"
    )
    gained, unit = _gained(view, first, base)
    text += "." if scale.share else f", {number(gained, 2)} {unit} of the baseline's."
    if len(better) > 1:
        others = [f"{row.variant} {view.difference(row)}" for row in better[1 : _NAMED + 1]]
        if len(better) > _NAMED + 1:
            others.append(f"{len(better) - _NAMED - 1} more, see the table")
        text += (
            f" Also better: {listed(others)}. These were compared with {base.variant}, not with "
            f"each other."
        )
    return text


def _no_gain(view: View) -> str:
    known = sorted(row.detectable for row in view.compared if row.detectable > 0)
    text = f"Nothing is better than {view.about['baseline']}, as far as these runs show."
    if not known:
        return text
    middle = view.scale.value(known[len(known) // 2])
    return (
        f"{text} For half of the activations a difference below {middle}{view.scale.unit} would "
        f"have been missed more often than one time in five."
    )


def _cost(view: View, row: Row, base: Row) -> str:
    gained, unit = _gained(view, row, base)
    parts = []
    for what, value, reference, of in (
        ("training", row.epoch_s, base.epoch_s, "s an epoch"),
        ("inference", row.inference_us, base.inference_us, "us an example"),
        ("memory kept for backward", row.saved_mib, base.saved_mib, "MiB a batch"),
    ):
        text = f"{what} {number(value)} instead of {number(reference)} {of}"
        text += f" ({times(value, reference)})"
        if value > reference and gained > 0 and base.steps_to_target != 0:
            text += f", {number((value - reference) / gained, 2)} for each {unit} gained"
        parts.append(text)
    parts.append(f"parameters {count(row.parameters)} instead of {count(base.parameters)}")
    return "; ".join(parts) + "."


def _gained(view: View, row: Row, base: Row) -> tuple[float, str]:
    """The gain in percentage points of a share, else in percent of the baseline's mean."""
    if view.scale.share:
        return 100 * abs(row.difference), "percentage point"
    if not base.mean:
        return math.nan, ""
    return 100 * abs(row.difference / base.mean), "percent"


def _risks(study: Study, view: View, views: Sequence[View]) -> list[str]:
    found, better = [], view.of(BETTER)
    if better:
        found += [*_own_risks(study, view, better[0]), *_elsewhere(view, better[0], views)]
    else:
        runs = sum(row.diverged for row in view.rows)
        lost = f"{plural(runs, 'run')} of all activations" if runs else "No run"
        found.append(f"{lost} diverged.")
    if view.baseline is not None and view.baseline.steps_to_target == 0:
        found.append(
            f"{view.about['baseline']} learns nothing here: whatever trains at all is better, and "
            f"no difference from it may mean that an activation learns nothing, either."
        )
    worse = [row.variant for row in view.of(WORSE)]
    if worse:
        found.append(f"Worse than the baseline here: {listed(worse)}.")
    found += rates_at_an_edge(study, view)
    seeds = len(study.protocol["seeds"])
    if seeds < _FEW_SEEDS:
        found.append(f"Only {plural(seeds, 'seed')}: an interval from so few runs is fragile.")
    return found


def _own_risks(study: Study, view: View, row: Row) -> list[str]:
    tried = of_task(study.tried, view.task)
    tried = tried[tried["variant"] == row.variant]
    lost = int(tried["diverged"].sum())
    found = [
        f"{row.diverged} of {plural(row.seeds, 'run')} diverged, and {lost} of {len(tried)} while "
        f"its settings were chosen."
    ]
    found += rate_sensitivity(study, view, row.variant)
    if len(view.of(BETTER)) > 1:
        found.append("The largest of several estimated gains tends to be estimated too large.")
    return found


def _elsewhere(view: View, row: Row, views: Sequence[View]) -> list[str]:
    others = [other for other in views if other.task != view.task]
    same = [(o.task, r.verdict) for o in others for r in o.compared if r.variant == row.variant]
    if not same:
        return ["It was tried on no other task." if not others else "It was compared on no other."]
    worse = [task for task, verdict in same if verdict == WORSE]
    better = sum(verdict == BETTER for _, verdict in same)
    rest = len(same) - better - len(worse)
    text = f"On the {plural(len(same), 'other task')}: better on {better}, no difference shown on "
    text += f"{rest}, worse on {listed(worse)}." if worse else f"{rest}."
    return [text.replace("better on 0, ", "")]


def _next_step(view: View, better: Sequence[Row]) -> str:
    base = view.about["baseline"]
    if not better:
        return (
            f"Keep {base}, as far as this shows. More seeds and longer training would show smaller "
            f"differences."
        )
    few = better[0].seeds < _FEW_SEEDS
    first = f"Repeat this with at least {_FEW_SEEDS} seeds, then run" if few else "Run"
    return (
        f"{first} python -m triton_acts.study my_task.py with {base} and {better[0].variant} on "
        f"your own model and data, and measure time there."
    )
