"""Targets, names and files of a study, missing packages, and a user's own modules."""

import multiprocessing
import sys
import time
from dataclasses import replace

import pandas
import pytest
import torch
from support.study import data, make_model, settings
from support.study_frames import study
from torch import nn

from triton_acts.study import METRICS, VARIANTS, Activation, Metric, compare, run_study
from triton_acts.study import _runner as runner
from triton_acts.study.__main__ import main
from triton_acts.study._compare import task_of
from triton_acts.study._machine import machines
from triton_acts.study._observe import Used
from triton_acts.study._plan import cell_file, units
from triton_acts.study._task import checked_data
from triton_acts.study._training import initialise
from triton_acts.study.report import document

SMALL = dict(settings, seeds=2, quiet=True)
PAIR = ["relu", "tanh"]
FILE = "from support.study import data, make_model, settings\n"


@pytest.mark.parametrize("seeds", [2, 3, 8])
def test_the_baseline_reaches_its_own_target(seeds):
    """Half of the seeds end below their median, so the mean of the middle two may be no number."""
    finals = [0.5 + 0.01 * i for i in range(seeds)]
    made = study({"mine": {"relu": finals, "low": [f - 0.1 for f in finals]}})
    assert made.steps_to_target("mine") == {"relu": 16.0, "low": float("inf")}


def test_gradient_norms_are_those_after_clipping_and_the_report_says_so():
    found = compare(make_model, data, PAIR, clip=1e-3, **SMALL)
    squares = found.layers.assign(square=found.layers["gradient_norm"] ** 2)
    assert squares.groupby(["variant", "epoch"])["square"].sum().max() < 1.1e-6
    section = next(s for s in document(found).sections if s.title == "Training")
    assert "after clipping" in section.blocks[0].text


def test_unequal_numbers_of_tries_are_a_limit():
    def limits(made):
        return " ".join(document(made).sections[-1].blocks[0].items)

    made = study({"mine": {"relu": [0.5, 0.6], "kaf": [0.5, 0.7]}}, curves=False)
    assert "had more to choose from" not in limits(made)
    more = made.tried[made.tried["variant"] == "kaf"].assign(options="num_nodes=10")
    made = replace(made, tried=pandas.concat([made.tried, more]))
    assert "up to 6 settings, where one without had 3" in limits(made)


def shared(activation):
    """One module behind layers of different width."""
    act = activation(8)
    return nn.Sequential(nn.Linear(2, 8), act, nn.Linear(8, 4), act, nn.Linear(4, 2))


def test_activations_in_place_and_shared_are_observed_as_others():
    ways = {"relu": lambda *_: nn.ReLU(), "in place": lambda *_: nn.ReLU(inplace=True)}
    curves = compare(shared, data, ways, **SMALL).curves.drop(columns="task")
    one, two = (
        curves[curves["variant"] == name].drop(columns="variant").reset_index(drop=True)
        for name in ways
    )
    pandas.testing.assert_frame_equal(one, two)
    assert one["saturation"].between(0.1, 0.9).all()


def test_data_are_made_anew_for_each_study():
    train, validation, test = data()
    sets = iter([(train, validation, test), (train, validation, (test.x, 1 - test.y))])

    def make():
        return next(sets)

    one, two = (compare(make_model, make, PAIR, **SMALL).runs["test"] for _ in range(2))
    assert (one + two - 1).abs().max() < 1e-12


def test_data_that_differ_from_call_to_call_are_refused(monkeypatch):
    """As those of a split without a seed, which each process would make for itself."""
    monkeypatch.setattr(runner, "data_of", lambda make: checked_data(make()))
    draw = torch.Generator().manual_seed(1)

    def make():
        x = torch.randn(60, 2, generator=draw)
        return [(part, part[:, 0]) for part in x.split(20)]

    with pytest.raises(ValueError, match=r"task: data\(\) returned other data than before; fix"):
        compare(make_model, make, PAIR, metric="rmse", **SMALL)


def test_other_data_are_another_protocol(tmp_path):
    out = dict(SMALL, folder=tmp_path, minutes=0)
    compare(make_model, data, PAIR, **out)
    compare(make_model, data(), PAIR, **out)
    train, validation, test = data()
    with pytest.raises(ValueError, match="Other data and an edited task file are another protocol"):
        compare(make_model, (train, validation, (test.x, 1 - test.y)), PAIR, **out)


def test_frozen_layers_keep_their_weights():
    used = Used(Activation(VARIANTS["tanh"]))
    for scheme in ("xavier", "gain"):
        model = make_model(used)
        model[0].requires_grad_(False)
        before = [p.clone() for p in model.parameters()]
        initialise(model, scheme, used)
        same = [torch.equal(p, b) for p, b in zip(model.parameters(), before, strict=True)]
        assert same == [True, True, False, False]


class Cube(nn.Module):
    def forward(self, x):
        return x**3


