"""Transforms with every parameter, and activations inside another function's backward."""

import pytest
import torch
from support import activations

from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply

OPS = pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)


@pytest.mark.composite
@OPS
def test_forward_inside_a_batched_backward(op, device):
    """A user's backward that calls an activation, under is_grads_batched."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return apply(op, g, op.defaults)

    x = torch.randn(3, device=device).requires_grad_()
    rows = torch.eye(3, device=device)
    (dx,) = torch.autograd.grad(Twice.apply(x), x, rows, is_grads_batched=True)
    expected = activations.forward(op, op.defaults, rows).float()
    torch.testing.assert_close(dx, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.composite
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@OPS
def test_transforms_with_every_parameter(op, grad, device):
    """jvp, vmap and grad for all examples, also where grad mode is off."""
    x = torch.randn(5, device=device)
    for params in op.examples:

        def f(v, params=params):
            return apply(op, v, params)

        slope = activations.slope(op, params, x).float()
        with torch.set_grad_enabled(grad):
            tangent = torch.func.jvp(f, (x,), (torch.ones_like(x),))[1]
            torch.testing.assert_close(tangent, slope, rtol=1e-5, atol=1e-6)
            gradient = torch.func.grad(lambda v, f=f: f(v).sum())(x)
            torch.testing.assert_close(gradient, slope, rtol=1e-5, atol=1e-6)
            expected = activations.forward(op, params, x).float()
            torch.testing.assert_close(torch.func.vmap(f)(x), expected, rtol=1e-5, atol=1e-6)
