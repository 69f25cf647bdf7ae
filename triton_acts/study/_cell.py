"""A cell: one activation on one task, its choice and then its seeds; and the file that keeps it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from triton_acts.tuning.writing import write_text

from ._machine import machine
from ._search import try_others
from ._task import Data, Task
from ._training import Choice, Run, train
from ._variants import Variant

__all__ = ["Cell", "load", "run_cell", "save"]

SELECTION_SEED = 0  # of the runs that choose; results come from other seeds


@dataclass(frozen=True)
class Cell:
    """What was found for one activation on one task.

    Attributes:
        task, variant: names.
        choice: the chosen learning rate, initialisation and options, as text.
        tried: a row for each choice that was tried, with its validation metric.
        runs: a row a seed.
        curves: a row per seed and epoch.
        layers: a row per seed, epoch and layer.
        seconds: how long all of it took.
        machine: where it ran; a study that is resumed may go on elsewhere.
    """

    task: str
    variant: str
    choice: dict[str, Any]
    tried: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    seconds: float
    machine: dict[str, str]


def run_cell(
    task: Task,
    variant: Variant,
    seeds: Sequence[int],
    data: Data,
    note: Callable[[str], None] = lambda _: None,
) -> Cell:
    """Chooses on the validation set with one seed, then trains at that choice with all seeds.

    Learning rate and initialisation are chosen together with the activation's first options, then
    its other options at these. Ties go to what comes first.
    """
    begin, tried = time.monotonic(), list[tuple[Choice, Run]]()
    without_test = data._replace(test=data.validation)  # what is not there cannot choose

    def attempt(choice: Choice) -> float:
        note(f"{task.name}, {variant.name}: trying {_text(choice)}")
        run = train(task, variant, choice, SELECTION_SEED, without_test)
        tried.append((choice, run))
        return math.nan if run.diverged else run.validation

    def best() -> Choice:
        sign = 1 if task.metric.higher_is_better else -1
        return max(tried, key=lambda pair: (not pair[1].diverged, sign * pair[1].validation))[0]

    for rate in task.learning_rates:
        for init in task.inits:
            attempt(Choice(rate, init, variant.options[0]))
    chosen = best()
    try_others(
        variant,
        task.search,
        task.metric.higher_is_better,
        lambda options: attempt(replace(chosen, options=options)),
    )
    chosen = best()
    runs = {}
    for seed in seeds:
        note(f"{task.name}, {variant.name}: seed {seed}")
        runs[seed] = train(task, variant, chosen, seed, data)
    return Cell(
        task=task.name,
        variant=variant.name,
        choice=_row(chosen),
        tried=[_row(c) | {"validation": r.validation, "diverged": r.diverged} for c, r in tried],
        runs=[{"seed": seed} | _figures(run) for seed, run in runs.items()],
        curves=[{"seed": seed} | row for seed, run in runs.items() for row in run.curve],
        layers=[{"seed": seed} | row for seed, run in runs.items() for row in run.layers],
        seconds=time.monotonic() - begin,
        machine=machine(),
    )


def _figures(run: Run) -> dict[str, Any]:
    row = {k: v for k, v in vars(run).items() if k not in ("also", "curve", "layers")}
    return row | {f"also: {name}": value for name, value in run.also.items()}


def _row(choice: Choice) -> dict[str, Any]:
    return {
        "learning_rate": choice.learning_rate,
        "init": choice.init,
        "options": options_text(choice.options),
    }


def _text(choice: Choice) -> str:
    options = options_text(choice.options)
    return ", ".join(filter(None, (f"{choice.learning_rate:g}", choice.init, options)))


def options_text(options: Mapping[str, Any]) -> str:
    """Keyword arguments as a reader would write them.

    Raises:
        ValueError: a value has no text that is its own, and the same in every process.
    """
    return ", ".join(f"{name}={_word(name, value)}" for name, value in options.items())


def _word(name: str, value: object) -> str:
    if isinstance(value, partial):
        given = [*map(str, value.args), *(f"{k}={v}" for k, v in value.keywords.items())]
        return f"{_word(name, value.func)}({', '.join(given)})"
    word = str(getattr(value, "__name__", value))
    if word == "<lambda>" or " at 0x" in word:
        raise ValueError(
            f"option {name}={value!r} has no name by which records could tell it from others; give "
            f"a named function, a number or a string"
        )
    return word


def save(cell: Cell, file: Path) -> None:
    """Writes a cell, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, json.dumps(asdict(cell)))


def load(file: Path) -> Cell:
    """Reads what `save` wrote.

    Raises:
        ValueError: the file is not that; delete it to have the cell run again.
    """
    try:
        return Cell(**json.loads(file.read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{file} holds no cell of a study ({error}); delete it to run it again"
        ) from None
