"""The plain definitions: against formulas written out here, and against what others got wrong."""

import math

import pytest
import torch
from support import activations, ulp

from triton_acts import penalized_tanh, scaled_sigmoid
from triton_acts.pointwise import ALL
from triton_acts.pointwise._penalized_tanh import PENALIZED_TANH
from triton_acts.pointwise._scaled_sigmoid import SCALED_SIGMOID

DTYPES = [torch.float16, torch.bfloat16, torch.float32]
POINTS = [-50.0, -9.0, -3.0, -1.0, -0.3, -1e-3, -1e-9, 0.0, 1e-9, 1e-3, 0.4, 1.0, 2.5, 9.0, 50.0]


def sech2(x):
    """1 / cosh(x)^2, exact in the tails."""
    e = math.exp(-2 * abs(x))
    return 4 * e / (1 + e) ** 2


def test_scaled_sigmoid():
    for scale, bias in SCALED_SIGMOID.examples:
        for p in POINTS:
            x = torch.tensor(p, dtype=torch.float64)
            expected = scale / (1 + math.exp(-p)) + bias
            assert scaled_sigmoid(x, scale, bias).item() == pytest.approx(
                expected, rel=1e-13, abs=1e-15
            )
            slope = SCALED_SIGMOID.derivative(x, scale, bias).item()
            assert slope == pytest.approx(scale * sech2(p / 2) / 4, rel=1e-13)
            y = scaled_sigmoid(x, scale, bias)
            from_output = SCALED_SIGMOID.derivative_from_output(y, scale, bias).item()
            assert from_output == pytest.approx(slope, abs=1e-14 * scale)


def test_penalized_tanh():
    for (a,) in PENALIZED_TANH.examples:
        for p in POINTS:
            x = torch.tensor(p, dtype=torch.float64)
            expected = math.tanh(p) * (1 if p > 0 else a)
            assert penalized_tanh(x, a).item() == pytest.approx(expected, rel=1e-14)
            slope = PENALIZED_TANH.derivative(x, a).item()
            assert slope == pytest.approx(sech2(p) * (1 if p > 0 else a), rel=1e-13)
            if a > 0:
                y = penalized_tanh(x, a)
                from_output = PENALIZED_TANH.derivative_from_output(y, a).item()
                assert from_output == pytest.approx(slope, abs=1e-14)


def test_defaults():
    """4 sigmoid(x) - 2 and a = 0.25; zero-centred for every scale."""
    x = torch.linspace(-6, 6, 101, dtype=torch.float64)
    torch.testing.assert_close(scaled_sigmoid(x), 4 * torch.sigmoid(x) - 2)
    torch.testing.assert_close(scaled_sigmoid(x, 3), 3 * torch.sigmoid(x) - 1.5)
    torch.testing.assert_close(penalized_tanh(x), torch.where(x > 0, x.tanh(), 0.25 * x.tanh()))


WRONG = {
    "branches swapped": lambda x, a=0.25: torch.where(x > 0, a * torch.tanh(x), torch.tanh(x)),
    "divided by a": lambda x, a=0.25: torch.where(x > 0, torch.tanh(x), torch.tanh(x) / a),
    "minus a tanh^2": lambda x, a=0.25: torch.tanh(x) - a * torch.tanh(x) ** 2,
    "max, for a beyond [0, 1]": lambda x, a=0.25: torch.maximum(torch.tanh(x), a * torch.tanh(x)),
    "default of 2": lambda x, a=2.0: torch.where(x > 0, torch.tanh(x), a * torch.tanh(x)),
    "default of 4": lambda x, a=4.0: torch.where(x > 0, torch.tanh(x), a * torch.tanh(x)),
}


@pytest.mark.parametrize("name", WRONG)
def test_is_not_what_others_ship(name):
    """Six ways in which public implementations of penalized tanh are wrong."""
    x = torch.linspace(-3, 3, 31, dtype=torch.float64)
    calls = ((), (2.0,), (-0.5,))
    assert any(
        not torch.allclose(penalized_tanh(x, *a), WRONG[name](x, *a), atol=1e-3) for a in calls
    )


