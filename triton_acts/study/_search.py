"""Which further options of an activation are tried: those of a grid, or what Optuna proposes."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from typing import Any

from ._need import need
from ._variants import Variant

__all__ = ["SEARCHES", "proposals"]

SEARCHES = ("grid", "optuna")
_SEED = 0

Options = Mapping[str, Any]


def proposals(
    variant: Variant, search: str, higher_is_better: bool
) -> Generator[Options, float, None]:
    """Options to try after the default; each is answered with its validation metric, or NaN.

    Optuna's sampler (TPE, Bergstra and others 2011) proposes as many as the grid has, within the
    variant's ranges, so that no activation gets more tries by the choice of search.
    """
    if search == "grid" or not variant.ranges:
        for options in variant.options[1:]:
            yield options
        return
    need("search='optuna'", "optuna")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=_SEED)
    direction = "maximize" if higher_is_better else "minimize"
    study = optuna.create_study(direction=direction, sampler=sampler)
    for _ in variant.options[1:]:
        trial = study.ask()
        found = {}
        for name, (low, high) in variant.ranges.items():
            whole = isinstance(low, int) and isinstance(high, int)
            suggest = trial.suggest_int if whole else trial.suggest_float
            found[name] = suggest(name, low, high)
        value = yield {**variant.options[0], **found}
        if math.isfinite(value):
            study.tell(trial, value)
        else:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
