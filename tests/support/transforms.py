"""Ways to get a value and its gradients out of PyTorch, and the reference that needs none of them.

A way takes a function f, its leaves (x, *weights) and the output's gradient g, and returns
(y, *gradients) of the leaves.
"""

from __future__ import annotations

from functools import partial

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from .gradients import evaluate as eager

__all__ = ["PLAIN", "TRANSFORMS", "close", "eager", "inputs", "reference"]


def inputs(subject, device, shape=(3, 4)):
    """(x, *weights) and g in float32."""
    weights = subject.weights(shape[subject.channel_dim], device=device)
    leaves = (2 * torch.randn(shape, device=device), *weights)
    return leaves, torch.randn(shape, device=device)


def reference(subject, leaves, g):
    """(y, *gradients) of the plain formula in float64, by autograd alone."""
    return eager(subject.formula, [t.double() for t in leaves], g.double())


def close(found, expected, rtol=2e-5, dtype=torch.float32):
    """Each tensor in units of its largest value: a sum's rounding is that of its largest terms.

    What is found has the leaves' dtype, which float64's reference does not say.
    """
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, dtype)
        atol = rtol * max(1.0, b.abs().max().item())
        torch.testing.assert_close(a.double(), b.double(), rtol=0, atol=atol)


def _parameters(f, leaves, g):
    x, *weights = [torch.nn.Parameter(t.clone()) for t in leaves]
    y = f(x, *weights)
    y.backward(g)
    return y.detach(), *(t.grad for t in (x, *weights))


def _batched(f, leaves, g):
    leaves = [t.clone().requires_grad_() for t in leaves]
    y = f(*leaves)
    rows = torch.stack((g, -2 * g, torch.zeros_like(g)))
    found = torch.autograd.grad(y, leaves, rows, is_grads_batched=True)
    for gradient in found:
        torch.testing.assert_close(gradient[1], -2 * gradient[0])
        assert (gradient[2] == 0).all()
    return y.detach(), *(gradient[0] for gradient in found)


def _checkpointed(f, leaves, g, **options):
    """Between operators, the last of which saves f's result: all of f is computed again."""

    def between(one, x, *rest):
        return f(x + 0, *rest) * one

    def whole(x, *rest):
        return checkpoint(between, torch.ones_like(x, requires_grad=True), x, *rest, **options)

    return _parameters(whole, leaves, g)


def _selective(f, leaves, g, policy):
    context = partial(create_selective_checkpoint_contexts, lambda *_args, **_kw: policy)
    return _checkpointed(f, leaves, g, use_reentrant=False, context_fn=context)


def _hooked(f, leaves, g):
    """What is saved goes through NumPy, so that no tensor but its values come back."""
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return tensor.detach().cpu().numpy().copy(), tensor.device

    def unpack(pair):
        return torch.from_numpy(pair[0]).to(pair[1])

    with torch.autograd.graph.saved_tensors_hooks(pack, unpack):
        found = eager(f, leaves, g)
    assert packed
    return found


def _offloaded(f, leaves, g):
    with torch.autograd.graph.save_on_cpu():
        return eager(f, leaves, g)


PLAIN = {
    "eager": eager,
    "parameters": _parameters,
    "batched gradients": _batched,
    "checkpoint": partial(_checkpointed, use_reentrant=False),
    "reentrant checkpoint": partial(_checkpointed, use_reentrant=True),
    "saved-tensor hooks": _hooked,
    "offloading": _offloaded,
}


def _grad(f, leaves, g):
    def loss(*leaves):
        y = f(*leaves)
        return (y * g).sum(), y

    argnums = tuple(range(len(leaves)))
    gradients, y = torch.func.grad(loss, argnums, has_aux=True)(*leaves)
    return y, *gradients


def _vjp(f, leaves, g):
    y, backward = torch.func.vjp(f, *leaves)
    return y, *backward(g)


def _jacobian(f, leaves, g, make):
    def twice(*leaves):
        y = f(*leaves)
        return y, y

    found, y = make(twice, tuple(range(len(leaves))), has_aux=True)(*leaves)
    return y, *(torch.tensordot(g, jacobian, g.dim()) for jacobian in found)


TRANSFORMS = {
    "grad": _grad,
    "vjp": _vjp,
    "jacrev": partial(_jacobian, make=torch.func.jacrev),
    "jacfwd": partial(_jacobian, make=torch.func.jacfwd),
    "selective checkpoint, all saved": partial(_selective, policy=CheckpointPolicy.MUST_SAVE),
    "selective checkpoint, none saved": partial(_selective, policy=CheckpointPolicy.MUST_RECOMPUTE),
}
