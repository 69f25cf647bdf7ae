"""What the protocol promises of a run: seeds, optimizers, what chooses, and runs that diverge."""

import copy
import functools
import math
import sys
import types

import pytest
import torch
from support.study import data, make_model, settings
from support.study_frames import study
from torch import nn

from triton_acts import init
from triton_acts.study import METRICS, Activation, Metric, Variant, compare
from triton_acts.study import _training as training
from triton_acts.study._cell import SELECTION_SEED, options_text, run_cell
from triton_acts.study._compare import task_of
from triton_acts.study._observe import Used
from triton_acts.study._plan import protocol
from triton_acts.study._statistics import UNKNOWN, compare_paired
from triton_acts.study._task import Data, Pair, checked_data

RELU = Variant("relu", lambda *_: nn.ReLU())
TANH = Variant("tanh", lambda *_: nn.Tanh())
SMALL = {name: value for name, value in settings.items() if name != "budget"}


def task(**changes):
    return task_of(make_model, data, [RELU, TANH], budget=2, **(SMALL | changes))


def run(seed=1, choice=None, **changes):
    made = task(**changes)
    return training.train(made, RELU, choice or training.Choice(0.1, "gain"), seed, made.data())


def test_a_seed_decides_weights_and_batches(monkeypatch):
    drawn, orders = [], []
    real, shuffle = training._step, torch.randperm

    def step(task, model, *rest):
        drawn.append([p.clone() for p in model.parameters()])
        return real(task, model, *rest)

    def randperm(n, **options):
        orders.append(shuffle(n, **options))
        return orders[-1]

    monkeypatch.setattr(training, "_step", step)
    monkeypatch.setattr(torch, "randperm", randperm)
    found = {}
    for seed in (1, 2, 1):
        drawn.clear(), orders.clear()
        run(seed)
        found.setdefault(seed, []).append((drawn[0], orders[-1]))
    (one, again), (two,) = found[1], found[2]
    assert torch.equal(one[0][0], again[0][0])
    assert torch.equal(one[1], again[1])
    assert not torch.equal(one[0][0], two[0][0])
    assert not torch.equal(one[1], two[1])


def test_the_seed_that_chooses_counts_nowhere():
    assert SELECTION_SEED not in protocol([task()], 8, 0.05, {"task": ""})["seeds"]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_two_steps_by_hand(optimizer):
    """Momentum 0.9 or Adam's moments, and a rate that follows a cosine to 0."""
    made = task(optimizer=optimizer)
    model = nn.Linear(2, 2)
    plain = copy.deepcopy(model)
    train = Data(*(Pair(x[:16], y[:16]) for x, y in made.data()))  # a batch an epoch
    observer = training.Observer(model, Used(Activation(RELU)), train.validation.x)
    training._train(made, model, training.Choice(0.1, "gain"), 1, train, observer)
    kinds = {"sgd": functools.partial(torch.optim.SGD, momentum=0.9), "adam": torch.optim.Adam}
    theirs = kinds[optimizer](plain.parameters(), lr=0.1)
    for rate in (0.1, 0.05):  # 0.1 (1 + cos(pi k / 2)) / 2
        theirs.param_groups[0]["lr"] = rate
        theirs.zero_grad()
        nn.functional.cross_entropy(plain(train.train.x), train.train.y).backward()
        theirs.step()
    torch.testing.assert_close(model.weight, plain.weight)


@pytest.mark.parametrize(("scheme", "gain"), [("xavier", 1.0), ("gain", None)])
def test_the_gain_of_an_initialisation(scheme, gain):
    used = Used(Activation(TANH))
    model = nn.Sequential(nn.Linear(300, 300), used(300), nn.Linear(300, 3))
    training.initialise(model, scheme, used)
    gain = gain or init.calculate_gain(nn.Tanh(), mode="backward")
    assert model[0].weight.std().item() * 300**0.5 == pytest.approx(gain, rel=0.02)


