"""Calls in a forward that cannot be traced, or not without a change, are listed with the reason."""

import pytest
import torch
import torch.nn.functional as F
from support.swap_models import Net
from torch import fx, nn
from torch.nn.functional import relu as bare_relu

import triton_acts as ta


def helper(x):
    return bare_relu(x)


class Untraceable(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return F.relu(x)
        return x.relu_()


class ByHelper(nn.Module):
    def forward(self, x):
        return helper(x) if x.sum() > 0 else self._more(x)

    def _more(self, x):
        return x.tanh()


class ByMode(nn.Module):
    def forward(self, x):
        return F.relu(x) if self.training else F.relu(x) + 1


class ByGrad(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            return F.relu(x)


class ByCount(nn.Module):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return F.relu(x)


class ByBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        self.steps += 1
        return F.relu(x)


class ByNoise(nn.Module):
    def forward(self, x):
        return F.relu(x) + torch.randn(4)


class ByLocals(nn.Module):
    def forward(self, x):
        import torch.nn.functional as functional

        act = F.relu if x.sum() > 0 else functional.relu
        return act(x)


@pytest.mark.parametrize("by_example", [False, True])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Untraceable, "cannot trace"),
        (ByHelper, "cannot trace"),
        (ByMode, "mode"),
        (ByGrad, "gradient"),
        (ByCount, "state"),
        (ByBuffer, "state"),
        (ByNoise, "random"),
        (ByLocals, "cannot trace"),
    ],
)
def test_calls_that_cannot_be_replaced_are_listed(kind, reason, by_example):
    model = nn.ModuleDict({"a": kind(), "act": nn.ReLU()})
    model.forward = lambda x: model["act"](model["a"](x))
    example = torch.ones(3, 4) if by_example else None
    report = ta.swap(model["a"], {nn.ReLU: nn.ELU}, example=example)
    assert not report.replaced
    assert {u.name for u in report.unreplaced} == {"relu"}
    assert reason in report.unreplaced[0].reason
    assert report.model is model["a"]
    assert getattr(report.model, "calls", 0) == 0


def test_modules_are_replaced_where_calls_cannot_be():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), Untraceable(), ByHelper())
    report = ta.swap(model, {nn.ReLU: "kaf", nn.Tanh: "kaf"})
    assert report.model is model
    assert [(r.name, r.how) for r in report.replaced] == [("1", "module")]
    assert [(u.name, u.what) for u in report.unreplaced] == [
        ("2.relu", "relu"),
        ("3.relu", "relu"),
        ("3.tanh", "tanh"),
    ]
    assert "(root)" not in str(report)


def test_an_example_shows_what_the_source_does_not():
    class Hidden(nn.Module):
        def forward(self, x):
            return getattr(torch, "re" + "lu")(x) if x.sum() > 0 else x

    with pytest.warns(UserWarning, match="nothing was replaced"):
        assert not ta.swap(Hidden(), {nn.ReLU: nn.ELU}).unreplaced
    report = ta.swap(Hidden(), {nn.ReLU: nn.ELU}, example=torch.ones(3))
    assert [u.name for u in report.unreplaced] == ["relu"]


def test_source_that_is_not_to_be_had():
    code = "def forward(self, x):\n    return F.relu(x) if x.sum() > 0 else x"
    space = {"F": F}
    exec(code, space)
    model = type("Typed", (nn.Module,), {"forward": space["forward"]})()
    assert [u.name for u in ta.swap(model, {nn.ReLU: nn.ELU}).unreplaced] == ["relu"]


def test_hooks_that_a_graph_would_lose():
    model, seen = Net(), []
    model.block.register_forward_hook(lambda *_: seen.append(1))
    report = ta.swap(model, {nn.ReLU: nn.ELU})
    assert report.model is model
    assert "hooks of block" in report.unreplaced[0].reason
    assert [u.name for u in report.unreplaced] == ["block.relu"]
    assert not seen


def test_the_traced_model_is_compared_on_the_example():
    class Shaped(nn.Module):
        def forward(self, x):
            return F.relu(x) + (1 if isinstance(x, fx.Proxy) else 2)

    model = Shaped()
    report = ta.swap(model, {nn.ReLU: nn.ELU}, example=torch.randn(3))
    assert report.model is model
    assert "something else for the example" in report.unreplaced[0].reason


def test_an_example_that_fails_is_the_users_error():
    model = Net()
    with pytest.raises(ValueError, match="the model failed on example"):
        ta.swap(model, {nn.ReLU: nn.ELU}, example=torch.randn(2, 5))
    assert model.training


def test_a_traced_model_that_fails_on_the_example_is_not_used():
    class Picky(nn.Module):
        def forward(self, x):
            return F.relu(x) if isinstance(x, torch.Tensor) else F.relu(x).nothing()

    report = ta.swap(Picky(), {nn.ReLU: nn.ELU}, example=torch.randn(3))
    assert "fails on the example" in report.unreplaced[0].reason
