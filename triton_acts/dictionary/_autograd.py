"""KAF in autograd: kernels or pieces forward and backward, the composite for higher orders."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from triton_acts import _dispatch
from triton_acts._launch import UnloadedInCaptureError

from . import _run
from ._composite import Dictionary, composite, operands

__all__ = ["evaluate", "gradients"]


def _forward_or_composite(
    x: Tensor, alpha: Tensor, dictionary: Dictionary, channel_dim: int
) -> Tensor:
    try:
        return _run.forward(x, alpha, dictionary, channel_dim)
    except UnloadedInCaptureError:
        _dispatch.warn_captured("kaf")
        return composite(x, alpha, dictionary, channel_dim)


def gradients(
    x: Tensor,
    alpha: Tensor,
    g: Tensor,
    dictionary: Dictionary,
    channel_dim: int,
    need_dx: bool,
    need_dalpha: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Both gradients as needed: by kernels or pieces, else those of the composite, at any order."""
    if not torch.is_grad_enabled() and all(map(_dispatch.untransformed, (x, alpha, g))):
        try:
            return _run.backward(x, alpha, g, dictionary, channel_dim, need_dx, need_dalpha)
        except UnloadedInCaptureError:
            _dispatch.warn_captured("kaf")
    again = torch.is_grad_enabled()
    if torch.compiler.is_compiling() and not again:  # a compiler cannot trace what follows
        op = torch.ops.triton_acts.kaf_backward
        dx, dalpha = op(x, alpha, g, *operands(dictionary), channel_dim, need_dx, need_dalpha)
        return dx if need_dx else None, dalpha if need_dalpha else None
    with torch.enable_grad():
        # views: one argument may depend on the other, and that way is not to be followed here
        own_x, own_alpha = (t.view_as(t) if again else t.detach() for t in (x, alpha))
        pairs = ((own_x, need_dx), (own_alpha, need_dalpha))
        wanted = [t if again else t.requires_grad_() for t, need in pairs if need]
        y = composite(own_x, own_alpha, dictionary, channel_dim)
        found = iter(torch.autograd.grad(y, wanted, g, create_graph=again))
    return next(found) if need_dx else None, next(found) if need_dalpha else None


def evaluate(x: Tensor, alpha: Tensor, dictionary: Dictionary, channel_dim: int) -> Tensor:
    """KAF of untransformed tensors, in autograd where a gradient may be asked for."""
    if torch.is_grad_enabled() and (x.requires_grad or alpha.requires_grad):
        y: Tensor = _Function.apply(x, alpha, dictionary, channel_dim)
        return y
    return _forward_or_composite(x, alpha, dictionary, channel_dim)


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, alpha: Tensor, dictionary: Dictionary, channel_dim: int
    ) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.dictionary, ctx.channel_dim = dictionary, channel_dim
        return _forward_or_composite(x, alpha, dictionary, channel_dim)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, alpha = ctx.saved_tensors
        need_dx, need_dalpha = ctx.needs_input_grad[:2]
        found = gradients(x, alpha, g, ctx.dictionary, ctx.channel_dim, need_dx, need_dalpha)
        return *found, None, None
