"""`compare`: an honest A/B of activations on anybody's model."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ._metrics import Metric
from ._packages import need
from ._plan import Unit, cell_file, keep_protocol, protocol, units
from ._runner import data_of, run_units
from ._search import check_search
from ._study import Study
from ._task import Task, checked_data, checked_metric, fingerprint
from ._training import INITS
from ._variants import Activation, Variant, checked_variants

__all__ = ["check_settings", "compare", "run_study", "task_of"]

_ALPHA = 0.05


def compare(
    make_model: Callable[[Activation], nn.Module],
    data: object,
    variants: Sequence[str | Variant] | Mapping[str, Callable[..., nn.Module]] | None = None,
    *,
    metric: str | Metric = "accuracy",
    budget: int = 10,
    seeds: int = 8,
    minutes: float = 60.0,
    workers: int = 1,
    folder: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> Study:
    """Trains one model with several activations and says which differ from a baseline.

    For each activation, learning rate, initialisation and the activation's own options are chosen
    on the validation set with one seed; then `seeds` fresh seeds train at that choice, each for the
    same budget, and only these count. A verdict is the paired 95 % interval of the differences from
    the baseline on the test set after Holm's correction.

    Args:
        make_model: returns a fresh model; it gets an Activation, which it calls,
            `activation(num_channels)`, wherever the model needs one.
        data: `(train, validation, test)`, each `(x, y)`, or a function that returns it, the same
            at every call. Integer targets train with cross-entropy, floating ones with the mean
            squared error.
        variants: names of `VARIANTS`, Variants, or factories `make(num_channels, channel_dim)` by
            name; None means all of `VARIANTS`.
        metric: "accuracy", "balanced accuracy", "rmse", "r2" or a Metric.
        budget: epochs.
        seeds: how many fresh seeds, at least 2.
        minutes: after which no activation is begun; those left out are listed in `dropped`.
        workers: processes; above 1, make_model, data and factories must be functions of a module.
        folder: where every finished activation is kept, so that a study that was interrupted goes
            on from there; None keeps nothing. It does not see a change of make_model: after one,
            take another folder.
        quiet: prints no progress to stderr.
        **settings: baseline (name of a variant; without it "relu", or the first where there is
            none), name (of the task, "task"), batch_size (64), optimizer ("sgd", with momentum 0.9,
            or "adam"; both with a cosine decay to 0), learning_rates ((0.01, 0.03, 0.1)) and inits
            (("xavier", "gain")), of which the best is chosen, search ("grid", or "optuna", which
            proposes the activations' own options), clip (largest norm of the gradient,
            None) and also (further metrics of the test set, by name). Of inits, "xavier" draws the
            weights of linear and convolution layers with gain 1, "gain" with the activation's own,
            and "default" leaves them as make_model made them, as a pretrained model needs.

    Returns:
        A Study.

    Raises:
        TypeError: data is not three pairs of tensors, a variant is neither name nor Variant, or a
            setting is unknown.
        ValueError: an unknown name; fewer than two seeds or variants; a folder of another protocol;
            a function returns other data in another process.
        ImportError: pandas or SciPy is missing, or Optuna for a search by it.

    Source of the protocol's parts: Student's paired interval; Holm 1979 (Scand. J. Statist. 6).
    """
    check_settings(settings)
    task = task_of(make_model, data, variants, metric=metric, budget=budget, **settings)
    return run_study(
        [task],
        seeds=seeds,
        minutes=minutes,
        workers=workers,
        folder=Path(folder) if folder is not None else None,
        quiet=quiet,
    )


def check_settings(settings: Mapping[str, Any]) -> None:
    """TypeError for a setting that `task_of` does not know."""
    known = [name for name in signature(task_of).parameters if name not in ("make_model", "data")]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise TypeError(f"unknown settings {unknown}; there are {known} (budget is in epochs)")


def task_of(
    make_model: Callable[[Activation], nn.Module],
    data: object,
    variants: Sequence[str | Variant] | Mapping[str, Callable[..., nn.Module]] | None = None,
    *,
    metric: str | Metric = "accuracy",
    budget: int = 10,
    baseline: str | None = None,
    name: str = "task",
    batch_size: int = 64,
    optimizer: str = "sgd",
    learning_rates: Sequence[float] = (0.01, 0.03, 0.1),
    inits: Sequence[str] = ("xavier", "gain"),
    search: str = "grid",
    clip: float | None = None,
    also: Mapping[str, Metric] | None = None,
) -> Task:
    """A Task from what a user gives.

    Args:
        make_model: as in `compare`.
        data: as in `compare`.
        variants: as in `compare`.
        metric: as in `compare`.
        budget: as in `compare`.
        baseline: name of a variant; None means "relu", or the first where there is none.
        name: what records and report call it.
        batch_size: examples a step.
        optimizer: "sgd" (momentum 0.9) or "adam", both with a cosine decay to 0.
        learning_rates: what is chosen among.
        inits: "xavier" (gain 1), "gain" (the activation's own) and "default" (the layers' own).
        search: what proposes the activations' own options: "grid", or "optuna" where that is
            installed, which gets as many tries.
        clip: largest norm of the gradient, or None.
        also: further metrics of the test set, by name.

    Raises:
        TypeError, ValueError: as `compare`.
    """
    found = checked_variants(variants)
    names = [v.name for v in found]
    base = baseline or ("relu" if "relu" in names else names[0])
    if base not in names:
        raise ValueError(f"baseline {base!r} is none of the variants {names}")
    return Task(
        name=name,
        make_model=make_model,
        data=data if callable(data) else partial(checked_data, data),
        metric=checked_metric(metric),
        epochs=budget,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rates=tuple(learning_rates),
        inits=tuple(inits),
        search=search,
        clip=clip,
        baseline=base,
        variants=found,
        also={key: checked_metric(value) for key, value in (also or {}).items()},
    )


def run_study(
    tasks: Sequence[Task],
    *,
    seeds: int = 8,
    minutes: float = 60.0,
    workers: int = 1,
    folder: Path | None = None,
    file: Path | None = None,
    quiet: bool = False,
) -> Study:
    """Runs several tasks by one protocol, which is written to the folder before the first run.

    Args:
        tasks: with names of their own.
        seeds: as in `compare`.
        minutes: as in `compare`.
        workers: as in `compare`.
        folder: as in `compare`.
        file: a user's Python file that the tasks come from; processes load it before they start.
        quiet: as in `compare`.

    Raises:
        ValueError: as `compare`.
    """
    need("a study", "pandas", "scipy")
    _check(tasks, seeds)
    data_of.cache_clear()  # a function may return other data than in an earlier study
    fingerprints = {t.name: fingerprint(data_of(t.data)) for t in tasks}  # its errors show here
    _try_models(tasks)
    fixed = protocol(tasks, seeds, _ALPHA, fingerprints)
    todo = units(tasks, fingerprints)
    if file is not None:
        fixed["file_sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    if folder is not None:
        _check_files(folder, todo)
        keep_protocol(folder, fixed)
    cells, left = run_units(
        todo,
        fixed["seeds"],
        folder,
        workers=workers,
        minutes=minutes,
        note=_silent if quiet else _say,
        file=file,
    )
    dropped = [(unit.task.name, unit.variant.name) for unit in left]
    return Study.of(cells, fixed, dropped)


def _try_models(tasks: Sequence[Task]) -> None:
    """ValueError for a model that does not take its data; better now than after the first cell."""
    for task in tasks:
        x = data_of(task.data).train.x[:2]
        for variant in task.variants:
            if not variant.options:
                raise ValueError(
                    f"{variant.name}: options is empty; an activation without any has ({{}},)"
                )
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                try:
                    task.make_model(Activation(variant, variant.options[0])).eval()(x)
                except Exception as error:
                    raise ValueError(
                        f"{task.name}: the model with {variant.name!r} fails on two training "
                        f"examples ({type(error).__name__}: {error}); does make_model give "
                        f"activation() the number of channels that reach it?"
                    ) from error


def _check_files(folder: Path, todo: Sequence[Unit]) -> None:
    """ValueError if two cells would be kept in one file."""
    names: dict[Path, str] = {}
    for unit in todo:
        name = f"{unit.task.name!r} with {unit.variant.name!r}"
        other = names.setdefault(cell_file(folder, unit.task.name, unit.variant.name), name)
        if other != name:
            raise ValueError(
                f"{other} and {name} differ in no letter (capitals aside) and no figure, and would "
                f"be kept in one file; rename one"
            )


def _check(tasks: Sequence[Task], seeds: Any) -> None:
    if not isinstance(seeds, int) or seeds < 2:
        raise ValueError(f"seeds must be at least 2, for an interval, got {seeds!r}")
    names = [task.name for task in tasks]
    if len(set(names)) < len(names):
        raise ValueError(f"tasks need names of their own, got {names}")
    for task in tasks:
        unknown = [init for init in task.inits if init not in INITS]
        if unknown or not task.inits or not task.learning_rates:
            raise ValueError(
                f"{task.name}: at least one learning rate and one of the inits {INITS} are "
                f"needed, got {task.learning_rates} and {task.inits}"
            )
        check_search(task.search)
        if task.epochs < 1 or task.batch_size < 1:
            raise ValueError(
                f"{task.name}: epochs and batch_size must be at least 1, got {task.epochs} and "
                f"{task.batch_size}"
            )
        if task.optimizer not in ("sgd", "adam"):
            raise ValueError(
                f"{task.name}: optimizer must be 'sgd' or 'adam', got {task.optimizer!r}"
            )


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _silent(_line: str) -> None:
    pass
