"""Paired intervals, Holm's correction and what they allow to say."""

import math
import random

import pytest
from scipy import stats

from triton_acts.study._statistics import compare_paired, mean_interval

BASE = [0.90, 0.91, 0.89, 0.92, 0.90, 0.91, 0.93, 0.90]


def shifted(by, spread=0.002, seed=0):
    draw = random.Random(seed)
    return [b + by + draw.gauss(0, spread) for b in BASE]


def test_interval_and_p_are_those_of_a_paired_t_test():
    values = shifted(0.01)
    found = compare_paired(BASE, {"a": values})["a"]
    test = stats.ttest_rel(values, BASE)
    low, high = test.confidence_interval(0.95)
    assert found.p == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.level == 0.05
    assert found.seeds == 8


@pytest.mark.parametrize(
    ("by", "higher_is_better", "verdict"),
    [(0.02, True, "better"), (0.02, False, "worse"), (-0.02, True, "worse")],
)
def test_which_way_is_better(by, higher_is_better, verdict):
    found = compare_paired(BASE, {"a": shifted(by)}, higher_is_better=higher_is_better)
    assert found["a"].verdict == verdict


def test_holm_by_hand():
    """Three variants: levels 0.05 / 3, 0.05 / 2 and 0.05, by the order of their p-values."""
    variants = {
        "far": shifted(0.05),
        "near": shifted(0.01, seed=1),
        "middle": shifted(0.03, seed=2),
    }
    found = compare_paired(BASE, variants)
    assert [*found] == [*variants]
    by_p = sorted(found, key=lambda name: found[name].p)
    assert [found[name].level for name in by_p] == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])


def test_after_the_first_that_fails_nothing_is_claimed():
    """p of 0.03, 0.035 and 0.04: each below 0.05, but the first is above 0.05 / 3."""
    draw = random.Random(3)
    variants = {}
    for name, target in (("a", 0.03), ("b", 0.035), ("c", 0.04)):
        noise = [draw.gauss(0, 1) for _ in BASE]
        mean = sum(noise) / 8
        deviation = math.sqrt(sum((n - mean) ** 2 for n in noise) / 7)
        t = stats.t.ppf(1 - target / 2, 7)
        variants[name] = [
            b + (n - mean) / deviation + t / math.sqrt(8) for b, n in zip(BASE, noise, strict=True)
        ]
    found = compare_paired(BASE, variants)
    assert [c.p for c in found.values()] == pytest.approx([0.03, 0.035, 0.04])
    assert {c.verdict for c in found.values()} == {"no difference shown"}
    assert {c.level for c in found.values()} == {0.05 / 3}


@pytest.mark.parametrize("seed", range(40))
def test_verdict_and_interval_agree(seed):
    draw = random.Random(seed)
    variants = {
        str(i): shifted(draw.choice((0, 0.001, 0.003)), 0.003, seed * 20 + i) for i in range(9)
    }
    for found in compare_paired(BASE, variants).values():
        assert (found.verdict != "no difference shown") == (found.low > 0 or found.high < 0)
        assert found.low <= found.difference <= found.high


def test_the_family_is_rarely_wrong():
    """Without any difference, 13 variants give a claim in about 5 % of studies."""
    draw = random.Random(5)
    wrong = 0
    for _ in range(300):
        base = [draw.gauss(0, 1) for _ in range(8)]
        variants = {str(i): [draw.gauss(0, 1) for _ in base] for i in range(13)}
        found = compare_paired(base, variants).values()
        wrong += any(c.verdict != "no difference shown" for c in found)
    assert wrong < 0.09 * 300


def test_detectable_differences_are_found_four_times_in_five():
    draw = random.Random(7)
    found, reach = 0, 0.0
    for _ in range(400):
        base = [draw.gauss(0, 1) for _ in range(8)]
        if not reach:
            reaches = []
            for _ in range(200):
                other = [b + draw.gauss(0, 1) for b in base]
                reaches.append(compare_paired(base, {"a": other})["a"].detectable)
            reach = sum(reaches) / len(reaches)
        other = [b + reach + draw.gauss(0, 1) for b in base]
        found += compare_paired(base, {"a": other})["a"].verdict == "better"
    assert 0.72 < found / 400 < 0.9


@pytest.mark.parametrize(
    ("seeds", "p", "verdict", "interval"),
    [(2, 0.5, "no difference shown", (0.0, 1.0)), (8, 2 / 256, "better", (0.5, 0.5))],
)
def test_equal_differences_are_as_good_as_their_signs(seeds, p, verdict, interval):
    """Shares of few examples come in steps, so that equal differences are no miracle."""
    base = [1.0 + i for i in range(seeds)]
    same, gain = compare_paired(base, {"a": base, "b": [b + 0.5 for b in base]}).values()
    assert (same.p, same.verdict, same.low, same.high) == (1.0, "no difference shown", 0.0, 0.0)
    assert (gain.p, gain.verdict, (gain.low, gain.high)) == (p, verdict, interval)


@pytest.mark.parametrize(
    ("base", "values", "message"),
    [
        ([1.0], [2.0], "at least 2, got 1 beside 1"),
        ([1.0, 2.0, 3.0], [2.0, 3.0], "got 2 beside 3"),
        ([1.0, 2.0], [2.0, math.nan], "must be finite"),
    ],
)
def test_what_cannot_be_compared(base, values, message):
    with pytest.raises(ValueError, match=message):
        compare_paired(base, {"a": values})


def test_mean_interval():
    mean, low, high = mean_interval(BASE)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 7, mean, stats.sem(BASE)))
