"""Layer-sequential unit variance: what it reaches, and what it does not touch."""

import copy

import pytest
import torch
from torch import nn

import triton_acts as ta
from triton_acts.init import lsuv_


def mlp(depth=4, width=16):
    layers = [m for _ in range(depth) for m in (nn.Linear(width, width), ta.PenalizedTanh())]
    return nn.Sequential(*layers)


def variances(model, *args):
    """Population variances of the outputs of every Linear and Conv layer, by a hook."""
    found = {}
    hooks = [
        m.register_forward_hook(lambda _m, _i, y, n=n: found.setdefault(n, []).append(y))
        for n, m in model.named_modules()
        if isinstance(m, (nn.Linear, nn.Conv2d))
    ]
    with torch.no_grad():
        model(*args)
    for hook in hooks:
        hook.remove()
    return {
        n: sum(y.double().var(correction=0).item() for y in ys) / len(ys) for n, ys in found.items()
    }


def x(rows=64, width=16, **options):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(3)).to(**options)


@pytest.mark.parametrize("orthogonal", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_every_layer_ends_with_variance_one(dtype, orthogonal):
    model = mlp().to(dtype)
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=0.02)
    batch = x(dtype=dtype)
    records = lsuv_(model, batch, orthogonal=orthogonal, tol=0.05)
    assert [r.name for r in records] == ["0", "2", "4", "6"]
    found = variances(model, batch)
    for r in records:
        assert found[r.name] == pytest.approx(1, abs=0.05)
        assert found[r.name] == pytest.approx(r.variance, rel=1e-9)
        assert r.factor == pytest.approx(r.before**-0.5, rel=0.02)
        assert (r.tries, r.note) == (int(abs(r.before - 1) > 0.05), "")
    assert any(r.tries for r in records)
    assert {p.dtype for p in model.parameters()} == {dtype}


def test_without_orthogonal_weights_keep_their_direction_and_biases_follow():
    model = mlp(2)
    before = copy.deepcopy(model)
    for record, layer, old in zip(
        lsuv_(model, x(), orthogonal=False), model[::2], before[::2], strict=True
    ):
        torch.testing.assert_close(layer.weight, old.weight * record.factor)
        torch.testing.assert_close(layer.bias, old.bias * record.factor)


def test_orthogonal_weights_stay_so_up_to_their_factor():
    model = mlp(2)
    for record, layer in zip(lsuv_(model, x()), model[::2], strict=True):
        product = layer.weight @ layer.weight.T / record.factor**2
        torch.testing.assert_close(product, torch.eye(16), rtol=0, atol=1e-5)
        assert layer.bias.eq(0).all()
    again = [mlp(1), mlp(1)]
    for one in again:
        lsuv_(one, x(), generator=torch.Generator().manual_seed(5))
    assert torch.equal(again[0][0].weight, again[1][0].weight)


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Linear(8, 4)  # registered first, called last
        self.conv = nn.Conv2d(3, 8, 3, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.5)
        self.unused = nn.Linear(2, 2)

    def forward(self, image, *, scale=1.0):
        y = torch.relu_(self.norm(self.conv(image * scale)))
        return self.last(self.drop(y.mean((2, 3))))


