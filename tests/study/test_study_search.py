"""What an activation's own options are chosen among, and what a study's time allows."""

from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from support.study import data, make_model, settings

from triton_acts.study import VARIANTS, compare
from triton_acts.study import _runner as runner
from triton_acts.study import _search as search
from triton_acts.study._cell import Cell

SMALL = dict(settings, seeds=2, quiet=True)


def tried(variant, kind, better=True, values=lambda options: 0.5):
    found = []

    def attempt(options):
        found.append(options)
        return values(options)

    search.try_others(variant, kind, better, attempt)
    return found


@pytest.mark.parametrize("name", VARIANTS)
def test_optuna_gets_as_many_tries_as_the_grid(name):
    variant = VARIANTS[name]
    grid = tried(variant, "grid")
    assert grid == [*variant.options[1:]]
    found = tried(variant, "optuna")
    assert len(found) == len(grid)
    for options in found:
        for key, (low, high) in variant.ranges.items():
            assert low <= options[key] <= high
            assert type(options[key]) is type(low)
            assert options.get("init") == variant.options[0].get("init")
        variant.make(3, 1, **options)


def test_optuna_repeats_itself_and_survives_divergence():
    variant = VARIANTS["kaf"]
    assert tried(variant, "optuna") == tried(variant, "optuna")
    assert len(tried(variant, "optuna", values=lambda _: float("nan"))) == 3


def test_a_study_with_optuna():
    found = compare(make_model, data, ["relu", "penalized tanh"], search="optuna", **SMALL)
    assert found.protocol["tasks"]["task"]["search"] == "optuna"
    options = found.tried[found.tried["variant"] == "penalized tanh"]["options"].tolist()
    assert options[:2] == ["a=0.25"] * 2
    assert len(set(options[2:])) == 2


def test_a_search_that_cannot_be_done(monkeypatch):
    with pytest.raises(ValueError, match=r"search must be one of .* got .random."):
        compare(make_model, data, search="random", **SMALL)
    monkeypatch.setattr(
        search, "find_spec", lambda name: None if name == "optuna" else find_spec(name)
    )
    with pytest.raises(ImportError, match="pip install optuna"):
        compare(make_model, data, search="optuna", **SMALL)


def test_functions_that_no_other_process_finds():
    with pytest.raises(ValueError, match="workers=1 takes any"):
        compare(lambda activation: make_model(activation), data, workers=2, **SMALL)


@pytest.mark.parametrize(("minutes", "cells"), [(59, 2), (60, 3), (80, 4)])
def test_nothing_begins_that_would_end_too_late(minutes, cells, monkeypatch):
    """Each cell takes 20 minutes: the next begins only where 20 are left."""
    now = [0.0]

    def run_cell(task, variant, *_):
        now[0] += 20 * 60
        return Cell("t", variant.name, {}, [], [{"test": 1.0}], [], [], 20 * 60.0, {})

    monkeypatch.setattr(runner, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(runner, "run_cell", run_cell)
    monkeypatch.setattr(runner, "_data", lambda _: None)
    units = [
        SimpleNamespace(task=SimpleNamespace(name="t"), variant=SimpleNamespace(name=str(i)))
        for i in range(9)
    ]
    done, left = runner.run_units(units, [1], None, workers=1, minutes=minutes, note=lambda _: None)
    assert (len(done), len(left)) == (cells, 9 - cells)
