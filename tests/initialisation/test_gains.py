"""Gains against closed forms, documented values and sums over random points."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import triton_acts as ta
from triton_acts.init import calculate_gain
from triton_acts.init._gain import NAMES
from triton_acts.init._quadrature import normal_mean

MODES = ("forward", "backward")


def both(activation):
    return [calculate_gain(activation, mode) for mode in MODES]


@pytest.mark.parametrize(
    ("activation", "forward", "backward"),
    [
        ("sigmoid", 1.846, 4.723),
        ("scaled_sigmoid", 1.2003, 1.1807),
        ("tanh", 1.5925, 1.4674),
        ("penalized_tanh", 2.1849, 2.0133),
        (nn.LeakyReLU(0.25), 1.372, 1.372),
    ],
    ids=str,
)
def test_documented_values(activation, forward, backward):
    digits = 1e-3 if activation == "sigmoid" else 1e-4
    assert both(activation) == pytest.approx([forward, backward], rel=digits)


@pytest.mark.parametrize(
    ("activation", "forward", "backward"),
    [
        ("linear", 1, 1),
        ("conv2d", 1, 1),
        (nn.Identity(), 1, 1),
        ("relu", math.sqrt(2), math.sqrt(2)),
        ("leaky_relu", math.sqrt(2 / 1.0001), math.sqrt(2 / 1.0001)),
        (nn.PReLU(3, 0.5), math.sqrt(1.6), math.sqrt(1.6)),
        ("sin", ((1 - math.exp(-2)) / 2) ** -0.5, ((1 + math.exp(-2)) / 2) ** -0.5),
        (torch.exp, math.exp(-1), math.exp(-1)),
        (lambda x: x**3, 15**-0.5, 27**-0.5),
        (torch.erf, (2 / math.pi * math.asin(2 / 3)) ** -0.5, (4 / math.pi / 5**0.5) ** -0.5),
    ],
)
def test_closed_forms(activation, forward, backward):
    assert both(activation) == pytest.approx([forward, backward], rel=1e-9)


def test_kinks_and_jumps_off_the_panels():
    """E relu(x - c)^2 = (1 + c^2) Q - c phi and E [x > c]^2 = Q."""
    c = 0.3
    tail, density = math.erfc(c / 2**0.5) / 2, math.exp(-c * c / 2) / math.sqrt(2 * math.pi)
    hinge = ((1 + c * c) * tail - c * density) ** -0.5
    assert both(lambda x: F.relu(x - c)) == pytest.approx([hinge, tail**-0.5], rel=1e-9)
    assert calculate_gain(lambda x: (x > c).double()) == pytest.approx(tail**-0.5, rel=1e-9)


def test_the_mean_is_that_of_the_normal_distribution():
    assert [normal_mean(lambda x, k=k: x**k) for k in (0, 2, 4, 6)] == pytest.approx([1, 1, 3, 15])


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_against_a_sum_over_points(name):
    p = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    x = torch.special.ndtri(p).requires_grad_()
    y = NAMES[name](x * 1)
    (slope,) = torch.autograd.grad(y.sum(), x)
    expected = [float(v.detach().square().mean() ** -0.5) for v in (y, slope)]
    assert both(name) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("channel_dim", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("mode", MODES)
def test_learned_slopes_are_averaged_over_channels(channel_dim, mode):
    module = ta.PenalizedTanh(num_parameters=3, channel_dim=channel_dim)
    slopes = (0.0, 0.5, -2.0)
    with torch.no_grad():
        module.a.copy_(torch.tensor(slopes))
    each = [calculate_gain(partial(ta.penalized_tanh, a=a), mode) ** -2 for a in slopes]
    assert calculate_gain(module, mode) == pytest.approx((sum(each) / 3) ** -0.5, rel=1e-9)


@pytest.mark.parametrize("mode", MODES)
def test_kaf_takes_the_weights_it_has(mode):
    fitted = ta.KAF(5, 40, boundary=8.0, init=torch.tanh, eps=1e-8)
    assert calculate_gain(fitted, mode) == pytest.approx(calculate_gain("tanh", mode), rel=1e-3)
    torch.manual_seed(0)
    drawn = ta.KAF(512, channel_dim=-1)
    assert calculate_gain(drawn, "backward") == pytest.approx(1, abs=0.05)  # as KAF promises


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_module_is_left_as_it_was(dtype):
    module = nn.Sequential(ta.PenalizedTanh(num_parameters=4), nn.RReLU(inplace=True)).to(dtype)
    module[0].a.grad = torch.ones_like(module[0].a)
    state, rng = copy.deepcopy(module.state_dict()), torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert both(module) == both(module)
    assert torch.equal(torch.get_rng_state(), rng)
    assert module.training
    assert module[1].training
    assert module[0].a.dtype == dtype
    assert module[0].a.grad.eq(1).all()
    torch.testing.assert_close(module.state_dict(), state, rtol=0, atol=0)


def test_a_class_is_called_and_a_function_may_need_float32():
    assert calculate_gain(nn.ReLU) == calculate_gain("relu")
    float32_only = _Float32Only()
    assert calculate_gain(float32_only) == pytest.approx(calculate_gain("tanh"), rel=1e-6)
    assert calculate_gain(float32_only, "backward") == pytest.approx(
        calculate_gain("tanh", "backward"), rel=1e-6
    )


class _Float32Only:
    def __call__(self, x):
        if x.dtype != torch.float32:
            raise RuntimeError("expected float32")
        return x.tanh()


def test_autocast_does_not_reach_a_function_that_needs_float32():
    def activation(x):
        return F.linear(x[..., None], torch.ones(1, 1)).squeeze(-1).tanh()

    with torch.autocast("cpu", torch.bfloat16):
        assert activation(torch.ones(1)).dtype == torch.bfloat16
        assert calculate_gain(activation) == pytest.approx(calculate_gain("tanh"), rel=1e-6)


def test_the_default_device_and_dtype_do_not_matter():
    expected = both(nn.PReLU())
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            assert both("tanh") == pytest.approx([1.5925, 1.4674], rel=1e-4)
    finally:
        torch.set_default_dtype(torch.float32)
    assert both(nn.PReLU()) == expected


def test_where_no_derivative_is_needed_none_is_asked_for():
    assert calculate_gain(lambda x: x.detach().tanh()) == calculate_gain("tanh")
    with torch.inference_mode():
        assert calculate_gain("tanh", "backward") == pytest.approx(1.4674, rel=1e-4)


@pytest.mark.parametrize(
    ("activation", "mode", "error", "message"),
    [
        ("rleu", "forward", ValueError, "unknown activation 'rleu'; allowed are .*relu"),
        ("leaky_relu", 0.2, ValueError, "mode must be one of .* got 0.2"),
        (3.0, "forward", TypeError, "must be a name, a function or a module, got 3.0"),
        (int, "forward", TypeError, "must be a name, a function or a module"),
        (ta.KAF, "forward", ValueError, "KAF needs arguments .*pass an instance"),
        (lambda x: x * 0, "forward", ValueError, "the value of <lambda> is 0"),
        (ta.KAF(2, init="zeros"), "forward", ValueError, "the value of KAF is 0"),
        (torch.sign, "backward", ValueError, "the derivative of sign is 0"),
        (torch.log, "forward", ValueError, "log is nan at x = -1"),
        (lambda x: 1 / x, "forward", ValueError, "does not converge near x = "),
        (lambda x: x.abs().sqrt(), "backward", ValueError, "does not converge near x = "),
        (lambda x: torch.exp(x * x / 4), "forward", ValueError, "does not converge: what is bey"),
        (lambda x: x.detach(), "backward", ValueError, 'no derivative .*mode="forward"'),
        (lambda x: x.softmax(0), "forward", ValueError, "mixes the elements"),
        (nn.Softmax(-1), "forward", ValueError, "mixes the elements"),
        (lambda x: x.flip(0), "backward", ValueError, "mixes the elements"),
        (lambda x: x.clamp(-1, 1).cumsum(1), "forward", ValueError, "mixes the elements"),
        (nn.LayerNorm(4), "forward", ValueError, "mixes the elements"),
        (nn.Linear(1, 1), "forward", ValueError, "Linear cannot be evaluated on a CPU tensor"),
        (torch.rand_like, "forward", ValueError, "mixes the elements of a tensor, or is random"),
        (lambda x: x[:1], "forward", ValueError, "must return a floating tensor of its arg"),
        (lambda x: x > 0, "forward", ValueError, "must return a floating tensor"),
        (lambda x: None, "forward", ValueError, "got None"),
        (nn.Linear(4, 4), "forward", ValueError, "mixes the elements"),
        (nn.Dropout(), "forward", ValueError, "holds Dropout"),
        (nn.Sequential(nn.BatchNorm1d(1), nn.ReLU()), "forward", ValueError, "holds BatchNorm1d"),
    ],
)
def test_what_has_no_gain_is_refused(activation, mode, error, message):
    with pytest.raises(error, match=message):
        calculate_gain(activation, mode)
