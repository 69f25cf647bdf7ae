"""Smaller dictionaries, and what they cost."""

import math

import pytest
import torch
from support.kaf import kappas
from support.kaf_models import Net, batch

import triton_acts as ta
from triton_acts import kaf_tools

ELU = torch.nn.functional.elu


def difference(one, two):
    """The largest, on numbers of its own."""
    s = torch.linspace(-12, 12, 24001, dtype=torch.float64)
    y = [kappas(s, k.dictionary)[0] @ k.alpha.detach().double().T for k in (one, two)]
    return (y[0] - y[1]).abs().max().item()


@pytest.mark.parametrize(
    ("kaf", "num_nodes", "bound"),
    [
        (lambda: ta.KAF(3, init=ELU), 32, 1e-4),
        (lambda: ta.KAF(3, init=ELU), 16, 0.05),
        (lambda: ta.KAF(1, 12, grid=(-1, 4), channel_dim=-1), 9, 0.4),
        (lambda: ta.KAF(4, dtype=torch.float64), 40, 1e-6),
        (lambda: ta.KAF(2, 2), 20, 0.01),
        (lambda: ta.KAF(2, 20), 2, 10),
        (lambda: ta.KAF(2, 256), 96, 3),
    ],
)
def test_refit(kaf, num_nodes, bound):
    kaf = kaf()
    before = {k: v.clone() for k, v in kaf.state_dict().items()}
    other, error = kaf_tools.refit(kaf, num_nodes)
    assert error == pytest.approx(difference(kaf, other), rel=0.02, abs=1e-9)
    assert error < bound
    assert other.alpha.shape == (kaf.alpha.shape[0], num_nodes)
    assert (other.alpha.dtype, other.channel_dim) == (kaf.alpha.dtype, kaf.channel_dim)
    assert all(torch.equal(v, before[k]) for k, v in kaf.state_dict().items())
    x = torch.linspace(-5, 5, 60).view(15, 4).to(kaf.alpha.dtype)[:, : kaf.alpha.shape[0]]
    torch.testing.assert_close(other(x), kaf(x), rtol=0, atol=error + 1e-4)


def test_refit_on_a_given_dictionary():
    kaf = ta.KAF(2, init=torch.tanh)
    other, error = kaf_tools.refit(kaf, 30, grid=(-4, 5), gamma=2.0)
    assert (other.grid.tolist(), other.gamma.item()) == ([-4, 5], 2)
    assert error == pytest.approx(difference(kaf, other), rel=0.02)
    assert other.init == "tanh"
    assert other.initial_weights().shape == (30,)
    _, free = kaf_tools.refit(kaf, 30)
    assert free < error


def test_prune_keeps_its_word():
    kaf = ta.KAF(3, init=torch.tanh)
    nodes = []
    for tol in (0.1, 0.01, 1e-3, 0):
        other, error = kaf_tools.prune(kaf, tol)
        assert error <= tol
        assert difference(kaf, other) <= tol * 1.02
        nodes.append(other.dictionary.num_nodes)
    assert nodes == sorted(nodes)
    assert nodes[0] < 12
    assert nodes[-1] == 20
    assert torch.equal(other.alpha, kaf.alpha)
    assert other is not kaf


@pytest.mark.parametrize("ends", [(0, 13), (5, 20), (4, 15)])
def test_prune_drops_ends_that_do_nothing(ends):
    kaf = ta.KAF(2, gamma=1 / 1.5**2)
    first, last = ends
    with torch.no_grad():
        kaf.alpha[:, :first] = kaf.alpha[:, last:] = 0
        kaf.alpha[:, first:last] *= torch.tensor([1.0, -1.0]).repeat(10)[: last - first]
    other, error = kaf_tools.prune(kaf, 1e-5)
    assert other.dictionary.num_nodes <= last - first
    assert error <= 1e-5
    small = ta.KAF(2, 5, init="zeros")
    other, error = kaf_tools.prune(small, 0.0)
    assert (other.dictionary.num_nodes, error) == (2, 0)


