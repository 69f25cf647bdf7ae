"""Calls of functions are replaced in a traced copy; those that cannot be are listed."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from support.swap_models import Block, Net
from torch import fx, nn

import triton_acts as ta


def calls(report):
    return [(r.name, r.before, r.how) for r in report.replaced]


def plain(model, x, relu=ta.penalized_tanh, tanh=ta.scaled_sigmoid):
    x = tanh(model.first(x))
    for _ in range(2):
        x = relu(model.block.linear(relu(x)))
    return torch.sigmoid(tanh(model.last(x)))


def test_calls_are_replaced_in_a_traced_copy_that_shares_everything():
    model, x = Net(), torch.randn(5, 3)
    block, state = model.block, {name: id(t) for name, t in model.named_parameters()}
    report = ta.swap(model, {nn.ReLU: "penalized_tanh", nn.Tanh: "scaled_sigmoid"})
    assert isinstance(report.model, fx.GraphModule)
    assert calls(report) == [
        ("tanh", "Tanh", "module"),
        ("block.relu", "relu", "function"),
        ("block.relu_1", "relu", "function"),
        ("tanh", "tanh", "function"),
    ]
    assert torch.equal(report.model(x), plain(model, x))
    assert {name: id(t) for name, t in report.model.named_parameters()} == state
    assert list(report.model.state_dict()) == list(model.state_dict())
    assert report.model.block is block
    assert report.undo() is model
    assert torch.equal(model(x), plain(model, x, torch.relu, torch.tanh))


def test_a_call_of_a_shared_module_has_one_replacement():
    report = ta.swap(Net(), {nn.ReLU: "kaf"})
    assert [r.name for r in report.replaced] == ["block.relu", "block.relu_1"]
    assert report.params_added == 2 * 4 * 20
    assert [r.module.channel_dim for r in report.replaced] == [-1, -1]
    y = report.model(torch.randn(5, 3))
    y.sum().backward()
    assert all(r.module.alpha.grad.any() for r in report.replaced)
    again = copy.deepcopy(report.model)
    assert set(again.state_dict()) == set(report.model.state_dict())
    assert again.block_relu.alpha is not report.model.block_relu.alpha


def test_channels_of_calls_by_example():
    report = ta.swap(Net(), {nn.Sigmoid: "kaf"}, example=torch.randn(2, 7, 3))
    assert report.replaced[0].module.alpha.shape == (2, 20)
    assert report.replaced[0].module.channel_dim == -1


def test_optional_arguments_are_built_in_and_others_refused():
    model = Net()
    traced = ta.swap(model, {nn.ReLU: nn.ELU}).model
    x = torch.randn(5, 3)
    assert traced(x).shape == traced(x, mask=None).shape == (5, 2)
    with pytest.raises(AssertionError, match="specialized to have value None"):
        traced(x, mask=torch.ones(4))


def test_a_traced_model_is_saved_and_compiled():
    model = ta.swap(Net(), {nn.ReLU: "kaf"}).model
    file, x = io.BytesIO(), torch.randn(5, 3)
    torch.save(model, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False)(x), model(x))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))
    assert len(ta.swap(Net(), {nn.ReLU: "kaf"}).replaced) == 2  # what was loaded breaks no trace


def test_no_call_no_trace():
    model = nn.Sequential(Net().first, nn.ReLU())
    assert ta.swap(model, {nn.ReLU: nn.ELU}).model is model
    net = Net()
    with pytest.warns(UserWarning, match="nothing was replaced"):
        assert ta.swap(net, {nn.ReLU: nn.ELU}, where="nothing").model is net


def test_a_dry_run_of_calls():
    model = Net()
    before = list(model.modules())
    report = ta.swap(model, {nn.ReLU: "kaf", nn.Tanh: "kaf"}, dry_run=True)
    assert len(report.replaced) == 4
    assert report.model is model
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))


def test_where_names_the_caller():
    seen = []
    with pytest.warns(UserWarning, match="nothing was replaced"):
        ta.swap(Net(), {nn.ReLU: nn.ELU}, where=lambda name, m: seen.append((name, type(m))))
    assert set(seen) == {("block.relu", Block), ("block.relu_1", Block)}
    assert calls(ta.swap(Net(), {nn.ReLU: nn.ELU, nn.Tanh: nn.ELU}, where="*_1")) == [
        ("block.relu_1", "relu", "function")
    ]


@pytest.mark.parametrize(
    ("kind", "function", "old"),
    [
        (nn.ReLU, F.relu, "ReLU()"),
        (nn.ReLU, torch.relu, "ReLU()"),
        (nn.ReLU, lambda x: x.relu(), "ReLU()"),
        (nn.ReLU, lambda x: (x + 0).relu_(), "ReLU()"),
        (nn.ReLU, lambda x: F.relu(x + 0, inplace=True), "ReLU()"),
        (nn.ReLU, lambda x: F.relu(input=x), "ReLU()"),
        (nn.Tanh, lambda x: F.tanh(x), "Tanh()"),
        (nn.Tanh, torch.tanh, "Tanh()"),
        (nn.Sigmoid, torch.special.expit, "Sigmoid()"),
        (nn.Sigmoid, lambda x: F.sigmoid(x), "Sigmoid()"),
        (nn.GELU, lambda x: F.gelu(x, approximate="tanh"), "GELU(approximate='tanh')"),
        (nn.SiLU, F.silu, "SiLU()"),
        (nn.ELU, lambda x: F.elu(x, 0.5), "ELU(alpha=0.5)"),
        (nn.LeakyReLU, lambda x: F.leaky_relu(x, 0.3), "LeakyReLU(negative_slope=0.3)"),
        (
            nn.LeakyReLU,
            lambda x: F.leaky_relu(x, negative_slope=0.3),
            "LeakyReLU(negative_slope=0.3)",
        ),
        (nn.Softplus, lambda x: F.softplus(x, 2.0), "Softplus(beta=2.0, threshold=20.0)"),
        (nn.Mish, F.mish, "Mish()"),
        (nn.ReLU6, F.relu6, "ReLU6()"),
    ],
)
def test_every_spelling(kind, function, old):
    class Model(nn.Module):
        def forward(self, x):
            return function(x)

    seen, x = [], torch.randn(3, 4)

    def factory(module):
        seen.append(module)
        return nn.Hardtanh()

    report = ta.swap(Model(), {kind: factory}, example=x)
    assert [repr(m) for m in seen] == [old]
    assert torch.equal(seen[0](x), function(x))
    assert torch.equal(report.model(x), F.hardtanh(x))


class InPlace(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x):
        x = x + 0
        if self.how == "result not used":
            x.relu_()
            return x
        if self.how == "argument used":
            y = x.relu_()
            return x + y
        if self.how == "an alias":
            x.data.relu_()
            return x
        if self.how == "a view":
            x.view(-1)[:2].relu_().sum()
            return x
        y = torch.empty_like(x)
        torch.tanh(x, out=y)
        return y


@pytest.mark.parametrize("how", ["result not used", "argument used", "an alias", "a view", "out"])
def test_what_is_read_after_it_was_written_is_listed(how):
    model, x = InPlace(how), torch.randn(3, 4)
    report = ta.swap(model, {nn.ReLU: nn.ELU, nn.Tanh: nn.ELU})
    assert not report.replaced
    assert len(report.unreplaced) == 1
    assert "in place" in report.unreplaced[0].reason
    assert report.model is model
    assert torch.equal(model(x), InPlace(how)(x))


class Dropped(nn.Module):
    def forward(self, x):
        return F.dropout(F.dropout(F.relu(x), 0.5, self.training), 0.2)


def test_dropout_follows_the_mode():
    model = Dropped().eval()
    report = ta.swap(model, {nn.ReLU: nn.ReLU6})
    x = torch.rand(40, 40) + 1
    assert 0.1 < (report.model(x) == 0).float().mean() < 0.3  # the one that is always on
    report.model.train()
    assert (report.model(x) == 0).float().mean() > 0.5


def test_the_mode_is_kept_and_reaches_the_calls():
    model = Net().eval()
    report = ta.swap(model, {nn.ReLU: nn.ELU}, example=torch.randn(2, 3))
    assert not any(m.training for m in report.model.modules())
    report.model.train()
    report.undo()
    report = ta.swap(model.train(), {nn.ReLU: nn.ELU}, example=torch.randn(2, 3))
    assert all(m.training for m in report.model.modules())


def test_a_subclass_is_not_replaced_from_inside():
    class Mine(nn.ReLU):
        def forward(self, x):
            return 2 * F.relu(x)

    model = nn.Sequential(Mine(), Block())
    report = ta.swap(model, {nn.ReLU: nn.ELU})
    assert [u.name for u in report.unreplaced] == ["0"]
    assert [r.name for r in report.replaced] == ["1.relu", "1.relu_1"]
    assert type(report.model[0] if isinstance(report.model, nn.Sequential) else model[0]) is Mine


def test_an_error_about_a_call_changes_nothing():
    model = Net()
    before = list(model.modules())
    with pytest.raises(ValueError, match=r"relu \(relu\): its forward does not say"):
        ta.swap(Dropped(), {nn.ReLU: "kaf"})
    with pytest.raises(TypeError, match=r"block.relu \(relu\): the function must return"):
        ta.swap(model, {nn.Tanh: nn.ELU, nn.ReLU: lambda _: None})
    assert all(a is b for a, b in zip(model.modules(), before, strict=True))
