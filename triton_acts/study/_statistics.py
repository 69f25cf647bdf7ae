"""Paired comparisons with one baseline: intervals, Holm's correction, what could have been seen.

Every seed gives one difference, variant minus baseline; their mean has a Student interval. With m
variants beside the baseline, Holm's step-down procedure (Holm 1979, Scand. J. Statist. 6) keeps the
chance of one wrong claim or more at alpha: the k-th smallest p-value is tested at
alpha / (m - k + 1), and after the first that fails nothing more is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Comparison", "compare_paired", "mean_interval"]

BETTER, WORSE, UNKNOWN = "better", "worse", "no difference shown"
_ROUNDING = 1e-12  # differences of shares such as k/360 that are equal but for rounding
_POWER = 0.8


@dataclass(frozen=True)
class Comparison:
    """A variant beside the baseline.

    Attributes:
        difference: mean of variant minus baseline, in the metric's units.
        low, high: its interval at the level that Holm's procedure tested it at.
        level: that level's alpha, e.g. 0.05 / 12.
        p: two-sided, of Student's t, before correction; of the sign test where all differences are
            equal, whose interval then reaches 0 unless there are seeds enough.
        detectable: the smallest difference that this number of seeds and this level find with a
            chance of 0.8, given how much the differences vary.
        verdict: "better" or "worse" where the interval excludes 0, else "no difference shown".
        seeds: how many pairs there are.
    """

    difference: float
    low: float
    high: float
    level: float
    p: float
    detectable: float
    verdict: str
    seeds: int


def compare_paired(
    baseline: Sequence[float],
    variants: Mapping[str, Sequence[float]],
    *,
    higher_is_better: bool = True,
    alpha: float = 0.05,
) -> dict[str, Comparison]:
    """Compares every variant with the baseline, seed by seed.

    Args:
        baseline: the metric for each seed.
        variants: the same for each variant, seeds in the same order.
        higher_is_better: how to call a positive difference.
        alpha: chance of one wrong claim or more in the whole family.

    Returns:
        A Comparison by the variant's name, in the order given.

    Raises:
        ValueError: fewer than two seeds, another number of them than the baseline has, or a value
            that is not finite.
    """
    differences = {name: _differences(name, values, baseline) for name, values in variants.items()}
    levels = _holm({name: _p(d) for name, d in differences.items()}, alpha)
    return {name: _comparison(d, levels[name], higher_is_better) for name, d in differences.items()}


def mean_interval(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float, float]:
    """Mean of at least two values, and the ends of its Student interval."""
    mean, half = _mean(values), _quantile(1 - alpha / 2, len(values)) * _error(values)
    return mean, mean - half, mean + half


def _differences(name: str, values: Sequence[float], baseline: Sequence[float]) -> list[float]:
    if len(values) != len(baseline) or len(baseline) < 2:
        raise ValueError(
            f"{name}: a paired comparison needs the baseline's seeds and at least 2, got "
            f"{len(values)} beside {len(baseline)}"
        )
    if not all(map(math.isfinite, (*values, *baseline))):
        raise ValueError(f"{name}: every value must be finite, got {[*values]} and {[*baseline]}")
    found = [v - b for v, b in zip(values, baseline, strict=True)]
    if max(found) - min(found) <= _ROUNDING * max(map(abs, (*values, *baseline))):
        return [found[0]] * len(found)
    return found


def _holm(p_values: Mapping[str, float], alpha: float) -> dict[str, float]:
    """The level of each test.

    From the first that fails on, all have its level, so that none of their intervals excludes 0:
    verdict and interval always agree.
    """
    levels, failed = dict[str, float](), 0.0
    for k, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        levels[name] = failed or alpha / (len(p_values) - k)
        if p_values[name] > levels[name]:
            failed = levels[name]
    return levels


def _comparison(differences: Sequence[float], level: float, higher_is_better: bool) -> Comparison:
    mean, low, high = mean_interval(differences, level)
    p = _p(differences)
    if p > level and low == high:  # equal differences of few seeds
        low, high = min(0.0, 2 * mean), max(0.0, 2 * mean)
    verdict = UNKNOWN
    if p <= level:
        verdict = BETTER if (mean > 0) == higher_is_better else WORSE
    n = len(differences)
    reach = (_quantile(1 - level / 2, n) + _quantile(_POWER, n)) * _error(differences)
    return Comparison(mean, low, high, level, p, reach, verdict, n)


def _p(differences: Sequence[float]) -> float:
    from scipy.stats import t

    mean, error = _mean(differences), _error(differences)
    if error == 0:  # a metric in steps: all that equal differences surely have is their sign
        return 2 * 0.5 ** len(differences) if mean else 1.0
    return float(2 * t.sf(abs(mean) / error, len(differences) - 1))


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _error(values: Sequence[float]) -> float:
    """Standard error of the mean."""
    if max(values) == min(values):
        return 0.0
    mean, n = _mean(values), len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n * (n - 1)))


def _quantile(probability: float, n: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, n - 1))
