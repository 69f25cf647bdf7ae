"""Which further options of an activation are tried: those of a grid, or what Optuna proposes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from ._variants import Variant

__all__ = ["check_search", "try_others"]

SEARCHES = ("grid", "optuna")
_SEED = 0


def check_search(search: str) -> None:
    """Raises ValueError for an unknown search, ImportError for one whose package is missing."""
    if search not in SEARCHES:
        raise ValueError(f"search must be one of {SEARCHES}, got {search!r}")
    if search == "optuna" and find_spec("optuna") is None:
        raise ImportError("search='optuna' needs Optuna: pip install optuna", name="optuna")


def try_others(
    variant: Variant,
    search: str,
    higher_is_better: bool,
    attempt: Callable[[Mapping[str, Any]], float],
) -> None:
    """Tries options beside the default ones.

    Optuna's sampler (TPE, Bergstra and others 2011) proposes as many as the grid has, within the
    variant's ranges, so that no activation gets more tries by the choice of search.

    Args:
        variant: whose options they are.
        search: one of `SEARCHES`.
        higher_is_better: of the metric.
        attempt: trains with options and returns the validation metric, NaN if it diverged.

    """
    if search == "grid" or not variant.ranges:
        for options in variant.options[1:]:
            attempt(options)
        return
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=_SEED)
    study = optuna.create_study(
        direction="maximize" if higher_is_better else "minimize", sampler=sampler
    )
    for _ in variant.options[1:]:
        trial = study.ask()
        found = dict[str, float]()
        for name, (low, high) in variant.ranges.items():
            if isinstance(low, int) and isinstance(high, int):
                found[name] = trial.suggest_int(name, low, high)
            else:
                found[name] = trial.suggest_float(name, low, high)
        value = attempt({**variant.options[0], **found})
        if math.isfinite(value):
            study.tell(trial, value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
