"""The functions that KAF layers hold, in float64: values, second derivatives, fits, distances."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from triton_acts.dictionary import KAF, Grid

__all__ = [
    "bends",
    "between",
    "errors_at",
    "everywhere",
    "fit",
    "fit_kept",
    "fit_seen",
    "kept_bandwidth",
    "largest_error",
    "largest_sum",
    "nodes",
    "parts",
    "values",
    "weights",
]

# Of a fit. ELU refitted to its own 20 nodes changes by 2e-4; with 1e-8 it would by 4e-3
_EPS = 1e-10
_BEYOND = 0.01  # what errors beyond the range of data matter
_FADED = 6.0  # sqrt(gamma) times a distance at which a Gaussian is 2e-16
_MOST = 1 << 15  # points that a function is looked at


def nodes(grid: Grid) -> Tensor:
    """Positions of the Gaussians  # [D]."""
    return torch.tensor(
        [grid.node(i) for i in range(grid.num_nodes)], dtype=torch.float64, device="cpu"
    )


def weights(kaf: KAF) -> Tensor:
    """The layer's alpha  # [C, D], float64, on the CPU."""
    return kaf.alpha.detach().to("cpu", torch.float64)


def parts(s: Tensor, grid: Grid) -> Tensor:
    """`exp(-gamma (s - d_i)^2)`  # [N, D]."""
    return torch.exp(-grid.gamma * (s[:, None] - nodes(grid)).square())


def values(s: Tensor, alpha: Tensor, grid: Grid) -> Tensor:
    """The functions at s  # [N, C]."""
    return parts(s, grid) @ alpha.T


def bends(s: Tensor, alpha: Tensor, grid: Grid) -> Tensor:
    """Their second derivatives  # [N, C]."""
    squared = grid.gamma * (s[:, None] - nodes(grid)).square()
    return 2 * grid.gamma * ((2 * squared - 1) * torch.exp(-squared)) @ alpha.T


def between(lo: float, hi: float, *grids: Grid, density: int = 16) -> Tensor:
    """Points from lo to hi, `density` or more for a node and for a Gaussian's width  # [N], odd."""
    step = min(min(g.delta, 1 / math.sqrt(g.gamma)) for g in grids) / density
    count = int(min(_MOST, max(256.0, (hi - lo) / step)))
    return torch.linspace(lo, hi, count // 2 * 2 + 1, dtype=torch.float64, device="cpu")


def everywhere(*grids: Grid, density: int = 16) -> Tensor:
    """Points, the nodes among them, to where all Gaussians have faded  # [N]."""
    tail = max(_FADED / math.sqrt(g.gamma) for g in grids)
    lo, hi = min(g.lo for g in grids) - tail, max(g.hi for g in grids) + tail
    return torch.cat((between(lo, hi, *grids, density=density), *map(nodes, grids))).sort().values


def kept_bandwidth(old: Grid, lo: float, hi: float, num_nodes: int) -> float:
    """The gamma of another grid for which gamma delta^2 stays, and so how Gaussians overlap."""
    return old.gamma * (old.delta * (num_nodes - 1) / (hi - lo)) ** 2


def fit(grid: Grid, s: Tensor, target: Tensor, importance: Tensor | None = None) -> Tensor:
    """Ridge regression, `argmin sum_n w_n (g(s_n) - target_n)^2 + eps |alpha|^2`, sum w = 1.

    Args:
        grid: the dictionary.
        s: [N].
        target: [N, C].
        importance: w up to a factor, [N], > 0; None means equal ones.

    Returns:
        alpha, [C, D].
    """
    if importance is None:
        importance = torch.ones_like(s)
    kappa = parts(s, grid)
    weighted = kappa * (importance / importance.sum())[:, None]
    ridge = torch.diag(torch.full((grid.num_nodes,), _EPS, dtype=torch.float64, device="cpu"))
    factor = torch.linalg.cholesky(kappa.T @ weighted + ridge)
    return torch.cholesky_solve(weighted.T @ target, factor).T


def fit_kept(
    kaf: KAF, grid: Grid, s: Tensor, target: Tensor | None = None, importance: Tensor | None = None
) -> KAF:
    """A new layer with another dictionary, fitted at s to a target or the functions of `kaf`."""
    blank = torch.zeros(kaf.alpha.shape[0], grid.num_nodes, device="cpu")
    other = kaf.with_dictionary(blank, (grid.lo, grid.hi), grid.gamma)
    if target is None:
        target = values(s, weights(kaf), kaf.dictionary)
    with torch.no_grad():
        other.alpha.copy_(fit(other.dictionary, s, target, importance))
    return other


def fit_seen(kaf: KAF, grid: Grid, x: Tensor, lo: float, hi: float) -> KAF:
    """A new layer with another dictionary, fitted to the functions of `kaf` from lo to hi.

    Errors weigh half the same everywhere and half as often as x lies there. Beyond lo and hi they
    weigh little, and the target is the old function, but fades no later than the Gaussians do: left
    free, the function would swing there as far as its weights let it, and bound to an old one that
    goes on, it would need large weights to follow.
    """
    tail = _FADED / 2 / math.sqrt(grid.gamma)
    s = between(lo - tail, hi + tail, grid, kaf.dictionary, density=8)
    nearest = s.clamp(lo, hi)
    target = values(s, weights(kaf), kaf.dictionary)
    faded = values(nearest, weights(kaf), kaf.dictionary)
    faded *= torch.exp(-grid.gamma * (s - nearest).square())[:, None]
    target = torch.where(target.abs() < faded.abs(), target, faded)
    bins, first, last = 64, s[0].item(), s[-1].item()
    counts = torch.histc(x, bins, first, last)
    place = ((s - first) / (last - first) * bins).long().clamp_max(bins - 1)
    often = counts[place]
    evenly = torch.where(s == nearest, 1.0, _BEYOND).double()
    often = often / often.sum().clamp_min(1) + evenly / evenly.sum()
    return fit_kept(kaf, grid, s, target, often)


def errors_at(kaf: KAF, other: KAF, x: Tensor, channel: Tensor) -> Tensor:
    """Differences of two layers where a channel each got a number  # [N]."""
    one = (parts(x, kaf.dictionary) * weights(kaf)[channel]).sum(1)
    return one - (parts(x, other.dictionary) * weights(other)[channel]).sum(1)


def largest_error(kaf: KAF, other: KAF) -> float:
    """The largest difference of two layers' functions over all channels and numbers."""
    one, two = kaf.dictionary, other.dictionary
    s = everywhere(one, two)
    return (values(s, weights(kaf), one) - values(s, weights(other), two)).abs().max().item()


def largest_sum(kaf: KAF) -> float:
    """The largest `sum_i |alpha_i| kappa_i`, by which arithmetic errors are stated."""
    d = kaf.dictionary
    return values(between(d.lo, d.hi, d, density=4), weights(kaf).abs(), d).max().item()
