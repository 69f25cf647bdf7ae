"""Xavier and Kaiming against torch's, with the gains of any activation."""

import math

import pytest
import torch
from torch import nn

import triton_acts as ta
from triton_acts import init

NAMES = ("xavier_normal_", "xavier_uniform_", "kaiming_normal_", "kaiming_uniform_")


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3), (2, 5, 3, 3)])
@pytest.mark.parametrize("name", NAMES)
def test_same_numbers_as_torch_for_relu(name, shape):
    ours, theirs = torch.empty(shape), torch.empty(shape)
    gain = {"nonlinearity": "relu"} if "kaiming" in name else {"gain": math.sqrt(2)}
    assert getattr(init, name)(ours, "relu", generator=torch.Generator().manual_seed(1)) is ours
    getattr(nn.init, name)(theirs, **gain, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["forward", "backward"])
def test_the_spread_is_that_of_the_gain(name, mode):
    weight = torch.empty(300, 100, dtype=torch.float64)
    kaiming = "kaiming" in name
    fan = (100 if mode == "forward" else 300) if kaiming else 200
    torch_mode = {"forward": "fan_in", "backward": "fan_out"}[mode] if kaiming else mode
    getattr(init, name)(
        weight,
        ta.PenalizedTanh(),
        mode=torch_mode,
        generator=torch.Generator().manual_seed(0),
    )
    expected = init.calculate_gain("penalized_tanh", mode) / math.sqrt(fan)
    assert weight.std().item() == pytest.approx(expected, rel=0.02)
    kurtosis = (weight**4).mean() / weight.square().mean() ** 2
    assert kurtosis.item() == pytest.approx(1.8 if "uniform" in name else 3, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_of_any_dtype_in_place_and_without_autograd(name):
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        weight = nn.Parameter(torch.zeros(8, 8, dtype=dtype))
        where = weight.data_ptr()
        assert getattr(init, name)(weight, "tanh") is weight
        assert weight.data_ptr() == where
        assert weight.ne(0).any()
        assert weight.is_leaf
        assert weight.requires_grad
        assert weight.grad is None


@pytest.mark.parametrize("name", NAMES)
def test_arguments_that_do_not_fit_change_nothing(name):
    fill, weight = getattr(init, name), torch.zeros(3, 3)
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        fill(torch.zeros(3), "relu")
    with pytest.raises(TypeError, match=r"floating torch.Tensor, got torch.int64"):
        fill(torch.zeros(3, 3, dtype=torch.int64), "relu")
    with pytest.raises(TypeError, match="got list"):
        fill([[1.0]], "relu")
    with pytest.raises(TypeError, match=r"must be a name, a function or a module, got 1\.5"):
        fill(weight, 1.5)
    with pytest.raises(ValueError, match="mode must be one of"):
        fill(weight, "relu", mode="fan" if "kaiming" in name else "fan_in")
    assert weight.eq(0).all()
    assert fill(torch.empty(0, 4), "relu").shape == (0, 4)


def _gradient_ratio(fill):
    """Norms of the gradients of the first and last pre-activations of a 33-layer network."""
    torch.manual_seed(0)
    layers = [nn.Linear(128, 128) for _ in range(33)]
    for layer in layers:
        fill(layer.weight)
        nn.init.zeros_(layer.bias)
    x = torch.randn(64, 128)
    for layer in layers[:-1]:
        x = ta.penalized_tanh(layer(x))
    y = layers[-1](x)
    y.backward(torch.randn_like(y))
    return (layers[0].bias.grad.norm() / layers[-1].bias.grad.norm()).item()


def test_penalized_tanh_trains_deep_with_its_gain_and_not_without():
    assert _gradient_ratio(nn.init.xavier_normal_) < 1e-3
    ours = _gradient_ratio(lambda weight: init.xavier_normal_(weight, "penalized_tanh"))
    assert 0.1 < ours < 20
