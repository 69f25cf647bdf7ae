"""KAF as a registered operator, `torch.ops.triton_acts.kaf`: one node for modes and compilers.

Fake tensors, dispatch modes, tensor subclasses and DTensor take it, and torch.compile where
`compile_as("op")` says so.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from . import _run
from ._autograd import gradients
from ._composite import Dictionary, Nodes, operands
from ._gridding import Grid

__all__ = ["call"]

_DICTIONARY = "Tensor? nodes, float lo, float hi, float gamma, int channel_dim"


def _dictionary(
    alpha: Tensor, nodes: Tensor | None, lo: float, hi: float, gamma: float
) -> Dictionary:
    return Grid(lo, hi, alpha.shape[1], gamma) if nodes is None else Nodes(nodes, gamma)


def _kaf(
    x: Tensor,
    alpha: Tensor,
    nodes: Tensor | None,
    lo: float,
    hi: float,
    gamma: float,
    channel_dim: int,
) -> Tensor:
    return _run.forward(x, alpha, _dictionary(alpha, nodes, lo, hi, gamma), channel_dim)


def _kaf_backward(
    x: Tensor,
    alpha: Tensor,
    g: Tensor,
    nodes: Tensor | None,
    lo: float,
    hi: float,
    gamma: float,
    channel_dim: int,
    need_dx: bool,
    need_dalpha: bool,
) -> tuple[Tensor, Tensor]:
    dictionary = _dictionary(alpha, nodes, lo, hi, gamma)
    dx, dalpha = _run.backward(x, alpha, g, dictionary, channel_dim, need_dx, need_dalpha)
    return x.new_empty(0) if dx is None else dx, alpha.new_empty(0) if dalpha is None else dalpha


def _fake(x: Tensor, _alpha: Tensor, *_dictionary: object) -> Tensor:
    return torch.empty_like(x)


def _fake_backward(x: Tensor, alpha: Tensor, _g: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    need_dx, need_dalpha = rest[-2:]
    return (
        torch.empty_like(x) if need_dx else x.new_empty(0),
        alpha.new_empty(alpha.shape) if need_dalpha else alpha.new_empty(0),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001 - torch passes it by name
    x, alpha, nodes, *ctx.numbers = inputs
    ctx.save_for_backward(x, alpha, nodes)


def _autograd(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    x, alpha, nodes = ctx.saved_tensors
    *bounds, channel_dim = ctx.numbers
    need_dx, need_dalpha = ctx.needs_input_grad[:2]
    if torch.is_grad_enabled():
        dictionary = _dictionary(alpha, nodes, *bounds)
        found = gradients(x, alpha, g, dictionary, channel_dim, need_dx, need_dalpha)
        return *found, None, None, None, None, None
    dx, dalpha = torch.ops.triton_acts.kaf_backward(
        x, alpha, g, nodes, *bounds, channel_dim, need_dx, need_dalpha
    )
    grads = (dx if need_dx else None, dalpha if need_dalpha else None)
    return *grads, None, None, None, None, None


def _vmap(
    info: Any,
    in_dims: tuple[int | None, ...],
    x: Tensor,
    alpha: Tensor,
    nodes: Tensor | None,
    lo: float,
    hi: float,
    gamma: float,
    channel_dim: int,
) -> tuple[Tensor, int]:
    """A batch of x is one more dimension of it; batches of weights are taken one by one."""
    op = torch.ops.triton_acts.kaf
    x_dim, alpha_dim, nodes_dim = in_dims[:3]
    if x_dim is not None and alpha_dim is None and nodes_dim is None:
        inside = channel_dim if channel_dim < 0 else channel_dim + 1
        return op(x.movedim(x_dim, 0), alpha, nodes, lo, hi, gamma, inside), 0
    parts = [
        [tensor] * info.batch_size if dim is None or tensor is None else tensor.unbind(dim)
        for tensor, dim in zip((x, alpha, nodes), in_dims[:3], strict=True)
    ]
    each = zip(*parts, strict=True)
    return torch.stack([op(*tensors, lo, hi, gamma, channel_dim) for tensors in each]), 0


def _registered() -> torch.library.Library:
    """The library of both operators, which it holds for as long as it lives."""
    own = torch.library.Library("triton_acts", "FRAGMENT")
    own.define(f"kaf(Tensor x, Tensor alpha, {_DICTIONARY}) -> Tensor")
    own.define(
        f"kaf_backward(Tensor x, Tensor alpha, Tensor g, {_DICTIONARY}, bool need_dx, "
        f"bool need_dalpha) -> (Tensor, Tensor)"
    )
    own.impl("kaf", _kaf, "CompositeExplicitAutograd")
    own.impl("kaf_backward", _kaf_backward, "CompositeExplicitAutograd")
    torch.library.register_fake("triton_acts::kaf", _fake, lib=own)
    torch.library.register_fake("triton_acts::kaf_backward", _fake_backward, lib=own)
    torch.library.register_autograd(
        "triton_acts::kaf", _autograd, setup_context=_setup_context, lib=own
    )
    torch.library.register_vmap("triton_acts::kaf", _vmap, lib=own)
    return own


# A process registers an operator once: where this file is imported anew, the operators remain those
# of its first import, which they keep alive, and a reload leaves the name of their library alone.
if not hasattr(torch.ops.triton_acts, "kaf"):
    _LIBRARY = _registered()


def call(x: Tensor, alpha: Tensor, dictionary: Dictionary, channel_dim: int) -> Tensor:
    """Calls the operator."""
    nodes, *numbers = operands(dictionary)
    if type(x).__name__ == "DTensor" or type(alpha).__name__ == "DTensor":
        _shard()
        nodes = _replicated(nodes, x)
    y: Tensor = torch.ops.triton_acts.kaf(x, alpha, nodes, *numbers, channel_dim)
    return y


def _replicated(nodes: Tensor | None, like: Any) -> Tensor | None:
    """Nodes that every process has, as the DTensor that the operator wants beside others."""
    from torch.distributed.tensor import DTensor

    if nodes is None or isinstance(nodes, DTensor) or not isinstance(like, DTensor):
        return nodes
    return DTensor.from_local(nodes, like.device_mesh, run_check=False)


@cache
def _shard() -> None:
    """Tells DTensor how the operators may be sharded; importing that costs seconds, so late."""
    from torch.distributed.tensor import Partial, Replicate, Shard
    from torch.distributed.tensor.experimental import register_sharding

    def dims(x: Any, alpha: Any, channel_dim: int) -> list[tuple[Any, Any, Any]]:
        """(x and all its like, alpha, alpha's gradient) for each way to shard x."""
        own = channel_dim % max(1, x.ndim) if alpha.shape[0] > 1 else -1
        ways: list[tuple[Any, Any, Any]] = [(Replicate(), Replicate(), Replicate())]
        for dim in range(x.ndim):
            along = (Shard(0), Shard(0)) if dim == own else (Replicate(), Partial())
            ways.append((Shard(dim), *along))
        return ways

    @register_sharding(torch.ops.triton_acts.kaf.default)
    def forward(x: Any, alpha: Any, nodes: Any, *numbers: Any) -> list[Any]:
        none = None if nodes is None else Replicate()
        rest = [None] * len(numbers)
        return [([w], [w, a, none, *rest]) for w, a, _ in dims(x, alpha, numbers[-1])]

    @register_sharding(torch.ops.triton_acts.kaf_backward.default)
    def backward(x: Any, alpha: Any, _g: Any, nodes: Any, *numbers: Any) -> list[Any]:
        none = None if nodes is None else Replicate()
        rest = [None] * len(numbers)
        return [([w, d], [w, a, w, none, *rest]) for w, a, d in dims(x, alpha, numbers[-3])]