def test_outputs_that_are_not_finite_on_the_validation_set_only():
    x = torch.randn(60, 2)
    task = [(x[:20], x[:20, 0]), (1e20 * x[20:40], x[20:40, 0]), (x[40:], x[40:, 0])]
    found = compare(
        lambda act: nn.Sequential(nn.Linear(2, 4), act(4), nn.Linear(4, 1)),
        task,
        {"relu": lambda *_: nn.ReLU(), "cube": lambda *_: Cube()},
        metric=METRICS["rmse"],
        **dict(SMALL, learning_rates=(1e-3,)),
    )
    assert found.runs.groupby("variant")["diverged"].all().to_dict() == {
        "relu": False,
        "cube": True,
    }


def test_a_constant_answer_has_the_shape_of_the_models_outputs():
    x = torch.randn(60, 2)
    task = [(part, part[:, 0]) for part in x.split(20)]
    first = Metric("first column", lambda o, t: float((o[:, 0] - t).abs().max()), False)
    found = compare(
        lambda act: nn.Sequential(nn.Linear(2, 4), act(4), nn.Linear(4, 1)),
        task,
        {"relu": lambda *_: nn.ReLU(), "nan": lambda *_: Nan()},
        metric=first,
        **dict(SMALL, inits=("default",), learning_rates=(1e-3,)),
    )
    expected = (task[2][1] - task[0][1].mean()).abs().max().item()
    assert found.runs["test"].tolist()[2:] == [pytest.approx(expected)] * 2


class Nan(nn.Module):
    def forward(self, x):
        return x / 0 * 0


def test_names_that_would_share_a_file(tmp_path):
    ways = {"ReLU": lambda *_: nn.ReLU(), "relu": lambda *_: nn.ReLU()}
    with pytest.raises(ValueError, match=r"'relu' and 'task' with 'ReLU' .* rename one"):
        compare(make_model, data, ways, folder=tmp_path / "out", **SMALL)
    assert not (tmp_path / "out").exists()
    assert cell_file(tmp_path, "名前", "a") != cell_file(tmp_path, "別名", "a")


def test_tasks_of_one_name():
    task = task_of(make_model, data, PAIR)
    with pytest.raises(ValueError, match="names of their own"):
        run_study([task, task], quiet=True)


def test_missing_packages_are_told_before_anything_is_trained(monkeypatch, tmp_path, capsys):
    def never(_activation):
        raise AssertionError

    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"scipy: pip install 'triton_acts\[study\]'"):
        compare(never, data, PAIR, **SMALL)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--out", str(tmp_path / "out")]) == 1
    assert "matplotlib: pip install" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_file_finds_its_neighbours_and_is_part_of_the_protocol(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_neighbour.py").write_text(FILE, encoding="utf-8")
    file, out = tmp_path / "my_task.py", tmp_path / "out"
    file.write_text("from my_neighbour import *\n", encoding="utf-8")
    command = [str(file), "--minutes", "0", "--out", str(out)]
    assert main(command) == 0
    assert main(command) == 0
    assert "/study.md" in capsys.readouterr().out
    assert not (out / "cells").exists()
    file.write_text(FILE, encoding="utf-8")
    assert main(command) == 1
    assert "an edited task file are another protocol" in capsys.readouterr().err


def test_no_seeds_are_not_the_default(tmp_path, capsys):
    file = tmp_path / "my_task.py"
    file.write_text(FILE, encoding="utf-8")
    assert main([str(file), "--seeds", "0", "--out", str(tmp_path / "out")]) == 1
    assert "seeds must be at least 2" in capsys.readouterr().err


def test_a_report_of_what_did_not_end_says_how_to_go_on(tmp_path, capsys):
    assert main(["--report", "--out", str(tmp_path)]) == 1
    assert "with --minutes 0 begins nothing more" in capsys.readouterr().err


def test_an_error_ends_no_processes_of_others(monkeypatch):
    class Pool:
        def __init__(self, *_):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, *_):
            raise RuntimeError("full")

    monkeypatch.setattr(runner, "ProcessPoolExecutor", Pool)
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    try:
        unit = units([task_of(make_model, data, PAIR)], {"task": ""})[0]
        with pytest.raises(RuntimeError, match="full"):
            list(runner._processes([unit], [1], lambda: False, print, workers=1, file=None))
        other.join(0.2)
        assert other.is_alive()
    finally:
        other.kill()
        other.join()


def test_cells_of_several_machines_are_told_apart():
    one = {"utc_time": "2026-01-01T10:00:00Z", "processor": "A", "torch": "2.13.0"}
    two = {"utc_time": "2026-01-01T11:00:00Z", "processor": "B", "torch": "2.13.0"}
    assert machines([two, one, two | {"utc_time": "2026-01-01T10:30:00Z"}]) == {
        "utc_time": "2026-01-01T10:00:00Z to 2026-01-01T11:00:00Z",
        "processor": "A and B",
        "torch": "2.13.0",
    }
    assert machines([one]) == one
    assert machines([]) == {}
