"""Weights to start KAF from: the fit of a function, and the spread that keeps gradients' variance.

Scardapane et al.: Kafnets, arXiv 1707.04035 (2017), which fits by kernel ridge regression.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from triton_acts import _check

from ._gridding import Grid

__all__ = ["checked_eps", "ridge", "unit_gradient_std"]


def ridge(grid: Grid, function: Callable[[Tensor], Tensor], eps: float) -> Tensor:
    """Fits `function` at the nodes d: `alpha = (K + eps I)^-1 function(d)`.

    `K_ij = exp(-gamma (d_i - d_j)^2)`. Its condition is 3.7e5 for D = 20 and the paper's gamma and
    1.5e7 for the authors' later one, so everything is float64.

    Args:
        grid: the dictionary.
        function: from a float64 tensor of shape [D] on the CPU to one of the same shape.
        eps: weight of the penalty on `|alpha|^2`, >= 0.

    Returns:
        alpha, [D], float64, on the CPU.

    Raises:
        TypeError: eps is no real number.
        ValueError: eps is negative or not finite; the function returns anything but a finite tensor
            of its argument's shape; K + eps I is not positive definite in float64.
    """
    eps = checked_eps(eps)
    positions = [grid.node(i) for i in range(grid.num_nodes)]
    nodes = torch.tensor(positions, dtype=torch.float64, device="cpu")
    with torch.no_grad():
        target = function(nodes.clone())  # a copy, as the function may work in place
    kernel = torch.exp(-grid.gamma * (nodes[:, None] - nodes).square())
    factor, failed = torch.linalg.cholesky_ex(kernel + torch.diag(torch.full_like(nodes, eps)))
    if failed:
        raise ValueError(
            f"KAF: the Gaussians of {grid} cannot be told apart in float64, so that no weights can "
            f"be fitted with eps={eps}; increase eps or gamma"
        )
    return torch.cholesky_solve(_checked(target, nodes)[:, None], factor)[:, 0]


def _checked(target: object, nodes: Tensor) -> Tensor:
    if not isinstance(target, Tensor) or target.shape != nodes.shape:
        found = (
            f"one of shape {tuple(target.shape)}" if isinstance(target, Tensor) else repr(target)
        )
        raise ValueError(
            f"KAF: the function to fit must return a tensor of its argument's shape "
            f"{tuple(nodes.shape)}, got {found}"
        )
    target = target.to(nodes)
    finite = target.isfinite()
    if not finite.all():
        raise ValueError(
            f"KAF: the function to fit must be finite at the nodes, got {target[~finite].tolist()} "
            f"at {nodes[~finite].tolist()}"
        )
    return target


def checked_eps(eps: object) -> float:
    """`eps` as a float; TypeError or ValueError unless it is a finite real number >= 0."""
    value = _check.real("KAF", "eps", eps)
    if value < 0:
        raise ValueError(f"KAF: eps must be at least 0, got {value}")
    return value


def unit_gradient_std(grid: Grid) -> float:
    """The standard deviation of independent weights for which `E[(dy/dx)^2] = 1`, x ~ N(0, 1).

    `1 / sqrt(sum_i E kappa_i'(x)^2)`; with `a = 2 gamma` and `v = 1 / (2 a + 1)`, the variance of
    the product of two Gaussians, `E kappa_i'^2 = a^2 sqrt(v) exp(-a d_i^2 v) (v + (d_i v)^2)`. 0.44
    for 20 nodes in [-3, 3] and the paper's gamma.

    Raises:
        ValueError: the nodes are so far from 0 that no float32 is large enough.
    """
    a = 2 * grid.gamma
    v = 1 / (2 * a + 1)
    nodes = [grid.node(i) for i in range(grid.num_nodes)]
    slopes = (a * a * math.sqrt(v) * math.exp(-a * d * d * v) * (v + (d * v) ** 2) for d in nodes)
    total = sum(slopes)
    if total * _check.FLOAT32_MAX**2 < 1:
        raise ValueError(
            f"KAF: inputs from N(0, 1) do not reach the grid from {grid.lo} to {grid.hi}, so that "
            f"random weights have no scale; choose another init or grid"
        )
    return 1 / math.sqrt(total)
