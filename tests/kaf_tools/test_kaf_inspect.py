"""Coverage and summary of models with KAF layers."""

import copy
import math
import sys

import pytest
import torch
from support.kaf import kappas
from support.kaf_models import Net, batch, snapshot, unchanged

import triton_acts as ta
from triton_acts import kaf_tools
from triton_acts.dictionary import Grid


def share(x, lo, hi):
    return 1 - ((x >= lo) & (x <= hi)).double().mean().item()


def test_coverage_of_a_layer():
    x = torch.tensor([[-3.0, 3.0, 0.0, 3.0001], [-9.0, torch.inf, torch.nan, 1.0]])
    assert kaf_tools.coverage(ta.KAF(4), x) == {"": 4 / 8}
    assert kaf_tools.coverage(ta.KAF(1), x.bfloat16()) == {"": 3 / 8}  # 3.0001 is 3 there
    assert kaf_tools.coverage(ta.KAF(4, grid=(-9, 9)), x.double()) == {"": 2 / 8}
    assert math.isnan(kaf_tools.coverage(ta.KAF(4), x[:0])[""])


def test_coverage_of_every_layer_and_call():
    model = Net().eval()
    x = batch()
    found = kaf_tools.coverage(model, x)
    with torch.no_grad():
        first = model.norm(model.conv(x))
        once = model.linear(model.first(first).movedim(1, -1))
        twice = model.again(once)
    assert list(found) == ["first", "again", "idle"]
    assert found["first"] == pytest.approx(share(first, -3, 3), abs=1e-9)
    both = torch.cat((once, twice))
    assert 0.01 < found["again"] == pytest.approx(share(both, -0.5, 0.75), abs=1e-9)
    assert math.isnan(found["idle"])


def test_batches_are_arguments():
    model = Net().eval()
    x = batch()
    expected = kaf_tools.coverage(model, 3 * x)
    for given in ({"x": x, "scale": 3.0}, {"x": 3 * x}, (3 * x,), [3 * x]):
        assert repr(kaf_tools.coverage(model, given)) == repr(expected)


def test_a_layer_under_two_names_counts_once():
    kaf = ta.KAF(2)
    x = torch.tensor([[0.0, 5.0]])
    model = torch.nn.Sequential(kaf, torch.nn.Identity(), kaf)
    assert kaf_tools.coverage(model, x) == {"0": 1 / 4}


@pytest.mark.parametrize("training", [True, False])
def test_a_look_leaves_no_trace(training):
    model = Net().train(training)
    model.dropout.train()
    model(batch()).sum().backward()
    handle = model.first.register_forward_pre_hook(lambda module, args: None)
    before = snapshot(model)
    kaf_tools.coverage(model, batch())
    assert unchanged(model, before, but=("random",))
    x = batch()
    before = snapshot(model)
    kaf_tools.coverage(model, x)
    kaf_tools.summary(model, x)
    kaf_tools.select_nodes(model, x, num_nodes=[4])
    kaf_tools.plot(model.first, x, model=model)
    assert unchanged(model, before)
    handle.remove()


class Broken(Net):
    def forward(self, x):
        super().forward(x)
        raise RuntimeError("broken")


def test_a_look_leaves_no_trace_when_the_model_raises():
    model, x = Broken(), batch()
    before = snapshot(model)
    for tool in (kaf_tools.coverage, kaf_tools.calibrate, kaf_tools.select_nodes):
        with pytest.raises(RuntimeError, match="broken"):
            tool(model, x)
        assert unchanged(model, before)


