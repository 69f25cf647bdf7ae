"""What PyTorch offers around a model: optimisers, averages, parametrisations, quantisation."""

import copy
import warnings
from functools import partial

import pytest
import torch
from support.networks import CHANNELS, Net, activations, batch, gradients, pair
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.optim import swa_utils
from torch.testing import assert_close
from torch.testing._internal.common_optimizers import optim_db

import triton_acts as ta


def trained(net, make, steps=2):
    """The parameters after some steps of the optimiser that `make` builds of them."""
    x, target = (torch.linspace(-2, 2, 8 * CHANNELS).view(8, -1).sin().roll(r) for r in (0, 5))
    x, target = x.to(net.linears[0].weight), target.to(net.linears[0].weight)
    optimizer = make(net)

    def closure():
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(net(x), target)
        loss.backward()
        return loss

    first = closure().item()
    for _ in range(steps):
        optimizer.step(closure)
    return first, closure().item(), dict(net.named_parameters())


DENSE = [info for info in optim_db if not info.only_supports_sparse_grads]
IMPLEMENTATIONS = [
    (info, kind)
    for info in DENSE
    for kind in ("plain", "foreach", "fused")
    if kind == "plain"
    or (kind in info.supported_impls and (kind != "fused" or "cpu" in info.supports_fused_on))
]


def test_optimisers_are_found():
    kinds = {(info.optim_cls.__name__, kind) for info, kind in IMPLEMENTATIONS}
    for name in ("SGD", "Adam", "AdamW", "Adagrad"):
        assert {(name, kind) for kind in ("plain", "foreach", "fused")} <= kinds


@pytest.mark.parametrize(
    ("info", "kind"),
    IMPLEMENTATIONS,
    ids=[f"{info.optim_cls.__name__}-{kind}" for info, kind in IMPLEMENTATIONS],
)
def test_optimisers(info, kind):
    """All settings that PyTorch tests: the weights go where those of the plain formulas go."""
    matrices = info.optim_cls.__name__ == "Muon"  # takes nothing else
    flags = {} if kind == "plain" else {kind: True}
    if kind == "plain" and "foreach" in info.supported_impls:
        flags["foreach"] = False
    if info.step_requires_closure:
        flags["max_iter"] = 3  # of twenty, the last depend on how the first are rounded

    def make(net, **settings):
        chosen = [p for p in net.parameters() if p.dim() == 2 or not matrices]
        return info.optim_cls(chosen, **{**settings, **flags})

    for config in info.optim_inputs_func(device="cpu"):
        ours, plain = pair()
        begin = copy.deepcopy(ours.state_dict())
        _, _, found = trained(ours, partial(make, **config.kwargs))
        _, _, expected = trained(plain, partial(make, **config.kwargs))
        for name, p in found.items():
            assert_close(p, expected[name], rtol=1e-6, atol=1e-8, msg=f"{config.kwargs}: {name}")
        assert not torch.equal(found["layers.kaf.alpha"], begin["layers.kaf.alpha"])


def test_training_lowers_the_loss():
    for make in (torch.optim.AdamW, torch.optim.SGD):
        first, last, _ = trained(pair()[0], lambda net, m=make: m(net.parameters(), lr=0.02), 60)
        assert last < 0.5 * first


def test_clipped_gradients():
    ours, plain = pair()
    x = batch()
    for foreach in (False, True):
        norms = []
        for net in (ours, plain):
            gradients(net, x)
            norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.1, foreach=foreach))
        assert_close(*norms)
        assert norms[0] > 0.1
        assert nn.utils.get_total_norm([p.grad for p in ours.parameters()]).item() == pytest.approx(
            0.1, rel=1e-4
        )
        for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
            assert_close(a.grad, b.grad)


def test_moving_averages():
    """An average of weights and buffers, and its batch norms made anew, are the plain formulas'."""
    averages = []
    nets = [nn.Sequential(net, nn.BatchNorm1d(CHANNELS)).double() for net in pair()]
    data = [batch() for _ in range(3)]
    steps = [torch.randn_like(p) for p in nets[0].parameters()]
    for net in nets:
        average = swa_utils.AveragedModel(
            net, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True
        )
        for _ in range(3):
            average.update_parameters(net)
            with torch.no_grad():
                for p, step in zip(net.parameters(), steps, strict=True):
                    p.add_(step)
        swa_utils.update_bn(data, average)
        averages.append(average.eval())
    found, expected = (average(data[0]) for average in averages)
    assert_close(found, expected)
    assert not torch.allclose(found, nets[0].eval()(data[0]))
    for average in averages:
        copied = copy.deepcopy(average)
        assert torch.equal(copied(data[0]), average(data[0]))


