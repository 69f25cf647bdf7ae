"""Derivatives of the first three orders, for every subset of inputs that needs a gradient.

Float64 against finite differences; float32, by kernels where they run, against float64.
"""

import itertools

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

# What follows the activation decides how its gradient arrives.
AFTER = {
    "strided": lambda y: y.transpose(0, 1) * 1.5,
    "expanded": lambda y: y.sum(-1),
    "cat-sliced": lambda y: torch.cat([y, torch.ones_like(y), 2 * y], 1),
}
pytestmark = pytest.mark.parametrize("after", AFTER.values(), ids=AFTER.keys())


def subsets(subject):
    """Every choice of inputs that need a gradient, by their positions."""
    count = 1 + (subject.row is not None)
    return [c for n in range(1, count + 1) for c in itertools.combinations(range(count), n)]


def inputs(subject, dtype, device):
    """Values away from 0, where penalized tanh has a kink and finite differences fail."""
    x = torch.randn(2, 2, 3, dtype=torch.float64, device=device)
    x = x + 0.2 * x.sign()
    return [t.to(dtype) for t in (x, *subject.weights(2, torch.float64, device))]


def function_of(f, tensors, subset, after):
    """f of the tensors in the subset alone, and what follows."""

    def of_subset(*some):
        given = dict(zip(subset, some, strict=True))
        return after(f(*(given.get(i, t) for i, t in enumerate(tensors))))

    return of_subset


def test_finite_differences(subject, after, device):
    """gradcheck, gradgradcheck, and gradgradcheck of the gradient: the third order."""
    for subset in subsets(subject):
        tensors = inputs(subject, torch.float64, device)
        f = function_of(subject.call, tensors, subset, after)
        leaves = [tensors[i].requires_grad_() for i in subset]
        g = torch.randn_like(f(*leaves)).requires_grad_()

        def gradient(*leaves_and_g, f=f):
            *some, g = leaves_and_g
            y = f(*some).sin()  # without it, what is linear in a weight has no third order
            return torch.autograd.grad(y, some, g, create_graph=True)

        assert gradcheck(f, leaves, fast_mode=subject.row is not None)
        assert gradgradcheck(f, leaves, fast_mode=True)
        assert gradgradcheck(gradient, (*leaves, g), fast_mode=True)


def orders(f, leaves, g, along):
    """f, and its gradient and the gradients of two further derivatives along fixed directions."""
    y = f(*leaves)
    found, total = [y], (y * g).sum()
    for _ in range(3):
        if total.requires_grad:
            slopes = torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True)
        else:  # linear in a weight
            slopes = [torch.zeros_like(t) for t in leaves]
        found += slopes
        total = sum((d * a).sum() for d, a in zip(slopes, along, strict=True))
    return found


def test_float32(subject, after, device, launches, runs_kernels):
    """The first order by kernels, and three orders with create_graph, equal float64's."""
    for subset in subsets(subject):
        tensors = [t.float() for t in inputs(subject, torch.float64, device)]
        wide = [t.double() for t in tensors]
        f = function_of(subject.call, tensors, subset, after)
        leaves = [tensors[i].requires_grad_() for i in subset]
        along = [torch.randn_like(t) for t in leaves]
        launches.clear()
        y = f(*leaves)
        g = torch.randn_like(y)
        first = torch.autograd.grad(y, leaves, g)
        assert (len(launches) >= 2) == runs_kernels
        found = orders(f, leaves, g, along)
        right = orders(
            function_of(subject.formula, wide, subset, after),
            [wide[i].requires_grad_() for i in subset],
            g.double(),
            [a.double() for a in along],
        )
        pairs = zip([*first, *found], [*right[1 : 1 + len(first)], *right], strict=True)
        for value, reference in pairs:
            scale = 1 + reference.abs().max().item()
            torch.testing.assert_close(value.double(), reference, rtol=1e-4, atol=1e-5 * scale)