def test_derivative_from_output_is_a_minus_y2_over_a():
    """`a (1 - y^2)`, as others have it, is wrong on the negative side."""
    x = torch.tensor([-0.7], dtype=torch.float64)
    y = penalized_tanh(x, 0.25)
    right = PENALIZED_TANH.derivative(x, 0.25)
    torch.testing.assert_close(PENALIZED_TANH.derivative_from_output(y, 0.25), right)
    assert not torch.allclose(0.25 * (1 - y * y), right, rtol=1e-2)


def test_derivative_at_zero_is_the_negative_sides():
    for zero in (0.0, -0.0):
        x = torch.tensor(zero, requires_grad=True)
        penalized_tanh(x, 0.25).backward()
        assert x.grad.item() == 0.25


EAGER = {
    "scaled_sigmoid": lambda x, scale, bias: (
        scale / 2 * torch.tanh(x / 2) if bias == -scale / 2 else scale * torch.sigmoid(x) + bias
    ),
    "penalized_tanh": lambda x, a: torch.where(x > 0, torch.tanh(x), a * torch.tanh(x)),
}


def value_and_slope(f, x):
    """y and dy/dx by autograd, as float64."""
    v = x.clone().requires_grad_()
    y = f(v)
    (dx,) = torch.autograd.grad(y.sum(), v)
    return y.detach().double(), dx.double()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(("op", "params"), activations.cases(ALL))
def test_never_worse_than_eager_and_one_rounding(op, params, dtype):
    """Forward and backward of the composite, in ULP against float64, beside the eager spelling.

    Eager's derivative 1 - t^2 has no relative accuracy in saturation: both are compared in ULP of
    the largest slope.
    """
    eager = EAGER.get(op.name, op.composite)
    x = ulp.all_values(dtype) if dtype.itemsize == 2 else ulp.sweep(512, -60, 7)
    reference, slopes = op.composite(x.double(), *params), op.derivative(x.double(), *params)
    floor = activations.floor(op, params)
    unit = torch.finfo(dtype).eps * slopes.abs().max().item() or 1.0
    ours = value_and_slope(lambda v: op.composite(v, *params), x)
    theirs = value_and_slope(lambda v: eager(v, *params), x)
    worst = [ulp.error(y, reference, dtype, floor).max() for y, _ in (ours, theirs)]
    assert worst[0] <= worst[1] + 0.5
    worst = [(dx - slopes).abs().max().item() / unit for _, dx in (ours, theirs)]
    assert worst[0] <= worst[1] + 0.5


@pytest.mark.parametrize("dtypes", [(d, w) for d in DTYPES for w in (d, torch.float32)], ids=str)
def test_learned_a_is_never_worse_than_eager(dtypes):
    """y, dx and da of the composite with a tensor a; da in float32 sums unless a has x's dtype."""
    dtype, weight = dtypes
    x, g = torch.randn(512, 64).mul(3).to(dtype), torch.randn(512, 64).to(dtype)
    a = torch.rand(64).to(weight)

    def gradients(f, dtype, weight):
        v, w = x.to(dtype).requires_grad_(), a.to(weight).requires_grad_()
        y = f(v, w)
        return (y, *torch.autograd.grad(y, (v, w), g.to(y.dtype)))

    def eager(v, w):
        return torch.where(v > 0, torch.tanh(v), w * torch.tanh(v))

    exact = gradients(eager, torch.float64, torch.float64)
    theirs = gradients(eager, dtype, weight)
    ours = gradients(penalized_tanh, dtype, weight)
    for mine, other, right in zip(ours, theirs, exact, strict=True):
        rounding = torch.finfo(mine.dtype).eps * right.abs().max()
        worst = [(t.double() - right).abs().max() for t in (mine, other)]
        assert worst[0] <= worst[1] + rounding
    assert [t.dtype for t in ours] == [dtype, dtype, weight]


@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_float64_derivatives(op):
    """First and second order against finite differences, and third by autograd of the second."""
    x = torch.randn(12, dtype=torch.float64, requires_grad=True)
    for params in op.examples:
        assert torch.autograd.gradcheck(lambda v: op.composite(v, *params), x)  # noqa: B023
        assert torch.autograd.gradgradcheck(lambda v: op.composite(v, *params), x)  # noqa: B023
        assert torch.autograd.gradcheck(lambda v: op.derivative(v, *params), x)  # noqa: B023