def test_only_weights_change():
    model = Conv()
    model.drop.eval()
    model.conv.weight.grad = torch.ones_like(model.conv.weight)
    buffers = {n: (b, b.clone()) for n, b in model.named_buffers()}
    unused, rng = model.unused.weight.detach().clone(), torch.get_rng_state()
    hooks = [len(m._forward_hooks) for m in model.modules()]
    images = torch.randn(8, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    records = lsuv_(model, images, generator=torch.Generator().manual_seed(0))
    assert [r.name for r in records] == ["conv", "last", "unused"]
    assert records[2].note == "left alone: the batch does not reach it"
    assert torch.equal(model.unused.weight, unused)
    assert torch.equal(torch.get_rng_state(), rng)
    for name, buffer in model.named_buffers():
        assert buffer is buffers[name][0]
        assert torch.equal(buffer, buffers[name][1])
    assert model.training
    assert not model.drop.training
    assert model.conv.weight.grad.eq(1).all()
    assert [len(m._forward_hooks) for m in model.modules()] == hooks
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_dropout_draws_the_same_masks_in_every_run():
    model = nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.5), nn.Linear(16, 16))
    torch.manual_seed(7)
    records = lsuv_(model, x(), tol=1e-4, generator=torch.Generator().manual_seed(0))
    assert [r.tries for r in records] == [1, 1]
    torch.manual_seed(7)
    assert variances(model, x())["2"] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "call", [lambda i: i, lambda i: (i,), lambda i: [i], lambda i: {"image": i, "scale": 2.0}]
)
def test_a_batch_is_what_the_model_is_called_with(call):
    model, images = Conv(), torch.randn(8, 3, 6, 6)
    lsuv_(model, call(images), tol=0.01)
    scale = 2.0 if isinstance(call(images), dict) else 1.0
    assert variances(model, images * scale)["conv"] == pytest.approx(1, abs=0.01)


def test_a_shared_layer_reaches_one_on_the_mean_of_its_uses():
    layer = nn.Linear(16, 16)
    model = nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), layer)
    (record,) = lsuv_(model, x(), tol=0.01)
    assert record.tries > 1
    assert variances(model, x())["0"] == pytest.approx(1, abs=0.01)


def test_a_missed_tolerance_is_reported():
    layer = nn.Linear(16, 16)
    (record,) = lsuv_(nn.Sequential(layer, nn.Tanh(), layer), x(), tol=1e-6, max_iter=1)
    assert record.tries == 1
    assert record.note == "not within 1e-06 of 1 after 1 tries"


def test_left_alone_and_reported():
    model = nn.Sequential(
        nn.Linear(16, 16), nn.utils.parametrizations.weight_norm(nn.Linear(16, 16))
    )
    model[0].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    records = lsuv_(model, x())
    assert [r.note for r in records] == [
        "left alone: its weight is frozen",
        "left alone: its weight is computed from others (a parametrization)",
    ]
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("batch", "arguments", "error", "message"),
    [
        (x(1) * 0, {}, ValueError, "output of layer '0' has variance 0.0 .*larger batch"),
        (x() * float("inf"), {}, ValueError, "output of layer '0' has variance nan"),
        (x(), {"tol": 0}, ValueError, "tol must be positive, got 0"),
        (x(), {"tol": "a"}, TypeError, "tol must be a real number"),
        (x(), {"max_iter": 0}, ValueError, "max_iter must be at least 1"),
        (x(), {"max_iter": 1.5}, TypeError, "max_iter must be an int"),
        (x(width=3), {}, RuntimeError, "shapes cannot be multiplied"),
    ],
)
def test_an_error_leaves_the_model_as_it_was(batch, arguments, error, message):
    model = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16, affine=False), nn.Linear(16, 2))
    if batch.shape[0] == 1:
        model[1].eval()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=message):
        lsuv_(model, batch, **arguments)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert not any(m._forward_hooks for m in model.modules())


def test_a_late_error_takes_back_the_layers_before_it():
    model = nn.Sequential(nn.Linear(16, 16), nn.Hardshrink(1e9), nn.Linear(16, 2))
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=r"output of layer '2' has variance 0\.0"):
        lsuv_(model, x())
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_in_front_of_a_normalisation_the_function_stays():
    model = nn.Sequential(nn.Linear(16, 16), nn.BatchNorm1d(16, eps=1e-12))
    expected = model(x())
    lsuv_(model, x(), orthogonal=False)
    torch.testing.assert_close(model(x()), expected)


def test_a_cache_that_the_forward_fills_is_empty_again():
    class Cached(torch.nn.Linear):
        def __init__(self):
            super().__init__(4, 4)
            self.register_buffer("cache", None)

        def forward(self, x):
            self.cache = x.detach()
            self.register_buffer("late", x.sum())
            return super().forward(x)

    model = Cached()
    lsuv_(model, torch.randn(8, 4))
    assert model.cache is None
    assert {*model.state_dict()} == {"weight", "bias"}
