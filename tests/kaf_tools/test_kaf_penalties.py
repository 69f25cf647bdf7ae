"""Penalties and parameter groups."""

import pytest
import torch
from support.kaf import kappas

import triton_acts as ta
from triton_acts import kaf_tools


def layers():
    one, two = ta.KAF(3, grid=(-1, 2)), ta.KAF(1, 5, gamma=0.7)
    return one, two, torch.nn.Sequential(one, torch.nn.Linear(2, 2), two, one)


def bend_integral(kaf):
    """sum_c of the integral of g''^2, by quadrature in float64."""
    s = torch.linspace(-15, 15, 60001, dtype=torch.float64)
    kappa, away = kappas(s, kaf.dictionary)
    gamma = kaf.dictionary.gamma
    bend = (4 * gamma**2 * away**2 - 2 * gamma) * kappa @ kaf.alpha.detach().double().T
    return torch.trapezoid(bend.square(), s, dim=0).sum().item()


def test_values():
    one, two, model = layers()
    for tool, of_one in (
        (kaf_tools.l1, lambda kaf: kaf.alpha.abs().sum().item()),
        (kaf_tools.l2, lambda kaf: kaf.alpha.square().sum().item()),
        (kaf_tools.smoothness, bend_integral),
    ):
        for kaf in (one, two):
            assert tool(kaf).item() == pytest.approx(of_one(kaf), rel=1e-5)
            assert tool(kaf).dtype is torch.float32
        total = of_one(one) + of_one(two)  # a shared layer once
        assert tool(model).item() == pytest.approx(total, rel=1e-5)


def test_gradients():
    kaf = ta.KAF(2, 6, dtype=torch.float64)

    def penalty(alpha, tool):
        twin = kaf.with_dictionary(alpha, (-3, 3))
        del twin.alpha
        twin.alpha = alpha
        return tool(twin)

    for tool in (kaf_tools.l1, kaf_tools.l2, kaf_tools.smoothness):
        alpha = kaf.alpha.detach().clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda a, tool=tool: penalty(a, tool), (alpha,))


def test_a_fit_of_many_large_weights_has_its_small_roughness():
    kaf = ta.KAF(1, 40, gamma=1.0, init=torch.tanh, eps=1e-12)
    assert kaf.alpha.abs().max() > 100
    exact = bend_integral(kaf)
    assert kaf_tools.smoothness(kaf).item() == pytest.approx(exact, rel=1e-4)


def test_penalties_need_a_layer():
    for tool in (kaf_tools.l1, kaf_tools.l2, kaf_tools.smoothness):
        with pytest.raises(ValueError, match="Linear has no KAF layer"):
            tool(torch.nn.Linear(2, 2))
        with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got Tensor"):
            tool(torch.ones(2))


def test_groups():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(4, 4)
            self.tied = torch.nn.Linear(4, 4, bias=False)
            self.tied.weight = self.linear.weight
            self.norm = torch.nn.LayerNorm((3, 4))
            self.batch = torch.nn.BatchNorm2d(3)
            self.slope = ta.PenalizedTanh(num_parameters=4)
            self.kaf = ta.KAF(4)
            self.shared = self.kaf
            self.still = torch.nn.Parameter(torch.ones(2, 2), requires_grad=False)

    model = Model()
    groups = kaf_tools.param_groups(model, 0.1)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    names = {id(p): name for name, p in model.named_parameters()}
    decayed, kept = ([names[id(p)] for p in group["params"]] for group in groups)
    assert sorted(decayed) == ["linear.weight", "still"]
    assert "kaf.alpha" in kept
    assert sorted(decayed + kept) == sorted(names.values())
    torch.optim.AdamW(groups, lr=1e-3)  # which refuses a parameter that comes twice
    plain = kaf_tools.param_groups(torch.nn.Linear(2, 2), 0)
    assert [len(group["params"]) for group in plain] == [1, 1]


def test_decay_leaves_alpha_alone():
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), ta.KAF(3))
    before = model[1].alpha.detach().clone()
    weight = model[0].weight.detach().clone()
    optimizer = torch.optim.AdamW(kaf_tools.param_groups(model, 0.5), lr=0.1)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.equal(model[1].alpha, before)
    assert not torch.equal(model[0].weight, weight)


def test_wrong_groups():
    with pytest.raises(ValueError, match=r"weight_decay must be at least 0, got -0\.1"):
        kaf_tools.param_groups(ta.KAF(2), -0.1)
    with pytest.raises(TypeError, match="weight_decay must be a real number, got None"):
        kaf_tools.param_groups(ta.KAF(2), None)
    with pytest.raises(TypeError, match=r"must be a torch\.nn\.Module, got list"):
        kaf_tools.param_groups([], 0.1)
