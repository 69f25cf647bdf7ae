"""KAF in plain PyTorch operators: the definition, and the same sum without a [..., D] tensor.

`composite` is differentiable to any order, goes through every transform, and torch.compile fuses it
with its neighbours. It evaluates the polynomials of `_gridding`; a dictionary without a grid takes
one Gaussian at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ._gridding import Grid, Gridding, cut

__all__ = [
    "Dictionary",
    "Nodes",
    "along",
    "composite",
    "definition",
    "folded",
    "listed",
    "operands",
]


@dataclass(frozen=True, eq=False)
class Nodes:
    """A dictionary of Gaussians at any nodes.

    Attributes:
        positions: [D], on the device of x.
        gamma: bandwidth of `exp(-gamma (s - d)^2)`.
    """

    positions: Tensor
    gamma: float


Dictionary = Grid | Nodes


def operands(dictionary: Dictionary) -> tuple[Tensor | None, float, float, float]:
    """What the registered operators take: nodes or None, first and last node, gamma."""
    if isinstance(dictionary, Nodes):
        return dictionary.positions, 0.0, 0.0, dictionary.gamma
    return None, dictionary.lo, dictionary.hi, dictionary.gamma


def listed(grid: Grid, device: torch.device) -> Nodes:
    """A grid's nodes one by one, in float64."""
    nodes = [grid.node(i) for i in range(grid.num_nodes)]
    return Nodes(torch.tensor(nodes, dtype=torch.float64, device=device), grid.gamma)


def along(row: Tensor, x: Tensor, channel_dim: int) -> Tensor:
    """A row of C (or 1) weights as a view that broadcasts along x's channels."""
    if row.shape[0] == 1:
        return row if x.dim() else row.view(())
    inner = x.dim() - 1 - channel_dim % x.dim()
    return row.view(-1, *(1,) * inner) if inner else row


def definition(x: Tensor, alpha: Tensor, dictionary: Dictionary, channel_dim: int = 1) -> Tensor:
    """`sum_i alpha[c, i] exp(-gamma (x - d_i)^2)` as published: D exponentials, D times x.

    Args:
        x: any shape.
        alpha: [C, D] or [1, D].
        dictionary: grid or nodes.
        channel_dim: x's dimension of size C.
    """
    if isinstance(dictionary, Grid):
        nodes = listed(dictionary, x.device).positions
    else:
        nodes = dictionary.positions
    kappa = torch.exp(-dictionary.gamma * (x.unsqueeze(-1) - nodes.to(x)) ** 2)
    if alpha.shape[0] == 1:
        return (kappa * alpha[0]).sum(-1)
    inner = x.dim() - 1 - channel_dim % x.dim()
    return (kappa * alpha.view(-1, *(1,) * inner, alpha.shape[1])).sum(-1)


def composite(
    x: Tensor,
    alpha: Tensor,
    dictionary: Dictionary,
    channel_dim: int,
    beta: Tensor | None = None,
) -> Tensor:
    """KAF without a [..., D] tensor; arguments as those of `definition`.

    beta is `folded(alpha, dictionary)`, of use unless x is float64.
    """
    if torch.compiler.is_dynamo_compiling():
        dictionary = _fixed(dictionary)
    wide = torch.promote_types(x.dtype, torch.float32)
    s, weights = x.to(wide), alpha.to(wide)
    if isinstance(dictionary, Nodes):
        return _direct(s, weights, dictionary, channel_dim).to(x.dtype)
    g = cut(dictionary, wide is torch.float32)
    if g.size == 1:  # Gaussians so narrow that an anchor serves its own node alone
        return _direct(s, weights, listed(dictionary, x.device), channel_dim).to(x.dtype)
    if beta is None or wide is not torch.float32:
        beta = _betas(weights, g, dictionary.num_nodes)
    rows = tuple(along(row, x, channel_dim) for row in beta.unbind(0))
    total = None
    for group, anchor in enumerate(g.anchors):
        y = _group(s, rows[group * g.size : (group + 1) * g.size], g, anchor)
        total = y if total is None else total + y
    assert total is not None  # a grid has at least one group
    return total.to(x.dtype)


def _fixed(dictionary: Dictionary) -> Dictionary:
    """The dictionary with numbers that are constants of a compiled graph.

    With dynamic=True they are symbols, float64 inputs of the graph, until their value is asked for,
    as for a set it is.
    """
    (gamma,) = {dictionary.gamma}
    if isinstance(dictionary, Nodes):
        return Nodes(dictionary.positions, gamma)
    (lo,), (hi,) = {dictionary.lo}, {dictionary.hi}
    return Grid(lo, hi, dictionary.num_nodes, gamma)


def folded(alpha: Tensor, grid: Grid) -> Tensor | None:
    """The polynomials' coefficients in float32, or None if the composite of a grid has none."""
    g = cut(grid)
    return None if g.size == 1 else _betas(alpha.float(), g, grid.num_nodes)


def _betas(alpha: Tensor, g: Gridding, nodes: int) -> Tensor:
    """The polynomials' coefficients, zero beyond the dictionary  # [groups * size, C].

    A copy: rows of neighbouring channels, which compilers turn into wide loads.
    """
    channels, groups = alpha.shape[0], len(g.anchors)
    j = torch.arange(-g.left, g.size - g.left, dtype=torch.float64, device=alpha.device)
    folds = torch.exp2(j.square() * (-0.25 / g.bend)).to(alpha.dtype)
    if nodes < groups * g.size:
        alpha = torch.nn.functional.pad(alpha, (0, groups * g.size - nodes))
    return (alpha.view(channels, groups, g.size) * folds).flatten(1).t().contiguous()


def _group(s: Tensor, rows: tuple[Tensor, ...], g: Gridding, anchor: tuple[float, float]) -> Tensor:
    """The sum over the nodes of one anchor, by Horner's rule from both ends."""
    hi, lo = anchor
    tau = (s - hi) * g.rate
    if lo:
        tau = tau - lo * g.rate
    # e has vanished at the bound; unbounded, its derivative at infinity would be 0 * inf
    e = torch.exp2(_bounded(tau, 1.5 * g.limit).square() * -g.bend)
    bounded = _bounded(tau, g.limit)
    t = torch.exp2(bounded)
    p = rows[-1]
    for row in reversed(rows[g.left : -1]):
        p = torch.addcmul(row, p, t)
    if not g.left:
        return e * p
    r = torch.exp2(-bounded)
    q = rows[0]
    for row in rows[1 : g.left]:
        q = torch.addcmul(row, q, r)
    return e * torch.addcmul(p, q, r)


def _bounded(tau: Tensor, limit: float) -> Tensor:
    """Cuts tau at +-limit. NaN keeps a derivative, so that it spreads; that of clamp is 0."""
    return torch.where(tau > limit, limit, torch.where(tau < -limit, -limit, tau))


def _direct(s: Tensor, alpha: Tensor, nodes: Nodes, channel_dim: int) -> Tensor:
    """One Gaussian after another."""
    rows = alpha.t().contiguous().unbind(0)
    exact = nodes.positions.double()
    rounded = exact.to(s.dtype)
    rest = (exact - rounded).to(s.dtype)
    total = torch.zeros_like(s)
    vanished = (1500 / nodes.gamma) ** 0.5
    for row, position, shift in zip(rows, rounded.unbind(0), rest.unbind(0), strict=True):
        distance = _bounded(s - position - shift, vanished)
        kappa = torch.exp2(distance.square() * (-nodes.gamma / math.log(2)))
        total = torch.addcmul(total, along(row, s, channel_dim), kappa)
    return total
