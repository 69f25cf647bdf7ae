"""How tests call any pointwise activation and what they hold it against."""

import pytest
import torch

from triton_acts.pointwise._define import apply

PARAMETER_BOUNDED = {
    # With a bias that does not centre it, the curve is a sum that may cancel: the unit is then the
    # ULP of the largest of its terms.
    "scaled_sigmoid": lambda scale, bias: 0.0 if bias == -scale / 2 else max(abs(scale), abs(bias)),
}


def cases(ops):
    """(op, params) for the defaults and all further examples, each once, with ids."""
    return [
        pytest.param(op, params, id=f"{op.name}-{'_'.join(map(str, params))}")
        for op in ops
        for params in dict.fromkeys((op.defaults, *op.examples))
    ]


def floor(op, params):
    """What a result's unit is at least the ULP of."""
    return PARAMETER_BOUNDED.get(op.name, lambda *_: 0.0)(*params)


def forward(op, params, x):
    """The reference in float64: the plain definition."""
    return op.composite(x.double(), *params)


def slope(op, params, x):
    """The derivative's reference in float64, exact in the tails."""
    return op.derivative(x.double(), *params)


def gradient(op, params, x, g=None, save="input"):
    """dx by the road that x takes."""
    x = x.detach().requires_grad_()
    y = apply(op, x, params, save)
    (dx,) = torch.autograd.grad(y, x, torch.ones_like(y) if g is None else g)
    return dx
