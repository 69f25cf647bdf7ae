"""Whole models: which activation follows which layer, and what is left alone."""

import copy
import math
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import triton_acts as ta
from triton_acts.init import calculate_gain, initialize_


def of(records):
    return {r.name: r.activation for r in records}


def notes(records):
    return {r.name: r.note for r in records}


def state(model):
    return copy.deepcopy(model.state_dict())


class Net(nn.Module):
    """Modules, functions and methods, normalisation and pooling between them, a residual sum."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.learned = ta.PenalizedTanh(num_parameters=4)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.c = nn.Conv2d(4, 4, 1)
        self.d = nn.Linear(4, 6)
        self.e = nn.Linear(6, 6)
        self.f = nn.Linear(6, 6)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.learned(F.max_pool2d(self.norm(self.a(x)), 2))
        x = F.leaky_relu(self.b(x), 0.25)
        x = x + self.c(x)
        x = torch.flatten(x.mean((2, 3)), 1)
        x = F.relu(self.d(x), inplace=True)
        x = self.e(x).tanh()
        x = ta.scaled_sigmoid(self.f(x))
        return self.head(x)


def test_each_layer_gets_the_gain_of_what_follows():
    model = Net()
    with torch.no_grad():
        model.learned.a.copy_(torch.tensor([0.0, 0.5, 1.0, -1.0]))
    records = {r.name: r for r in initialize_(model, "kaiming_normal")}
    assert of(records.values()) == {
        "a": "PenalizedTanh",
        "b": "leaky_relu",
        "c": "linear",
        "d": "relu",
        "e": "tanh",
        "f": "scaled_sigmoid",
        "unused": "",
        "head": "linear",
    }
    gains = {n: r.gain for n, r in records.items() if n not in ("c", "unused", "head")}
    expected = [calculate_gain(model.learned), calculate_gain(nn.LeakyReLU(0.25))]
    expected += [calculate_gain(name) for name in ("relu", "tanh", "scaled_sigmoid")]
    assert list(gains.values()) == pytest.approx(expected, rel=1e-9)
    assert (records["c"].gain, records["head"].gain) == (1, 1)
    assert "takes it with others" in records["c"].note
    assert "the output" in records["head"].note
    assert records["unused"].note == "left alone: the model's graph does not show it"


@pytest.mark.parametrize("mode", ["forward", "backward"])
@pytest.mark.parametrize("scheme", ["xavier_normal", "xavier_uniform", "kaiming_normal"])
def test_weights_have_the_recorded_spread_and_biases_are_zero(scheme, mode):
    model = nn.Sequential(nn.Linear(200, 100), ta.PenalizedTanh(), nn.Linear(100, 300))
    g = torch.Generator().manual_seed(0)
    first, last = initialize_(model, scheme, mode=mode, generator=g)
    fan = 150 if "xavier" in scheme else 200 if mode == "forward" else 100
    assert first.gain == pytest.approx(calculate_gain("penalized_tanh", mode))
    assert first.std == pytest.approx(first.gain / math.sqrt(fan))
    for record, layer in ((first, model[0]), (last, model[2])):
        assert layer.weight.std().item() == pytest.approx(record.std, rel=0.02)
        assert layer.bias.eq(0).all()
    again = copy.deepcopy(model)
    initialize_(again, scheme, mode=mode, generator=g.manual_seed(0))
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [
        (nn.Conv2d(8, 16, 3, groups=4), 18, 36),
        (nn.ConvTranspose1d(8, 16, 5), 40, 80),
        (nn.ConvTranspose1d(8, 16, 5, groups=2), 20, 40),
        (nn.Linear(8, 16), 8, 16),
    ],
    ids=repr,
)
def test_fans_know_groups_and_transposed_convolutions(layer, fan_in, fan_out):
    for mode, fan in (("forward", fan_in), ("backward", fan_out)):
        (record,) = initialize_(layer, "kaiming_uniform", mode=mode)
        assert record.std == pytest.approx(fan**-0.5)


def test_a_layer_is_a_model_too_and_layers_may_follow_each_other():
    (record,) = initialize_(nn.Linear(3, 3))
    assert (record.name, record.activation, record.gain) == ("", "linear", 1)
    records = initialize_(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Softmax(-1)))
    assert notes(records) == {"0": "", "1": "followed by Softmax"}


class Shared(nn.Module):
    def __init__(self, second):
        super().__init__()
        self.layer, self.second = nn.Linear(3, 3), second

    def forward(self, x):
        y = self.layer(torch.relu(self.layer(x)))
        return self.second(y.view(y.size(0), y.shape[1]))


def test_a_shared_layer_has_the_gain_on_which_its_uses_agree():
    assert of(initialize_(Shared(nn.ReLU(inplace=True)))) == {"layer": "relu"}
    (record,) = initialize_(Shared(nn.Tanh()))
    assert (record.gain, record.activation) == (1, "linear")
    assert record.note == "its output goes several ways: relu, Tanh"


def test_own_activations_count_and_blocks_are_looked_into():
    class Cube(nn.Module):
        def forward(self, x):
            return x**3

    block = nn.Sequential(nn.Linear(3, 3), Cube())
    records = initialize_(nn.Sequential(block, nn.Linear(3, 3), ta.KAF(3), nn.Linear(3, 1)))
    assert of(records) == {"0.0": "Cube", "1": "KAF", "3": "linear"}
    assert records[0].gain == pytest.approx(15**-0.5)


def test_what_is_not_to_be_drawn_is_left_alone():
    embedding = nn.Embedding(5, 4)
    frozen = nn.Linear(4, 4)
    frozen.requires_grad_(False)
    normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    tied, free = nn.Linear(4, 5), nn.Linear(4, 4)
    tied.weight = embedding.weight
    model = nn.Sequential(embedding, frozen, normed, free, nn.ReLU(), tied)
    before = state(model)
    records = initialize_(model)
    assert notes(records) == {
        "1": "left alone: its weight is frozen",
        "2": "left alone: its weight is computed from others (a parametrization)",
        "3": "",
        "5": "left alone: its weight is also that of 0",
    }
    after = state(model)
    assert [k for k in after if not torch.equal(after[k], before[k])] == ["3.weight", "3.bias"]


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x):
        return self.two(torch.tanh(self.one(x))) if x.sum() > 0 else x


def test_a_model_without_a_graph_needs_the_activation():
    model = Branching()
    before = state(model)
    with pytest.raises(ValueError, match=r"cannot trace Branching .*give activation="):
        initialize_(model)
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)
    records = initialize_(model, activation="tanh")
    assert of(records) == {"one": "tanh", "two": "tanh"}
    assert all("assumed: the model cannot be traced" in each.note for each in records)


def test_the_activation_stands_in_for_unknown_successors_only():
    records = initialize_(Net(), activation="silu")
    assert [r.activation for r in records if r.name in "abc"] == [
        "PenalizedTanh",
        "leaky_relu",
        "silu",
    ]
    assert records[-1].activation == "linear"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"scheme": "lecun"}, ValueError, "scheme must be one of"),
        ({"mode": "fan_in"}, ValueError, "mode must be one of"),
        ({"activation": "rleu"}, ValueError, "unknown activation"),
        ({"model": nn.ReLU()}, ValueError, "ReLU has no Linear or Conv layer"),
        ({"model": [nn.Linear(1, 1)]}, TypeError, "must be a torch.nn.Module, got list"),
    ],
)
def test_wrong_arguments_change_nothing(arguments, error, message):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    before = state(model)
    with pytest.raises(error, match=message):
        initialize_(**{"model": model, **arguments})
    torch.testing.assert_close(state(model), before, rtol=0, atol=0)


def test_a_lazy_layer_is_named():
    model = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3))
    before = model[0].weight.detach().clone()
    with pytest.raises(ValueError, match="lazy layer '1' has no shape yet"):
        initialize_(model)
    assert torch.equal(model[0].weight, before)


def test_modes_gradients_and_random_state_stay():
    model = nn.Sequential(nn.Linear(4, 4), ta.PenalizedTanh(), nn.Dropout(), nn.Linear(4, 4))
    model[3].eval()
    model[0].weight.grad = torch.ones(4, 4)
    rng = torch.get_rng_state()
    initialize_(model, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), rng)
    assert [m.training for m in model] == [True, True, True, False]
    assert model[0].weight.grad.eq(1).all()
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_two_hundred_layers_take_a_moment():
    layers = [m for _ in range(100) for m in (nn.Linear(2, 2), ta.PenalizedTanh())]
    start = time.process_time()
    initialize_(nn.Sequential(*layers))
    assert time.process_time() - start < 3
