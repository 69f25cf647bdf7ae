"""How a study was made: choices, protocol, machine, what is missing, and what it cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from triton_acts.study._study import Study

from ._choices import choice_tables
from ._document import Block, Items, Section, Table, Text
from ._view import View
from ._words import listed

__all__ = ["choices_section", "dropped_section", "limits_section", "protocol_section"]


def choices_section(study: Study, views: Sequence[View]) -> Section:
    """Learning rate, initialisation and options of each activation."""
    if not len(study.choices):
        return Section("Choices", [])
    text = Text(
        f"Chosen on the validation set with seed {study.protocol['selection_seed']}, which counts "
        f"nowhere else. A choice at the edge of its grid is a warning: a value beyond it might do "
        f"more, for this activation or for the baseline."
    )
    return Section("Choices", [text, *choice_tables(study, views)])


def protocol_section(study: Study) -> Section:
    """What was fixed before the first run, and where it ran."""
    fixed = study.protocol
    seeds = listed([f"{seed}" for seed in fixed["seeds"]])
    text = Text(
        f"Fixed before the first run. For each activation the learning rate and the initialisation "
        f"are chosen together, then its options, all on the validation set. Then seeds {seeds} "
        f"train at that choice, each for the same number of epochs, with a cosine decay to 0, and "
        f"the test set is looked at once a run. The differences from the baseline are paired by "
        f"seed; Student's intervals at Holm's levels keep the chance of one wrong claim or more in "
        f"a task at {fixed['alpha']:g}. A diverged run counts as a constant answer."
    )
    head = ["task", "what", "epochs", "batch", "optimizer", "rates", "inits", "clip", "baseline"]
    rows = [_task(name, about) for name, about in fixed["tasks"].items()]
    blocks: list[Block] = [text, Table("Tasks", head, rows)]
    machine = [[name.replace("_", " "), str(value)] for name, value in study.machine.items()]
    if machine:
        blocks.append(Table("Machine", ["what", "value"], machine))
    return Section("Protocol and machine", blocks)


def _task(name: str, about: dict[str, Any]) -> list[str]:
    return [
        name,
        about["about"],
        str(about["epochs"]),
        str(about["batch_size"]),
        about["optimizer"],
        ", ".join(f"{rate:g}" for rate in about["learning_rates"]),
        ", ".join(about["inits"]),
        "no" if about["clip"] is None else f"{about['clip']:g}",
        about["baseline"],
    ]


def dropped_section(study: Study) -> Section:
    """The cells that time did not allow."""
    tasks = dict.fromkeys(task for task, _ in study.dropped)
    items = [f"{t}: {listed([v for task, v in study.dropped if task == t])}" for t in tasks]
    if not items:
        return Section("Dropped for time", [])
    return Section("Dropped for time", [Text("Not run, so nothing is said of them."), Items(items)])


def limits_section(study: Study) -> Section:
    """What a reader must not conclude."""
    seeds = len(study.protocol["seeds"])
    cores = study.machine.get("cores", "a few")
    limits = [
        "One data set, one model and one budget a task; all are small. Another data set, a larger "
        "model or a longer training may rank activations otherwise.",
        f"The {seeds} seeds vary initialisation and the order of the batches only, not the data: "
        "the intervals say what would happen in more runs on these very examples.",
        "Each choice rests on one run, with the seed of the selection; the grids are short."
        + _tries(study),
        "The intervals are Student's, which assume that differences between runs are roughly "
        "normal; with few seeds or with runs that fail now and then this is a rough assumption.",
        "Holm's correction covers the activations of a task, not all tasks together: of many "
        "tasks, one may show a difference that is none.",
        *_shared(study),
        f"Times come from a CPU with {cores} cores, several runs at once and perhaps other work "
        "beside them. They tell large ratios, not small ones, and nothing about a GPU. Memory "
        "is that of the operators that ran there, too; on a GPU, kernels may keep less.",
    ]
    return Section("Limits", [Items(limits)])


def _shared(study: Study) -> list[str]:
    """Tasks whose figures are not independent, since some of their runs are the same."""
    if not len(study.runs):
        return []
    values = study.runs.groupby(["task", "variant"])["test"].agg(tuple)
    same: dict[tuple[object, ...], set[str]] = {}
    for (task, variant), runs in values.items():
        if len(set(runs)) > 1:  # a constant answer is the same anywhere
            same.setdefault((variant, runs), set()).add(task)
    pairs = sorted({tuple(sorted(tasks)) for tasks in same.values() if len(tasks) > 1})
    return [
        f"'{listed(tasks)}' share runs: where the same settings were chosen, the same seeds train "
        f"the same model. They do not confirm each other."
        for tasks in pairs
    ]


def _tries(study: Study) -> str:
    """Whether activations had unequal chances to be chosen well."""
    if not len(study.tried):
        return ""
    counts = study.tried.groupby(["task", "variant"]).size().groupby("task").agg(["min", "max"])
    unequal = counts.loc[(counts["max"] - counts["min"]).idxmax()]
    if unequal["min"] == unequal["max"]:
        return ""
    return (
        f" An activation with options of its own had more to choose from: up to {unequal['max']} "
        f"settings, where one without had {unequal['min']}."
    )
