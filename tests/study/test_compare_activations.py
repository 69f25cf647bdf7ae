"""`compare`: what is chosen, what is paired, and what a user is told."""

import json

import pandas
import pytest
import torch
from support.study import data, make_model, settings
from torch import nn

from triton_acts.study import METRICS, Metric, Study, Variant, compare

SMALL = dict(settings, seeds=2, quiet=True)
PAIR = ["relu", "penalized tanh"]


@pytest.fixture(scope="module")
def study():
    return compare(make_model, data, PAIR, **SMALL)


def test_every_seed_counts_once(study):
    assert study.runs[["variant", "seed"]].values.tolist() == [[v, s] for v in PAIR for s in (1, 2)]
    assert (
        study.curves.groupby(["variant", "seed"])["epoch"].apply(list).tolist() == [[0, 1, 2]] * 4
    )
    assert study.dropped == []


def test_choices_are_the_best_that_were_tried(study):
    assert (study.tried["variant"] == "penalized tanh").sum() == 2 + 2  # rates, then options
    assert (study.tried["variant"] == "relu").sum() == 2
    for _, choice in study.choices.iterrows():
        tried = study.tried[study.tried["variant"] == choice["variant"]]
        best = tried.loc[tried["validation"].idxmax()]
        for key in ("learning_rate", "init", "options"):
            assert choice[key] == best[key]


def test_the_same_call_gives_the_same_numbers_and_leaves_random_state_alone(study):
    before = torch.get_rng_state()
    again = compare(make_model, data, PAIR, **SMALL)
    assert torch.equal(torch.get_rng_state(), before)
    same = ["test", "validation", "parameters", "saved_mib"]
    pandas.testing.assert_frame_equal(again.runs[same], study.runs[same])
    pandas.testing.assert_frame_equal(again.curves, study.curves)


def test_variants_are_paired(study):
    """The same seed gives the same batches: an activation beside itself has no difference."""
    twins = {"relu": lambda *_: nn.ReLU(), "twin": lambda *_: nn.ReLU()}
    found = compare(make_model, data, twins, **SMALL).verdicts().set_index("variant")
    assert found.loc["twin", "difference"] == 0
    assert found.loc["twin", "verdict"] == "no difference shown"
    assert pandas.isna(found.loc["relu", "verdict"])


def test_the_test_set_chooses_nothing():
    """Other test targets change the result, and no choice."""
    train, validation, test = data()
    other = (train, validation, (test.x, 1 - test.y))
    one, two = (compare(make_model, d, PAIR, **SMALL) for d in (data, other))
    pandas.testing.assert_frame_equal(one.choices, two.choices)
    pandas.testing.assert_frame_equal(one.tried, two.tried)
    assert (one.runs["test"] + two.runs["test"] - 1).abs().max() < 1e-12


def test_numbers_and_metrics_of_ones_own():
    x = torch.randn(80, 2, generator=torch.Generator().manual_seed(2))
    task = [(x[i::3], x[i::3].sum(1)) for i in range(3)]
    worst = Metric("largest error", lambda o, t: float((o[:, 0] - t).abs().max()), False)
    found = compare(
        lambda act: nn.Sequential(nn.Linear(2, 4), act(4), nn.Linear(4, 1)),
        task,
        ["tanh", Variant("cube", lambda *_: Cube())],
        metric=worst,
        also={"r2": METRICS["r2"]},
        **SMALL,
    )
    assert found.protocol["tasks"]["task"]["baseline"] == "tanh"
    assert not found.higher_is_better("task")
    assert found.higher_is_better("task", "also: r2")
    assert {"mean", "difference"} <= {*found.verdicts("also: r2").columns}


class Cube(nn.Module):
    def forward(self, x):
        return x**3


def test_a_diverged_run_counts_as_a_constant_answer():
    train, validation, test = data()
    bad = {"relu": lambda *_: nn.ReLU(), "nan": lambda *_: Nan()}
    still = dict(SMALL, inits=("default",))
    found = compare(make_model, (train, validation, test), bad, **still)
    rows = found.runs[found.runs["variant"] == "nan"]
    assert rows["diverged"].all()
    majority = int(train.y.mode().values)
    assert rows["test"].tolist() == [float((test.y == majority).double().mean())] * 2


class Nan(nn.Module):
    def forward(self, x):
        return x / 0 * 0


def test_what_is_observed():
    """A unit that is always negative is dead under ReLU, and half of a symmetric input is flat."""

    def model(activation):
        net = nn.Sequential(nn.Linear(2, 4), activation(4), nn.Linear(4, 2))
        with torch.no_grad():
            net[0].weight.copy_(torch.eye(4, 2))
            net[0].bias.copy_(torch.tensor([0.0, 0.0, -99.0, -99.0]))
        return net

    still = dict(SMALL, inits=("default",), learning_rates=(1e-9,))
    first = compare(model, data, ["relu", "elu"], **still).curves.set_index("variant").loc["relu"]
    assert set(first["dead"]) == {0.5}
    assert ((first["saturation"] - 0.75).abs() < 0.06).all()
    assert (first["weight_norm"] > 0).all()