def test_the_test_set_chooses_nothing():
    """Not by its targets, and not by inputs at which a model's outputs overflow."""
    made = task(learning_rates=(0.1, 0.3))
    train, validation, test = made.data()
    seen = set()
    for hostile in (test, Pair(test.x, 1 - test.y), Pair(test.x * math.inf, test.y)):
        cell = run_cell(made, RELU, [1], Data(train, validation, hostile))
        seen.add((cell.choice["learning_rate"], *(row["diverged"] for row in cell.tried)))
    assert len(seen) == 1


class Falling(nn.Module):
    """Finite at first; NaN once its weights have moved."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("first", torch.zeros(0))

    def forward(self, x):
        if not self.first.numel():
            self.first = self.linear.weight.detach().clone()
        return self.linear(x) * (1 if torch.equal(self.first, self.linear.weight) else math.nan)


def test_a_metric_is_asked_of_finite_outputs_only():
    def strict(outputs, _targets):
        if not outputs.isfinite().all():
            raise ValueError("Input contains NaN.")
        return 0.5

    made = task_of(
        lambda activation: Falling(),
        data,
        [RELU, TANH],
        metric=Metric("strict", strict),
        **settings,
    )
    model = made.make_model(None)
    observer = training.Observer(model, Used(Activation(RELU)), made.data().validation.x)
    observer._model(made.data().validation.x)
    found = training._train(made, model, training.Choice(0.1, "gain"), 1, made.data(), observer)
    assert found.diverged
    assert found.test == 0.5
    assert math.isnan(found.epoch_s)  # of no whole epoch
    with torch.no_grad():
        model.linear.weight += 1
    assert math.isnan(training._seen(made, model, made.data(), observer)["validation"])


def test_the_constant_answer_of_dense_targets():
    targets = torch.tensor([[[2, 2], [0, 2]], [[2, 1], [2, 2]]])
    answer = training._constant(targets, torch.zeros(2, 3, 2, 2), 5)
    assert answer.shape == (5, 3, 2, 2)
    assert answer.argmax(1).eq(2).all()


def test_metrics_of_an_unbalanced_set():
    outputs = torch.eye(2)[[0, 0, 1, 1]]
    targets = torch.tensor([0, 0, 0, 1])
    found = {
        name: METRICS[name](outputs, targets) for name in METRICS if name not in ("r2", "rmse")
    }
    assert found == {
        "accuracy": 0.75,
        "balanced accuracy": pytest.approx((2 / 3 + 1) / 2),
        "false-alarm rate": pytest.approx(1 / 3),
        "miss rate": 0.0,
    }


def test_equal_gains_of_few_seeds_are_no_certainty():
    """An image more for each of three seeds: as shares, their differences are not quite equal."""
    for base in ([301, 302, 307], [333, 351, 340], [100, 271, 199]):
        one = compare_paired(
            [b / 360 for b in base], {"v": [(b + 1) / 360 for b in base]}, higher_is_better=True
        )["v"]
        assert one.p == 0.25
        assert one.verdict == UNKNOWN
        assert one.low <= 0 <= one.high


def test_a_diverged_baseline_counts_in_the_target():
    made = study({"mine": {"relu": [0.4, 0.6, 0.5], "elu": [0.6, 0.6, 0.6]}})
    assert made.steps_to_target("mine") == {"relu": 16.0, "elu": 16.0}
    last = (made.curves["variant"] == "relu") & (made.curves["epoch"] == 2)
    made.curves.loc[last & (made.curves["seed"] == 3), "validation"] = math.nan
    made.runs.loc[(made.runs["variant"] == "relu") & (made.runs["seed"] == 3), "validation"] = 0.1
    assert made.steps_to_target("mine")["elu"] == 16.0  # target 0.4, not 0.25 of an earlier epoch
    made.curves.loc[made.curves["variant"] == "elu", "validation"] = 0.39
    assert math.isinf(made.steps_to_target("mine")["elu"])


def test_steps_where_lower_is_better():
    made = study({"mine": {"relu": [0.4, 0.4], "elu": [0.5, 0.5]}}, higher_is_better=False)
    made.curves["validation"] = 0.9 - 0.2 * made.curves["epoch"]  # 0.9, 0.7, 0.5
    made.runs.loc[made.runs["variant"] == "relu", "validation"] = 0.6
    assert made.steps_to_target("mine") == {"relu": 16.0, "elu": 16.0}


def test_costs_are_of_runs_that_came_to_an_end():
    made = study({"mine": {"relu": [0.4, 0.5, 0.6], "elu": [0.5, 0.5, 0.4]}})
    elu = made.runs["variant"] == "elu"
    made.runs.loc[elu, "epoch_s"] = [9.0, 0.5, 0.7]
    made.runs.loc[elu, "diverged"] = [True, False, False]
    rows = made.verdicts().set_index("variant")
    assert rows.loc["elu", "epoch_s"] == pytest.approx(0.6)
    assert rows.loc["elu", "worst"] == 0.4


def test_options_have_names_of_their_own():
    assert options_text({"init": torch.tanh, "n": 3}) == "init=tanh, n=3"
    assert options_text({"f": functools.partial(torch.full, (2,), dtype=None)}) == (
        "f=full((2,), dtype=None)"
    )
    for value in (lambda: 1, object()):
        with pytest.raises(ValueError, match="a named function, a number or a string"):
            options_text({"f": value})


def test_ranges_of_a_search_are_part_of_the_protocol():
    def ranged(low):
        variant = Variant("tanh", TANH.make, ranges={"a": (low, low + 1)})
        made = task_of(make_model, data, [RELU, variant], search="optuna", **settings)
        return protocol([made], 2, 0.05, {"task": ""})

    assert ranged(0.0) != ranged(5.0)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: compare(make_model, data, epochs=3),
            TypeError,
            r"\['epochs'\]; there are .*budget",
        ),
        (
            lambda: compare(make_model, data, ["relu", "penalised"]),
            ValueError,
            "unknown; there are",
        ),
        (lambda: task_of(make_model, data, also={"b": "r3"}), ValueError, "'r3' is unknown"),
        (lambda: checked_data((*data(), None)), TypeError, "three pairs"),
        (lambda: checked_data(3 * ((torch.ones(()), torch.ones(())),)), ValueError, "dimension 0"),
        (lambda: study({"mine": {"relu": [0.1, 0.2]}}).verdicts("tset"), ValueError, "'test'"),
    ],
)
def test_mistakes_are_explained(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_names_with_underscores_are_those_with_spaces():
    assert (
        task_of(make_model, data, ["relu", "penalized_tanh"]).variants[1].name == "penalized tanh"
    )


def test_a_model_that_does_not_take_its_data_is_refused_before_any_run(tmp_path):
    def wrong(activation):
        return nn.Sequential(nn.Linear(2, 8), activation(5), nn.Linear(8, 2))

    with pytest.raises(
        ValueError, match=r"model with 'kaf' fails on two training examples .*alpha"
    ):
        compare(wrong, data, ["relu", "kaf"], folder=tmp_path, quiet=True, **settings)
    assert not list(tmp_path.iterdir())


def test_functions_of_a_notebook_are_not_sent_to_other_processes(monkeypatch):
    """They pickle by name, and the processes would end without a word."""

    def noted(activation):
        return make_model(activation)

    notebook = types.ModuleType("__main__")
    notebook.noted = noted
    noted.__module__, noted.__qualname__ = "__main__", "noted"
    monkeypatch.setitem(sys.modules, "__main__", notebook)
    with pytest.raises(ValueError, match=r"part of no file.*workers=1 takes any"):
        compare(noted, data, ["relu", "tanh"], workers=2, quiet=True, **settings)
