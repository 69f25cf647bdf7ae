"""KAF gets its channels from the layer before it, or from one forward of an example."""

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triton_acts as ta


def channels(model, name, example=None):
    report = ta.swap(model, {nn.ReLU: "kaf"}, where=name, example=example)
    (row,) = report.replaced
    return row.module.alpha.shape[0], row.module.channel_dim


@pytest.mark.parametrize("by_example", [False, True])
@pytest.mark.parametrize(
    ("layers", "x", "expected"),
    [
        ([nn.Linear(3, 7)], (5, 3), (7, -1)),
        ([nn.Linear(3, 7)], (2, 5, 3), (7, -1)),
        ([nn.Linear(3, 7), nn.Dropout(), nn.Identity()], (2, 5, 3), (7, -1)),
        ([nn.Linear(3, 7), nn.LayerNorm(7)], (2, 5, 3), (7, -1)),
        ([nn.Linear(3, 7), nn.BatchNorm1d(7)], (5, 3), (7, 1)),
        ([nn.Conv1d(3, 7, 1)], (2, 3, 5), (7, 1)),
        (
            [nn.Conv2d(3, 7, 1), nn.BatchNorm2d(7), nn.MaxPool2d(2), nn.Dropout2d()],
            (2, 3, 4, 4),
            (7, 1),
        ),
        ([nn.Conv2d(3, 7, 1), nn.LayerNorm([7, 4, 4])], (2, 3, 4, 4), (7, 1)),
        ([nn.ConvTranspose2d(3, 7, 2), nn.GroupNorm(7, 7), nn.Tanh()], (2, 3, 4, 4), (7, 1)),
        ([nn.Sequential(nn.Conv2d(3, 7, 1)), nn.AdaptiveAvgPool2d(1)], (2, 3, 4, 4), (7, 1)),
        ([nn.Sequential(nn.Linear(3, 7), nn.Sequential(nn.Dropout()))], (5, 3), (7, -1)),
    ],
)
def test_in_sequence(layers, x, expected, by_example):
    model = nn.Sequential(*layers, nn.Sequential(nn.ReLU()))
    x = torch.randn(*x)
    assert channels(model, "*", x if by_example else None) == expected
    assert model(x).isfinite().all()


class Residual(nn.Module):
    """Registered in another order than called."""

    def __init__(self):
        super().__init__()
        self.act2, self.act1 = nn.ReLU(), nn.ReLU()
        self.down = nn.Conv2d(3, 6, 1)
        self.conv2, self.conv1 = nn.Conv2d(5, 6, 1), nn.Conv2d(3, 5, 1)

    def forward(self, x):
        y = self.act1(F.max_pool2d(self.conv1(x), 1).contiguous())
        y = self.conv2(y) * 0.5
        y += self.down(x)
        return self.act2(F.dropout(y, 0.0, self.training))


@pytest.mark.parametrize("by_example", [False, True])
def test_in_the_order_of_calls(by_example):
    example = torch.randn(2, 3, 4, 4) if by_example else None
    assert channels(Residual(), "act1", example) == (5, 1)
    assert channels(Residual(), "act2", example) == (6, 1)


def test_inside_of_what_cannot_be_traced():
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(nn.Linear(3, 7), nn.ReLU())

        def forward(self, x):
            return self.block(x) if x.sum() > 0 else x

    assert channels(Gate(), "*") == (7, -1)


@pytest.mark.parametrize(
    "layers",
    [[], [nn.Conv2d(3, 7, 1), nn.Flatten()], [nn.Linear(3, 7), nn.MaxPool1d(2)], [nn.Softmax2d()]],
)
def test_unknown_without_an_example(layers):
    model = nn.Sequential(*layers, nn.ReLU())
    with pytest.raises(ValueError, match=rf"{len(layers)} \(ReLU\): its forward(.|\n)*example="):
        ta.swap(model, {nn.ReLU: "kaf"})
    assert type(model[-1]) is nn.ReLU