def test_replaced_buffers_come_back():
    class Replaces(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.kaf = ta.KAF(1)
            self.register_buffer("mean", torch.zeros(()))

        def forward(self, x):
            self.mean = x.mean()
            return self.kaf(x)

    model = Replaces()
    before = snapshot(model)
    kaf_tools.coverage(model, torch.ones(3))
    assert unchanged(model, before)


def test_compiled_models_are_seen():
    model = Net().eval()
    x = batch()
    expected = kaf_tools.coverage(model, x)
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        compiled(x)  # traced before there are hooks
    found = kaf_tools.coverage(compiled, x)
    assert [*map(repr, found.values())] == [*map(repr, expected.values())]


def test_what_is_no_model_is_refused():
    for tool in (kaf_tools.coverage, kaf_tools.calibrate, kaf_tools.select_nodes):
        with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got dict"):
            tool({}, torch.ones(3))
        with pytest.raises(ValueError, match=r"Linear has no KAF layer"):
            tool(torch.nn.Linear(3, 3), torch.ones(3))
    with pytest.raises(ValueError, match="no KAF layer"):
        kaf_tools.summary(torch.nn.ReLU())


def test_summary():
    model = Net().double().eval()
    with torch.no_grad():
        model.first.alpha += torch.randn(3, 20)
    x = batch().double()
    table = kaf_tools.summary(model, x)
    assert table.index.name == "layer"
    assert table.index.tolist() == ["first", "again", "idle"]
    assert table["channels"].tolist() == [3, 1, 2]
    assert table["nodes"].tolist() == [20, 12, 20]
    assert table["lo"].tolist() == [-3, -0.5, -3]
    assert table["hi"].tolist() == [3, 0.75, 3]
    assert table["gamma"]["again"] == model.again.gamma.item()
    assert repr(table["coverage"].to_dict()) == repr(kaf_tools.coverage(model, x))
    assert kaf_tools.summary(model)["coverage"].isna().all()
    assert table["distance"]["again"] < 1e-6  # fitted in float32
    assert table["distance"]["first"] > 0.1
    assert math.isnan(table["distance"]["idle"])  # nobody knows the random weights any more


def test_roughness_and_distance_against_their_definitions():
    kaf = ta.KAF(3, 7, grid=(-1, 2), init=torch.tanh)
    with torch.no_grad():
        kaf.alpha += torch.randn(3, 7)
    row = kaf_tools.summary(kaf).loc[""]
    s = torch.linspace(-1, 2, 20001, dtype=torch.float64, requires_grad=True)
    kappa, _ = kappas(s, kaf.dictionary)
    squares = []
    for alpha in kaf.alpha.detach().double():
        (slope,) = torch.autograd.grad((kappa @ alpha).sum(), s, create_graph=True)
        (bend,) = torch.autograd.grad(slope.sum(), s)
        squares.append(torch.trapezoid(bend.square(), s).detach() / 3)
        kappa, _ = kappas(s, kaf.dictionary)
    assert row["roughness"] == pytest.approx(torch.stack(squares).mean().item(), rel=1e-6)
    fresh = ta.KAF(3, 7, grid=(-1, 2), init=torch.tanh)
    away = kappa @ (kaf.alpha - fresh.alpha).detach().double().T
    mean = torch.trapezoid(away.square(), s, dim=0).mean().item() / 3
    assert row["distance"] == pytest.approx(mean**0.5, rel=1e-5)


def test_distance_from_a_reference():
    model = torch.nn.Sequential(ta.KAF(3), torch.nn.Linear(3, 3), ta.KAF(3, 5))
    reference = copy.deepcopy(model.state_dict())
    assert kaf_tools.summary(model, reference=reference)["distance"].tolist() == [0, 0]
    with torch.no_grad():
        model[2].alpha *= 3
    distance = kaf_tools.summary(model, reference=reference)["distance"]
    assert distance["0"] == 0
    assert distance["2"] > 0.1
    model[0].load_state_dict(ta.KAF(3, init="zeros", boundary=1).state_dict())  # another grid
    assert kaf_tools.summary(model, reference=reference)["distance"]["0"] > 0.1
    with pytest.raises(ValueError, match=r"reference has no '0\.alpha'"):
        kaf_tools.summary(model, reference={})
    reference["0.alpha"] = torch.ones(2, 20)
    with pytest.raises(ValueError, match=r"0\.alpha in reference is \(2, 20\), .* 3 channels"):
        kaf_tools.summary(model, reference=reference)


@pytest.mark.parametrize("missing", ["pandas", "matplotlib"])
def test_a_missing_package_is_named(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    use = kaf_tools.summary if missing == "pandas" else kaf_tools.plot
    with pytest.raises(ImportError, match=rf"{missing} is not .* 'triton_acts\[tools\]'"):
        use(ta.KAF(2))


def test_another_default_device_is_none_of_theirs():
    model, x = Net().eval(), batch()
    with torch.device("meta"):
        kaf_tools.coverage(model, x)
        kaf_tools.summary(model, x)
        kaf_tools.calibrate(model, x)
        kaf_tools.select_nodes(model, x, num_nodes=[4])
        kaf_tools.prune(model.first, 0.1)
        kaf_tools.smoothness(model)
        kaf_tools.freeze(model.first)
        kaf_tools.plot(model.first)


def test_what_a_layer_says_of_itself():
    kaf = ta.KAF(2, 5, grid=(-1, 2), gamma=0.5, init=torch.tanh)
    assert kaf.dictionary == Grid(-1.0, 2.0, 5, 0.5)
    torch.testing.assert_close(kaf.initial_weights().float().expand(2, 5), kaf.alpha.detach())
    assert ta.KAF(2, 5).initial_weights() is None
    assert ta.KAF(2, 5, init="zeros").initial_weights().tolist() == [0] * 5
    kaf.load_state_dict(ta.KAF(2, 5, boundary=4).state_dict())
    assert kaf.dictionary.hi == 4
    twin = kaf.with_dictionary(torch.ones(3, 9), (0, 1), 7.0)
    assert twin.dictionary == Grid(0.0, 1.0, 9, 7.0)
    assert twin.alpha.eq(1).all()
    assert (twin.init, twin.eps, twin.channel_dim) == ("tanh", 1e-4, 1)
    assert twin.initial_weights().shape == (9,)
    kaf.eval().alpha.requires_grad_(False)
    kept = kaf.double().with_dictionary(torch.ones(3, 9), (0, 1))
    assert (kept.training, kept.alpha.requires_grad) == (False, False)
    assert kept.alpha.dtype is torch.float64
    for wrong in (torch.ones(3), None):
        with pytest.raises(ValueError, match=r"alpha must be a tensor of shape \[C, D\], got"):
            kaf.with_dictionary(wrong, (0, 1))
    with pytest.raises(ValueError, match="increasing"):
        kaf.with_dictionary(torch.ones(3, 9), (1, 0))
