"""The tasks of `make study`: small enough for two cores, each with a reason to be there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from triton_acts.study._task import Task

from .deep import deep_tasks
from .defects import defect_tasks
from .digits import digits_tasks
from .gates import gate_tasks
from .tabular import tabular_tasks

__all__ = ["quick_tasks", "standard_tasks"]

_QUICK = ("relu", "leaky relu 0.25", "sigmoid", "scaled sigmoid", "penalized tanh", "kaf from elu")
_QUICK_TASKS = {
    "digits": 6,
    "defects, 30 % of the data": 12,
    "tabular, 1 hidden layer": 15,
    "33 layers, plain Xavier": 6,
    "sequences": 3,
}


def standard_tasks() -> list[Task]:
    """All tasks with all activations."""
    families: tuple[Callable[[], list[Task]], ...] = (
        digits_tasks,
        defect_tasks,
        tabular_tasks,
        deep_tasks,
        gate_tasks,
    )
    return [task for family in families for task in family()]


def quick_tasks() -> list[Task]:
    """One task of each kind, few activations and epochs, and only the rate is chosen."""
    quick = []
    for task in standard_tasks():
        if task.name not in _QUICK_TASKS:
            continue
        names = [task.baseline, *(n for n in _QUICK if n != task.baseline)]
        own = {v.name: v for v in task.variants}
        variants = [replace(own[name], options=own[name].options[:1]) for name in names]
        inits = task.inits if len(task.inits) == 1 else ("gain",)
        rates = task.learning_rates[1:]
        epochs = _QUICK_TASKS[task.name]
        quick.append(
            replace(task, variants=variants, inits=inits, learning_rates=rates, epochs=epochs)
        )
    return quick
