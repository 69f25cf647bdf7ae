"""What a case's results should be, in float64, and how far others are from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from perf.cases import Case
from perf.ops import channel_dim
from perf.units import Sums
from triton_acts.dictionary._composite import along

__all__ = ["Inputs", "Reference", "disagreement", "make_inputs", "reference"]

CHUNK_NUMEL = 1 << 21  # numbers of float64 in a piece: beyond it a CPU pays for fresh pages


@dataclass(frozen=True)
class Inputs:
    """The tensors of a case, and what x and the weights need for a gradient.

    Attributes:
        x: N(0, 1), of the case's shape, dtype and layout.
        weights: one with a row a channel, or ().
        g: incoming gradient, N(2, 1), so that sums over it do not cancel and can be checked.
    """

    x: Tensor
    weights: tuple[Tensor, ...]
    g: Tensor


def make_inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """Random tensors on the device; never zeros, which need less power and run faster."""
    generator = torch.Generator(device=device).manual_seed(seed)
    layout = getattr(torch, case.shape.layout.replace("contiguous", "contiguous_format"))

    def normal(sizes: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        values = torch.empty(sizes, dtype=dtype, device=device)
        if len(sizes) == 4:
            values = values.to(memory_format=layout)
        return values.normal_(generator=generator)

    x = normal(case.sizes, case.dtype)
    weights: tuple[Tensor, ...] = ()
    if case.op.weight is not None:
        own = normal((case.channels, *case.op.weight.row), case.op.weight.dtype or case.dtype)
        weights = (own.mul_(case.op.weight.std),)
    return Inputs(x, weights, normal(case.sizes, case.dtype).add_(2))


@dataclass(frozen=True)
class Reference:
    """What a case's results should be, in float64.

    Attributes:
        elementwise: y or dx, in pieces of `rows` batch entries.
        rows: batch entries of a piece.
        scale: what the op's errors are relative to, broadcasting along x.
        weights: the weights' gradients, or ().
    """

    elementwise: tuple[Tensor, ...]
    rows: int
    scale: Tensor
    weights: tuple[Sums, ...] = ()


@torch.no_grad()
def reference(case: Case, inputs: Inputs) -> Reference:
    """Computes the results in float64, by the plain definitions."""
    op = case.op
    weights = [w.double() for w in inputs.weights]
    row = math.prod(op.weight.row) if op.weight else 1
    rows = max(1, CHUNK_NUMEL * len(inputs.x) // (case.numel * row))
    scale = along(op.units.scale(*weights), inputs.x, channel_dim(inputs.x.dim()))
    pairs = zip(inputs.x.split(rows), inputs.g.split(rows), strict=True)
    if case.direction == "forward":
        return Reference(tuple(op.reference(x.double(), *weights) for x, _ in pairs), rows, scale)
    channel = channel_dim(len(case.sizes))
    others = [dim for dim in range(len(case.sizes)) if dim != channel]
    slopes: list[Tensor] = []
    total: tuple[Tensor, ...] | None = None
    for x, g in ((x.double(), g.double()) for x, g in pairs):
        slopes.append(op.derivative(x, *weights).mul_(g))
        if op.weight_derivative:
            terms = op.weight_derivative(x, *weights)
            terms = terms * g.view(*g.shape, *(1,) * (terms.dim() - g.dim()))
            found = tuple(t.sum(others) for t in (terms, terms.abs(), g.abs()))
            total = found if total is None else tuple(map(torch.add, total, found))
    terms_a_channel = case.numel // case.channels
    sums = () if total is None else (Sums(terms_a_channel, *total),)
    return Reference(tuple(slopes), rows, scale, sums)


@torch.no_grad()
def disagreement(
    case: Case, inputs: Inputs, expected: Reference, results: tuple[Tensor, ...]
) -> float:
    """The largest error against float64, in the units of the op, of which `TOLERANCE` are allowed.

    Infinite where shapes, dtypes or NaNs disagree.
    """
    backward = case.direction != "forward"
    like = (inputs.x, *inputs.weights) if backward else (inputs.x,)
    if [(r.shape, r.dtype) for r in results] != [(t.shape, t.dtype) for t in like]:
        return math.inf
    eps, units, scale = torch.finfo(case.dtype).eps, case.op.units, expected.scale
    errors = []
    pieces = zip(results[0].split(expected.rows), inputs.g.split(expected.rows), strict=True)
    for (result, g), right in zip(pieces, expected.elementwise, strict=True):
        unit = units.slope(right, g, scale, eps) if backward else units.value(right, scale, eps)
        errors.append(result.double().sub_(right).abs_().div_(unit).max())
    for result, sums in zip(results[1:], expected.weights, strict=True):
        error = (result.double() - sums.gradient).abs()
        errors.append(error.div_(units.weight(sums, eps)).max())
    worst = torch.stack(errors).max().item()  # NaN wins a maximum
    return worst if worst == worst else math.inf
