"""Which cells there are, in which order, and what they are a study of: the protocol."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_acts.tuning.writing import write_text

from ._cell import SELECTION_SEED, options_text
from ._task import Task
from ._variants import Variant

# What a report calls reproduced. Accuracies on ten classes, where guessing has 0.1; by how much a
# share may be lower, or an error larger than another, and still be a tie
CLAIMS = {"fails_below": 0.2, "trains_above": 0.5, "tie_points": 0.01, "tie_relative": 0.05}

__all__ = ["CLAIMS", "Unit", "cell_file", "keep_protocol", "protocol", "units"]


@dataclass(frozen=True)
class Unit:
    """A cell that is to be run, on data of this fingerprint."""

    task: Task
    variant: Variant
    data_sha256: str


def units(tasks: Iterable[Task], fingerprints: Mapping[str, str]) -> list[Unit]:
    """All cells, the baselines first, then by turns of the tasks, so that time cuts all alike.

    Args:
        tasks: with names of their own.
        fingerprints: of each task's data, by its name.
    """
    by_task = [
        sorted(
            (Unit(t, v, fingerprints[t.name]) for v in t.variants),
            key=lambda u: u.variant.name != u.task.baseline,
        )
        for t in tasks
    ]
    longest = max(map(len, by_task), default=0)
    return [row[i] for i in range(longest) for row in by_task if i < len(row)]


def protocol(
    tasks: Sequence[Task], seeds: int, alpha: float, fingerprints: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that is fixed before the first run, as JSON's types."""
    return {
        "version": 1,
        "seeds": [*range(1, seeds + 1)],
        "selection_seed": SELECTION_SEED,
        "alpha": alpha,
        "claims": CLAIMS,
        "tasks": {
            task.name: _task(task) | {"data_sha256": fingerprints[task.name]} for task in tasks
        },
    }


def _task(task: Task) -> dict[str, Any]:
    searched = task.search != "grid"
    return {
        "metric": task.metric.name,
        "higher_is_better": task.metric.higher_is_better,
        "epochs": task.epochs,
        "batch_size": task.batch_size,
        "optimizer": task.optimizer,
        "learning_rates": [*task.learning_rates],
        "inits": [*task.inits],
        "search": task.search,
        "clip": task.clip,
        "baseline": task.baseline,
        "also": {name: metric.higher_is_better for name, metric in task.also.items()},
        "about": task.about,
        "variants": {v.name: [options_text(o) for o in v.options] for v in task.variants},
    } | ({"ranges": {v.name: dict(v.ranges) for v in task.variants}} if searched else {})


def keep_protocol(folder: Path, fixed: dict[str, Any]) -> None:
    """Writes the protocol before the first run; later runs have to follow it.

    Raises:
        ValueError: the folder holds results of another protocol.
    """
    file = folder / "protocol.json"
    text = json.dumps(fixed, indent=1) + "\n"
    if file.exists():
        if file.read_text(encoding="utf-8") == text:
            return
        raise ValueError(
            f"{folder} holds runs of another protocol, which differs in "
            f"{_differences(json.loads(file.read_text(encoding='utf-8')), fixed)}; choose another "
            f"folder (--out), or delete this one to begin anew. Other data and an edited task file "
            f"are another protocol, too"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, text)


def _differences(old: object, new: object, name: str = "") -> str:
    """Where two protocols differ, as `seeds ([1, 2], now [1, 2, 3])`."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return f"{name} ({_short(old)}, now {_short(new)})" if old != new else ""
    found = [
        _differences(old.get(key), new.get(key), f"{name}.{key}" if name else key)
        for key in dict.fromkeys([*old, *new])
    ]
    found = [text for text in found if text]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return ", ".join(found[:3]) + more


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def cell_file(folder: Path, task: str, variant: str) -> Path:
    """Where a cell is kept."""
    return folder / "cells" / f"{_plain(task)}--{_plain(variant)}.json"


def _plain(name: str) -> str:
    """Letters of any script, figures and points."""
    return re.sub(r"(?:[^\w.]|_)+", "-", name.lower()).strip("-")