def test_an_example_decides():
    model = nn.Sequential(nn.Conv2d(3, 7, 1), nn.Flatten(), nn.ReLU())
    assert channels(model, "*", torch.randn(2, 3, 2, 2)) == (28, 1)
    model = nn.Sequential(nn.Conv1d(3, 7, 1), nn.Unflatten(2, (2, 2)), nn.Flatten(1, 2), nn.ReLU())
    with pytest.raises(ValueError, match="the dimension of its channels is open"):
        ta.swap(model, {nn.ReLU: "kaf"}, example=torch.randn(2, 3, 4))


@pytest.mark.parametrize("example", [None, torch.randn(2, 3)])
def test_one_module_for_two_widths(example):
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(3, 4), act, nn.Linear(4, 5), act)
    with pytest.raises(ValueError, match="4 channels in dimension -1 and 5 channels in"):
        ta.swap(model, {nn.ReLU: "kaf"}, example=example)


def test_an_example_that_does_not_reach_it():
    model = nn.ModuleDict({"used": nn.Linear(3, 3), "unused": nn.ReLU()})
    model.forward = model["used"].forward
    with pytest.raises(ValueError, match=r"unused \(ReLU\): example does not reach it"):
        ta.swap(model, {nn.ReLU: "kaf"}, example=torch.randn(1, 3))


class Stateful(nn.Module):
    """Everything that a forward may leave behind."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.act = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU()
        self.register_buffer("steps", torch.zeros(()))
        self.calls, self.seen, self.last = 0, [], None
        self.modes = []

    def forward(self, x, scale=1.0):
        self.steps += 1
        self.calls += 1
        self.seen.append(x)
        self.last = x
        noise = torch.rand(()) + random.random()
        return self.act(self.norm(self.linear(x * scale))) + noise


def test_the_forward_of_an_example_leaves_nothing_behind():
    model = Stateful()
    model.norm.eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [m.training for m in model.modules()][:4]
    rng, python = torch.get_rng_state(), random.getstate()
    x = torch.randn(1, 3, requires_grad=True)
    torch.set_rng_state(rng)
    ta.swap(model, {nn.ReLU: "scaled_sigmoid"}, example=x)
    assert torch.equal(torch.get_rng_state(), rng)
    assert random.getstate() == python
    assert {**model.state_dict()}.keys() == state.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert (model.calls, model.seen, model.last) == (0, [], None)
    assert [m.training for m in model.modules()][:4] == modes
    report = ta.swap(model, {ta.ScaledSigmoid: "kaf"}, example={"x": x, "scale": 2.0})
    assert all(torch.equal(model.state_dict()[name], value) for name, value in state.items())
    assert (model.calls, model.seen, model.last) == (0, [], None)
    assert model.act.alpha.shape == (4, 20)
    assert x.grad is None
    assert report.params_added == 80
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_a_lazy_layer_says_its_features_but_is_not_run():
    model = nn.Sequential(nn.LazyLinear(5), nn.ReLU())
    with pytest.raises(ValueError, match="run it once before"):
        ta.swap(model, {nn.ReLU: "kaf"}, example=torch.randn(2, 3))
    assert ta.swap(model, {nn.ReLU: "kaf"}).params_added == 100
    assert model[0].has_uninitialized_params()


def test_examples_are_arguments_or_keywords():
    for example in (torch.randn(2, 3), (torch.randn(2, 3), 2.0), {"x": torch.randn(2, 3)}):
        assert channels(Stateful(), "*", example) == (4, 1)


def test_without_gradients_all_the_same():
    with torch.no_grad():
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        ta.swap(model, {nn.ReLU: "kaf"}, example=torch.randn(2, 3))
    assert model[1].alpha.requires_grad


def test_kaf_stays_float32_in_a_16_bit_model():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).bfloat16()
    ta.swap(model, {nn.ReLU: "kaf"})
    assert model[1].alpha.dtype == torch.float32
    assert model(torch.randn(2, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_options_of_a_partial_are_kept():
    from functools import partial

    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    ta.swap(model, {nn.ReLU: partial(ta.KAF, num_nodes=32, boundary=4.0)})
    assert model[1].alpha.shape == (4, 32)
    shared = nn.Sequential(nn.ReLU())
    ta.swap(shared, {nn.ReLU: partial(ta.KAF, num_channels=1)})
    assert shared[0].alpha.shape == (1, 20)
