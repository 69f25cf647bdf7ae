"""Smaller dictionaries for the same functions, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from triton_acts import _check
from triton_acts.dictionary import KAF, Grid

from ._observe import single
from ._shapes import everywhere, fit_kept, largest_error, largest_sum, parts, weights

__all__ = ["prune", "refit"]

_WIDER = (0.0, 0.75, 1.5, 3.0)  # widths of an old Gaussian: its tails are part of the function
_CURVATURES = (1 / 6, 1 / 3, 2 / 3)  # gamma delta^2
_FLOAT32 = 3e-6  # error of float32 arithmetic, by the sum of |alpha| kappa


def refit(
    kaf: KAF,
    num_nodes: int,
    *,
    grid: tuple[float, float] | None = None,
    gamma: float | None = None,
) -> tuple[KAF, float]:
    """A new layer whose dictionary has another size, fitted to the functions of this one.

    Least squares in float64 over the grid and the tails beyond it, to where they have faded, with a
    ridge of 1e-10. Where range and bandwidth are not given, 4 ranges (the tails are part of the
    function, and narrower Gaussians reach less far) and 4 values of gamma delta^2 (that of the
    layer, 1/6, 1/3 and 2/3) are tried; the least error wins, with 3e-6 of the largest
    `sum_i |alpha_i| kappa_i` added for what float32 arithmetic does to weights that cancel.

    Args:
        kaf: the layer, which stays as it is.
        num_nodes: D >= 2 of the new layer.
        grid: first and last node; None tries several.
        gamma: bandwidth; None tries several.

    Returns:
        The layer, and the error that it costs: the largest |difference| over all channels and a
        fine grid of float64 numbers, tails included.

    Raises:
        TypeError: kaf is no KAF, or num_nodes no int.
        ValueError: num_nodes is below 2; grid or gamma make no dictionary.
    """
    old = single("refit", kaf).dictionary
    if _check.integer("refit", "num_nodes", num_nodes) < 2:
        raise ValueError(f"refit: num_nodes must be at least 2, got {num_nodes}")
    wider = [old.gamma**-0.5 * widths for widths in _WIDER]
    ranges = [(old.lo - w, old.hi + w) for w in wider] if grid is None else [grid]
    best: tuple[float, KAF, float] | None = None
    for new in _dictionaries(kaf, num_nodes, ranges, gamma):
        other = fit_kept(kaf, new, everywhere(old, new, density=4))
        error, noise = largest_error(kaf, other), _FLOAT32 * largest_sum(other)
        if best is None or error + noise < best[0]:
            best = error + noise, other, error
    assert best is not None  # there is at least one dictionary
    return best[1:]


def _dictionaries(
    kaf: KAF, num_nodes: int, ranges: list[tuple[float, float]], gamma: float | None
) -> Iterator[Grid]:
    """Checked and rounded, for each range and bandwidth."""
    old, blank = kaf.dictionary, torch.zeros(1, num_nodes, device="cpu")
    for ends in ranges:
        grid = kaf.with_dictionary(blank, ends, gamma).dictionary
        if gamma is not None:
            yield grid
            continue
        for curvature in (old.gamma * old.delta**2, *_CURVATURES):
            bandwidth = curvature / grid.delta**2
            yield kaf.with_dictionary(blank, (grid.lo, grid.hi), bandwidth).dictionary


def prune(kaf: KAF, tol: float) -> tuple[KAF, float]:
    """A new layer with as few nodes as `tol` allows.

    The better of two ways, since nodes have to stay at equal distances: drop nodes at the ends, one
    by one, and leave the others alone; or `refit` with fewer nodes, their number found by
    bisection. If neither saves a node, the new layer is a copy.

    Args:
        kaf: the layer, which stays as it is.
        tol: largest |difference| that may arise anywhere, >= 0.

    Returns:
        The layer, and the error that it costs, as of `refit`.

    Raises:
        TypeError: kaf is no KAF, or tol no number.
        ValueError: tol is negative or not finite.
    """
    single("prune", kaf)
    tol = _check.real("prune", "tol", tol)
    if tol < 0:
        raise ValueError(f"prune: tol must be at least 0, got {tol}")
    best = _trimmed(kaf, tol)
    too_few, enough = 1, best[0].dictionary.num_nodes
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        found = refit(kaf, middle)
        if found[1] <= tol:
            best, enough = found, middle
        else:
            too_few = middle
    return best


def _trimmed(kaf: KAF, tol: float) -> tuple[KAF, float]:
    """Without nodes at the ends, the one first whose end costs less."""
    d, alpha = kaf.dictionary, weights(kaf)
    s = everywhere(d)
    kappa = parts(s, d)
    first, last, lost = (
        0,
        d.num_nodes,
        torch.zeros(len(s), alpha.shape[0], dtype=torch.float64, device="cpu"),
    )
    while last - first > 2:
        ends = [(_with(lost, kappa, alpha, i), i) for i in (first, last - 1)]
        cost, dropped = min(((more.abs().max().item(), i) for more, i in ends))
        if cost > tol:
            break
        lost = ends[int(dropped != first)][0]
        first, last = (first + 1, last) if dropped == first else (first, last - 1)
    best = _cut(kaf, d, first, last)
    error = largest_error(kaf, best)
    # float32 rounds the ends of a grid, and so moves its nodes a little
    return (best, error) if error <= tol else (_cut(kaf, d, 0, d.num_nodes), 0.0)


def _with(lost: Tensor, kappa: Tensor, alpha: Tensor, node: int) -> Tensor:
    """What is lost without one more node  # [N, C]."""
    return torch.addcmul(lost, kappa[:, node, None], alpha[:, node])


def _cut(kaf: KAF, d: Grid, first: int, last: int) -> KAF:
    return kaf.with_dictionary(kaf.alpha[:, first:last], (d.node(first), d.node(last - 1)), d.gamma)