class Bounded(nn.Module):
    """Keeps what it parametrises within -0.5 and 0.5."""

    def forward(self, w):
        return w.tanh() / 2

    def right_inverse(self, w):
        return (2 * w).clamp(-0.9, 0.9).atanh()


def reparametrised(how):
    """A network and its plain twin, both with the slopes a and alpha made of other parameters."""
    nets = pair()
    for net in nets:
        for layer, name in (("learned", "a"), ("kaf", "alpha")):
            how(net.layers[layer], name)
    return nets


REPARAMETRISATIONS = {
    "bounded": lambda m, n: parametrize.register_parametrization(m, n, Bounded()),
    "weight norm": lambda m, n: parametrizations.weight_norm(m, n, dim=None),
    "pruned": lambda m, n: prune.l1_unstructured(m, n, 0.3),
}


@pytest.mark.parametrize("how", REPARAMETRISATIONS.values(), ids=REPARAMETRISATIONS)
def test_reparametrised_weights(how):
    """a and alpha that are no parameters but made of some: values, gradients, steps and copies."""
    ours, plain = reparametrised(how)
    x = batch()
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in plain.named_parameters()]
    optimizers = [torch.optim.SGD(net.parameters(), 0.1, foreach=True) for net in (ours, plain)]
    for _ in range(2):
        found, expected = gradients(ours, x), gradients(plain, x)
        assert_close(found, expected)
        assert all(g.any() for g in found[1].values())
        for optimizer in optimizers:
            optimizer.step()
    other, _ = reparametrised(how)
    other.load_state_dict(ours.state_dict())
    assert torch.equal(other(x), ours(x))
    if how is not REPARAMETRISATIONS["pruned"]:  # whose weights are no leaves: torch refuses
        assert torch.equal(copy.deepcopy(ours)(x), ours(x))
    narrow = ours.to(torch.bfloat16)
    assert narrow(x.bfloat16()).dtype is torch.bfloat16


def test_made_permanent():
    """Removing a parametrisation leaves a module as if it had been built with the result."""
    ours, _ = reparametrised(REPARAMETRISATIONS["bounded"])
    x = batch()
    before = ours(x).detach()
    for layer, name in (("learned", "a"), ("kaf", "alpha")):
        parametrize.remove_parametrizations(ours.layers[layer], name)
    fresh = Net(activations()).double()
    fresh.load_state_dict(ours.state_dict())
    for net in (ours, fresh):
        assert torch.equal(net(x), before)
        assert type(net.layers["kaf"]) is ta.KAF


NEIGHBOURS = {
    "weight norm": parametrizations.weight_norm,
    "spectral norm": lambda m: parametrizations.spectral_norm(m).eval(),
    "orthogonal": parametrizations.orthogonal,
    "pruned": lambda m: prune.l1_unstructured(m, "weight", 0.4),
}


@pytest.mark.parametrize("how", NEIGHBOURS.values(), ids=NEIGHBOURS)
def test_reparametrised_neighbours(how):
    nets = pair()
    for net in nets:
        for linear in net.linears:
            torch.manual_seed(1)  # the spectral norm's first vectors
            how(linear)
    x = batch()
    assert_close(*(gradients(net, x) for net in nets))


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16], ids=str)
def test_dynamic_quantisation_of_the_linears(dtype):
    net = Net(activations()).eval()
    x = batch(torch.float32)
    expected = net(x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantised tensors are deprecated
        quantised = torch.ao.quantization.quantize_dynamic(net, {nn.Linear}, dtype=dtype)
        found = quantised(x)
    assert all("Quantized" in repr(linear) for linear in quantised.linears)
    assert [type(layer) for layer in quantised.layers.values()] == [
        type(layer) for layer in net.layers.values()
    ]
    error = (found - expected).abs().max()
    assert 0 < error < 0.1 * expected.abs().max()
