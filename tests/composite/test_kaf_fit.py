"""Initial weights of KAF: ridge fits, and the spread that keeps the variance of gradients."""

import math

import numpy as np
import pytest
import torch

from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._fit import ridge, unit_gradient_std
from triton_acts.dictionary._gridding import Grid


def grid(lo=-3.0, hi=3.0, num_nodes=20, rule=6.0):
    """A dictionary with gamma = 1 / (rule delta^2)."""
    delta = (hi - lo) / (num_nodes - 1)
    return Grid(lo, hi, num_nodes, 1 / (rule * delta**2))


GRIDS = [grid(), grid(rule=8.0), grid(-1.0, 4.0, 7, 1.0), grid(num_nodes=2), grid(2.0, 9.0, 33)]


def kernel_matrix(g):
    d = np.array([g.node(i) for i in range(g.num_nodes)])
    return d, np.exp(-g.gamma * np.subtract.outer(d, d) ** 2)


@pytest.mark.parametrize("g", GRIDS, ids=str)
@pytest.mark.parametrize("eps", [1e-4, 0.5])
def test_ridge_solves_its_equations(g, eps):
    alpha = ridge(g, torch.nn.functional.elu, eps)
    assert (alpha.dtype, alpha.shape) == (torch.float64, (g.num_nodes,))
    d, kernel = kernel_matrix(g)
    left = (kernel + eps * np.eye(len(d))) @ alpha.numpy()
    np.testing.assert_allclose(left, np.where(d > 0, d, np.expm1(d)), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("rule", "largest"), [(6, 42), (8, 705)])
def test_largest_weights(rule, largest):
    """Those that the documentation warns of."""
    alpha = ridge(grid(rule=rule), torch.nn.functional.elu, 1e-6)
    assert alpha.abs().max().item() == pytest.approx(largest, rel=0.02)


def test_a_fit_computes_the_function():
    x = torch.linspace(-2.5, 2.5, 101, dtype=torch.float64)
    for function in (torch.tanh, torch.nn.functional.silu, torch.nn.functional.elu):
        y = definition(x, ridge(grid(), function, 1e-6)[None], grid())
        torch.testing.assert_close(y, function(x), rtol=0, atol=0.02)


def test_without_a_penalty_a_fit_goes_through_the_nodes():
    d = torch.tensor(kernel_matrix(grid())[0])
    y = definition(d, ridge(grid(), torch.sin, 0)[None], grid())
    torch.testing.assert_close(y, d.sin(), rtol=0, atol=1e-9)


def test_the_function_gets_float64_on_the_cpu():
    seen = []

    def in_place(s):
        seen.append((s.dtype, s.device.type, tuple(s.shape), torch.is_grad_enabled()))
        return s.relu_()

    expected = ridge(grid(), torch.relu, 1e-4)
    with torch.device("meta"):
        assert torch.equal(ridge(grid(), in_place, 1e-4), expected)
    assert seen == [(torch.float64, "cpu", (20,), False)]
    with_weights = ridge(grid(), torch.nn.PReLU(init=0.0, dtype=torch.float64), 1e-4)
    assert not with_weights.requires_grad
    assert torch.equal(with_weights, expected)
    assert ridge(grid(), lambda s: s.float(), 1e-4).dtype is torch.float64


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (torch.log, r"must be finite at the nodes, got \[nan, .* at \[-3\.0, "),
        (lambda s: 1 / (s - s[3]), r"got \[inf\] at \[-2\.05"),
        (lambda s: s[1:], r"of its argument's shape \(20,\), got one of shape \(19,\)"),
        (torch.sum, r"got one of shape \(\)"),
        (lambda s: s.tolist(), r"must return a tensor .*, got \[-3\.0"),
        (lambda s: None, "got None"),
    ],
)
def test_functions_that_cannot_be_fitted(function, message):
    with pytest.raises(ValueError, match=message):
        ridge(grid(), function, 1e-4)


def test_eps():
    for wrong in (-1e-9, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"eps must be .*{wrong}"):
            ridge(grid(), torch.tanh, wrong)
    for wrong in ("1", None, True, torch.tensor(1.0)):
        with pytest.raises(TypeError, match="eps must be a real number"):
            ridge(grid(), torch.tanh, wrong)


def test_gaussians_that_cannot_be_told_apart():
    wide = Grid(-3.0, 3.0, 20, 1e-9)
    with pytest.raises(ValueError, match=r"gamma=1e-09.*cannot be told apart.*eps=0\.0"):
        ridge(wide, torch.tanh, 0.0)
    assert ridge(wide, torch.tanh, 1e-4).isfinite().all()


@pytest.mark.parametrize("g", GRIDS, ids=str)
def test_unit_gradient_std(g):
    """Against quadrature of the derivative that autograd finds."""
    x = torch.linspace(-12, 12, 24001, dtype=torch.float64)
    spread = x[:, None].repeat(1, g.num_nodes).requires_grad_()
    each = definition(spread, torch.eye(g.num_nodes, dtype=torch.float64), g)
    (slopes,) = torch.autograd.grad(each.sum(), spread)  # [x, node]
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    expected = torch.trapezoid(slopes.square().sum(1) * density, x).item()
    assert unit_gradient_std(g) ** 2 * expected == pytest.approx(1, rel=1e-9)


def test_unit_gradient_std_of_the_defaults():
    assert unit_gradient_std(grid()) == pytest.approx(0.44, abs=0.005)


def test_a_grid_that_no_input_reaches():
    for far in (Grid(100.0, 101.0, 20, 60.0), Grid(21.0, 22.0, 20, 60.0)):
        with pytest.raises(ValueError, match=f"do not reach the grid from {far.lo} to {far.hi}"):
            unit_gradient_std(far)