def test_wrong_arguments_of_both():
    kaf = ta.KAF(2)
    with pytest.raises(TypeError, match="refit: kaf must be a KAF layer, got Sequential"):
        kaf_tools.refit(torch.nn.Sequential(kaf), 5)
    with pytest.raises(ValueError, match="num_nodes must be at least 2, got 1"):
        kaf_tools.refit(kaf, 1)
    with pytest.raises(TypeError, match=r"num_nodes must be an int, got 5\.0"):
        kaf_tools.refit(kaf, 5.0)
    with pytest.raises(ValueError, match="increasing"):
        kaf_tools.refit(kaf, 5, grid=(1, 1))
    with pytest.raises(ValueError, match="gamma must be positive"):
        kaf_tools.refit(kaf, 5, gamma=-1)
    with pytest.raises(TypeError, match="prune: kaf must be a KAF layer, got ReLU"):
        kaf_tools.prune(torch.nn.ReLU(), 0.1)
    for tol, message in ((-1, "at least 0, got -1"), (math.nan, "finite .* nan")):
        with pytest.raises(ValueError, match=f"tol must be {message}"):
            kaf_tools.prune(kaf, tol)


def test_selection():
    model = Net().eval()
    x = batch(32)
    found = kaf_tools.select_nodes(model, x, tol=0.02)
    assert list(found) == ["first", "again", "idle"]
    assert found["again"].num_nodes < 12  # y = x needs no 12 nodes
    assert found["idle"].num_nodes == 20
    assert math.isnan(found["idle"].error)
    with torch.no_grad():
        old = model(x)
    for name, choice in found.items():
        kaf = choice.kaf
        assert choice.num_nodes == kaf.dictionary.num_nodes == kaf.alpha.shape[1]
        assert choice.grid == (kaf.dictionary.lo, kaf.dictionary.hi)
        assert choice.gamma == kaf.gamma.item()
        assert choice.error <= 0.02 or name == "idle"
        model.set_submodule(name, kaf)
    with torch.no_grad():
        away = model(x) - old
    assert away.square().mean().sqrt() < 0.05 * old.square().mean().sqrt()


def test_selection_is_tested_on_fresh_numbers():
    kaf = ta.KAF(3, init=torch.tanh)
    x = torch.randn(4000, 3)
    choice = kaf_tools.select_nodes(kaf, x, tol=0.01)[""]
    assert choice.num_nodes < 20
    fresh = torch.randn(4000, 3)
    y = kaf(fresh).double()
    error = (choice.kaf(fresh) - y).square().mean().sqrt() / y.square().mean().sqrt()
    assert error.item() == pytest.approx(choice.error, rel=0.5)
    strict = kaf_tools.select_nodes(kaf, x, tol=0)[""]
    assert (strict.num_nodes, strict.error) == (20, 0)
    assert torch.equal(strict.kaf.alpha, kaf.alpha)
    assert strict.kaf is not kaf
    loose = kaf_tools.select_nodes(kaf, x, tol=10, num_nodes=(9, 3), curvatures=[0.5])[""]
    assert loose.num_nodes == 3
    constant = kaf_tools.select_nodes(kaf, torch.ones(9, 3))[""]
    assert constant.num_nodes == 20


def test_wrong_selections():
    kaf, x = ta.KAF(2), torch.randn(5, 2)
    with pytest.raises(ValueError, match="tol must be at least 0, got -1"):
        kaf_tools.select_nodes(kaf, x, tol=-1)
    with pytest.raises(ValueError, match=r"num_nodes must be at least 2 each, got \[1, 4\]"):
        kaf_tools.select_nodes(kaf, x, num_nodes=(4, 1))
    with pytest.raises(TypeError, match=r"num_nodes must be an int, got 4\.0"):
        kaf_tools.select_nodes(kaf, x, num_nodes=[4.0])
    with pytest.raises(ValueError, match=r"curvatures must be positive, got \[0\.0\]"):
        kaf_tools.select_nodes(kaf, x, curvatures=[0])
    with pytest.raises(ValueError, match="layer '' gets NaN"):
        kaf_tools.select_nodes(kaf, x / 0)
