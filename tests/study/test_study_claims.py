"""The papers' claims: each state from runs that call for it."""

from dataclasses import replace

import pytest
from support.study_frames import study

from triton_acts.study.report._claims import claims

NOISE = [0.001, -0.001, 0.002, -0.002]
DEEP, CNN = "33 layers, plain Xavier", "digits"
SHALLOW, DEEPER = "tabular, 1 hidden layer", "tabular, 3 hidden layers"


def around(mean, noise=NOISE):
    return [mean + n for n in noise]


def states(tests, **more):
    return [claim.state for claim in claims(study(tests, curves=False, **more))]


@pytest.mark.parametrize(
    ("sigmoid", "scaled", "state"),
    [
        (0.1, 0.9, "reproduced"),
        (0.3, 0.9, "not reproduced"),  # it trains a little
        (0.1, 0.4, "not reproduced"),
        (0.9, 0.1, "not reproduced"),
        (0.199, 0.9, "not reproduced"),  # the mean fails, its interval does not lie below
        (0.1, 0.501, "not reproduced"),
    ],
)
def test_sigmoids(sigmoid, scaled, state):
    runs = {"relu": around(0.5), "sigmoid": around(sigmoid), "scaled sigmoid": around(scaled)}
    assert states({DEEP: runs}) == [state]


def test_a_sigmoid_that_fails_on_most_seeds_only_is_no_reproduction():
    runs = {"sigmoid": [0.1, 0.1, 0.1, 0.9], "scaled sigmoid": around(0.9)}
    assert states({DEEP: runs}) == ["not reproduced"]


@pytest.mark.parametrize(
    ("first", "second", "state"),
    [
        (0.90, 0.90, "reproduced"),
        (0.80, 0.85, "reproduced"),  # more than a tie
        (0.905, 0.90, "reproduced"),  # worse by half of the margin
        (0.912, 0.90, "not reproduced"),  # by more than the margin, and by one of them only
        (0.90, 0.912, "not reproduced"),
    ],
)
def test_penalized_tanh(first, second, state):
    runs = {
        "penalized tanh": around(0.9),
        "leaky relu 0.25": around(first),
        "leaky relu 0.01": around(second),
    }
    assert states({CNN: runs}) == [state]


def test_a_wide_interval_shows_no_tie():
    runs = {
        "penalized tanh": [0.8, 1.0, 0.85, 0.95],
        "leaky relu 0.25": around(0.9),
        "leaky relu 0.01": around(0.9),
    }
    (claim,) = claims(study({CNN: runs}, curves=False))
    assert claim.state == "not reproduced"
    assert claim.numbers.count("not shown") == 2


def test_penalized_tanh_is_tried_on_each_cnn():
    runs = {
        "penalized tanh": around(0.9),
        "leaky relu 0.25": around(0.9),
        "leaky relu 0.01": around(0.9),
    }
    worse = runs | {"penalized tanh": around(0.8)}
    tests = {CNN: runs, "digits, batch norm after": worse}
    assert states(tests) == ["reproduced", "not reproduced"]


@pytest.mark.parametrize(
    ("kaf", "fixed", "state"),
    [
        (0.30, 0.30, "reproduced"),
        (0.20, 0.30, "reproduced"),
        (0.31, 0.30, "reproduced"),  # 3 % more error
        (0.32, 0.30, "not reproduced"),  # 7 %
    ],
)
def test_shallow_kaf(kaf, fixed, state):
    tests = {
        SHALLOW: {"relu": around(0.1), "kaf": around(kaf)},
        DEEPER: {"relu": around(fixed), "kaf": around(0.01), "penalized tanh, learned": [0.02] * 4},
    }
    assert states(tests, metric="rmse", higher_is_better=False) == [state]


def test_the_best_are_chosen_on_validation():
    """By the test set it would be 'kaf from elu' against tanh."""
    tests = {
        SHALLOW: {"kaf": around(0.5), "kaf from elu": around(0.1)},
        DEEPER: {"relu": around(0.3), "tanh": around(0.2)},
    }
    validation = {
        SHALLOW: {"kaf": around(0.1), "kaf from elu": around(0.5)},
        DEEPER: {"relu": around(0.2), "tanh": around(0.3)},
    }
    made = study(tests, validation=validation, curves=False, metric="rmse", higher_is_better=False)
    (claim,) = claims(made)
    assert claim.state == "not reproduced"
    assert claim.numbers.startswith("kaf, 1 hidden layer (100 parameters): rmse 0.5; relu, 3")


def test_pairs_are_seeds_not_places():
    """A seed that one side lacks must not shift the others."""
    tests = {
        SHALLOW: {"kaf": [0.1, 0.2, 0.3, 0.4]},
        DEEPER: {"relu": [0.1, 0.2, 0.3, 0.4]},
    }
    made = study(tests, curves=False, metric="rmse", higher_is_better=False)
    lost = (made.runs["task"] == SHALLOW) & (made.runs["seed"] == 1)
    (claim,) = claims(replace(made, runs=made.runs[~lost]))
    assert claim.state == "reproduced"  # all differences are 0
    assert "difference 0.00 [0.00," in claim.numbers


@pytest.mark.parametrize(
    ("tests", "dropped"),
    [
        ({DEEP: {"relu": around(0.1), "sigmoid": around(0.1)}}, [(DEEP, "scaled sigmoid")]),
        ({CNN: {"penalized tanh": around(0.9), "leaky relu 0.25": around(0.9)}}, []),
        ({SHALLOW: {"kaf": around(0.3)}, DEEPER: {"kaf": around(0.3)}}, [(DEEPER, "relu")]),
        ({SHALLOW: {"relu": around(0.3)}, DEEPER: {"relu": around(0.3)}}, []),
        ({}, [(DEEP, "relu")]),
    ],
)
def test_what_was_not_run_is_not_tested(tests, dropped):
    (claim,) = claims(study(tests, dropped=dropped, curves=False))
    assert claim.state == "not tested"
    assert " on '" in claim.numbers


def test_claims_need_their_tasks():
    assert states({"mine": {"sigmoid": around(0.1), "scaled sigmoid": around(0.9)}}) == []
    assert states({SHALLOW: {"kaf": around(0.3)}}) == []