def test_saved_memory_is_what_autograd_keeps():
    found = compare(make_model, data, ["relu", "silu"], **SMALL).runs.set_index("variant")
    hidden = 16 * 8 * 4 / 2**20  # one batch of hidden units
    assert found.loc["relu", "saved_mib"].tolist() == [pytest.approx(hidden)] * 2
    assert found.loc["silu", "saved_mib"].tolist() == [pytest.approx(2 * hidden)] * 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 1}, "seeds must be at least 2"),
        ({"metric": "acuracy"}, "'acuracy' is unknown; there are"),
        ({"optimizer": "sdg"}, "optimizer must be 'sgd' or 'adam', got 'sdg'"),
        ({"inits": ("xaver",)}, "one of the inits"),
        ({"budget": 0}, "must be at least 1, got 0"),
        ({"baseline": "gelu"}, "'gelu' is none of the variants"),
    ],
)
def test_wrong_settings_say_what_is_right(change, message):
    with pytest.raises(ValueError, match=message):
        compare(make_model, data, PAIR, **{**SMALL, **change})


def test_wrong_variants_say_what_is_right():
    with pytest.raises(ValueError, match="'rellu' is unknown; there are"):
        compare(make_model, data, ["relu", "rellu"], **SMALL)
    with pytest.raises(ValueError, match="at least two"):
        compare(make_model, data, ["relu"], **SMALL)
    with pytest.raises(TypeError, match="must be a name or a Variant"):
        compare(make_model, data, [nn.ReLU, nn.Tanh], **SMALL)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 2), torch.zeros(()), [(1, 2)], None])
def test_wrong_data_says_what_is_right(wrong):
    with pytest.raises(TypeError, match="three pairs"):
        compare(make_model, wrong, PAIR, **SMALL)


def test_a_study_is_what_was_saved(study, tmp_path):
    study.save(tmp_path)
    again = Study.read(tmp_path)
    pandas.testing.assert_frame_equal(again.verdicts(), study.verdicts())
    assert json.loads((tmp_path / "study.json").read_text())["protocol"] == study.protocol


def test_names_that_look_like_missing_numbers(tmp_path):
    names = {"None": lambda *_: nn.ReLU(), "nan": lambda *_: nn.Tanh()}
    compare(make_model, data, names, name="NA", **SMALL).save(tmp_path)
    found = Study.read(tmp_path).verdicts()
    assert found[["task", "variant"]].values.tolist() == [["NA", "None"], ["NA", "nan"]]


def test_a_metric_that_is_no_number():
    broken = Metric("broken", lambda outputs, targets: float("nan"))
    with pytest.raises(ValueError, match="metric 'broken' is nan for finite outputs"):
        compare(make_model, data, PAIR, metric=broken, **SMALL)


def test_finished_activations_are_not_run_again(tmp_path):
    folder = tmp_path / "study"
    whole = compare(make_model, data, PAIR, folder=folder, **SMALL)
    kept = sorted((folder / "cells").iterdir())
    assert [file.name for file in kept] == ["task--penalized-tanh.json", "task--relu.json"]
    kept[0].unlink()
    stamp = kept[1].stat().st_mtime_ns
    again = compare(make_model, data, PAIR, folder=folder, **SMALL)
    assert kept[0].exists()
    assert kept[1].stat().st_mtime_ns == stamp
    assert again.runs["test"].tolist() == whole.runs["test"].tolist()


def test_another_protocol_needs_another_folder(tmp_path):
    compare(make_model, data, PAIR, folder=tmp_path, **SMALL)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    with pytest.raises(
        ValueError, match=r"seeds \(\[1, 2\], now \[1, 2, 3\]\); choose another folder"
    ):
        compare(make_model, data, PAIR, folder=tmp_path, **dict(SMALL, seeds=3))
    assert before == {file: file.read_bytes() for file in tmp_path.rglob("*.json")}


def test_a_broken_file_says_what_to_do(tmp_path):
    compare(make_model, data, PAIR, folder=tmp_path, **SMALL)
    file = tmp_path / "cells" / "task--relu.json"
    file.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"task--relu.json holds no cell .* delete it"):
        compare(make_model, data, PAIR, folder=tmp_path, **SMALL)


def test_out_of_time(tmp_path):
    found = compare(make_model, data, PAIR, minutes=0, folder=tmp_path, **SMALL)
    assert found.dropped == [("task", "relu"), ("task", "penalized tanh")]
    assert found.verdicts().empty
    assert compare(make_model, data, PAIR, folder=tmp_path, **SMALL).dropped == []


def test_the_baseline_comes_first_and_tasks_take_turns():
    from triton_acts.study._plan import units
    from triton_acts.study.tasks import standard_tasks

    tasks = standard_tasks()
    found = units(tasks, dict.fromkeys((t.name for t in tasks), ""))
    assert [u.variant.name for u in found[: len(tasks)]] == [t.baseline for t in tasks]
    assert [u.task.name for u in found[: len(tasks)]] == [t.name for t in tasks]
    assert len(found) == sum(len(t.variants) for t in tasks)
