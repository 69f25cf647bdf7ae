"""KAF, the kernel activation function: every channel learns its own sum of Gaussians.

`y = sum_i alpha[c, i] exp(-gamma (x - d_i)^2)` over a fixed dictionary d of D nodes that all
channels share. Scardapane, Van Vaerenbergh, Totaro, Uncini: Kafnets, arXiv 1707.04035 (2017).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from triton_acts import _check, _dispatch

from ._autograd import evaluate
from ._composite import Dictionary, Nodes, composite
from ._gridding import Grid
from ._op import call

__all__ = ["apply", "checked_grid", "compile_as", "kaf"]

DEFAULT_GRID = (-3.0, 3.0)
_TINY, _HUGE = 1e-30, 1e30  # between them float32 has room for the constants of the kernels
_compiled_as = "composite"


def compile_as(form: str) -> None:
    """Sets what torch.compile sees of KAF, for what is compiled from now on.

    Args:
        form: "composite", PyTorch operators that are fused with their neighbours (the default), or
            "op", one opaque operator that runs the kernels.

    Raises:
        ValueError: another form.
    """
    global _compiled_as
    _check.choice("compile_as", "form", form, ("composite", "op"))
    _compiled_as = form


def kaf(
    x: Tensor,
    alpha: Tensor,
    *,
    grid: tuple[float, float] = DEFAULT_GRID,
    gamma: float | None = None,
    nodes: Tensor | None = None,
    channel_dim: int = 1,
) -> Tensor:
    """Computes `y = sum_i alpha[c, i] exp(-gamma (x - d_i)^2)`, c the channel of x.

    Args:
        x: any shape and strides; float16, bfloat16, float32 or float64.
        alpha: mixing weights, [C, D] with one row a channel or [1, D] for all, D >= 2; any floating
            dtype, used in float32 (float64 if x is). May require gradients, as x may.
        grid: first and last node of a uniform dictionary.
        gamma: bandwidth, > 0. None means `1 / (6 delta^2)`, the paper's rule, delta being the
            distance of two nodes; the authors' later code uses `1 / (8 delta^2)`, FastKAN
            `1 / delta^2`.
        nodes: [D], in any order, on x's device: a dictionary that is not uniform, in place of grid;
            gamma is then required. It costs D exponentials an element instead of three an anchor.
        channel_dim: the dimension of x that alpha's rows run along.

    Returns:
        A tensor of x's shape, dtype and memory format. 0 at +-inf, NaN at NaN. Sums are float32
        for 16-bit types, under autocast too; alpha's gradient comes in alpha's dtype from a
        deterministic sum in float32.

    Raises:
        TypeError: x, alpha or nodes is not a strided tensor of a real floating dtype, or a number
            is none; one is a nested tensor, or a ZeroTensor that an operator has no way with.
        ValueError: alpha is not [C, D] or [1, D] for x's C channels, or D < 2; channel_dim is out
            of range (a single row needs none); grid is not increasing; gamma is not positive and
            finite, or beyond float32 with this grid; nodes comes with a grid, without gamma,
            requires gradients or is not [D]; devices differ.

    Source: Scardapane et al., arXiv 1707.04035. Evaluated by fast Gaussian gridding (Greengard and
    Lee, 2004): for gamma delta^2 from 1/16 to 4 and up to 256 nodes, the error is below 1e-5
    relative to `sum_i |alpha_i| exp(..)` within the grid, and to its largest value anywhere.
    """
    tensors = type(x) is Tensor and isinstance(alpha, Tensor) and nodes is None
    if not tensors and _dispatch.stand_ins(x, alpha, nodes):
        options: Any = {"gamma": gamma, "nodes": nodes, "channel_dim": channel_dim}
        if grid is not DEFAULT_GRID:  # which nodes allow by identity
            options["grid"] = grid
        y: Tensor = handle_torch_function(kaf, (x, alpha, nodes), x, alpha, **options)
        return y
    if not isinstance(alpha, Tensor):
        raise TypeError(f"kaf: alpha must be a torch.Tensor, got {type(alpha).__name__}")
    if alpha.is_nested:
        _check.reject_without_memory("kaf", alpha=alpha)
    if nodes is not None:
        dictionary: Dictionary = _checked_nodes(x, alpha, grid, gamma, nodes)
    elif torch.compiler.is_dynamo_compiling() or _dispatch.tracing_state() is not None:
        # A graph holds for one number of nodes; sizes may be symbols there, a list's length not
        num_nodes = len(alpha.unbind(-1)) if alpha.dim() else 0
        dictionary = checked_grid("kaf", grid, gamma, num_nodes)
    else:
        dictionary = _grid(grid, gamma, alpha.shape[-1] if alpha.dim() else 0)
    return apply(x, alpha, dictionary, channel_dim)


def checked_grid(op: str, grid: object, gamma: object, num_nodes: int) -> Grid:
    """The dictionary of a pair of bounds; ValueError or TypeError where they make none."""
    if num_nodes < 2:
        raise ValueError(f"{op}: a dictionary has at least 2 nodes, got {num_nodes}")
    if not isinstance(grid, tuple | list) or len(grid) != 2:
        raise ValueError(
            f"{op}: grid must be a pair (first node, last node), got {grid!r} "
            f"(of a tensor, pass grid.tolist())"
        )
    lo, hi = (_check.real(op, "grid", bound) for bound in grid)
    if not lo < hi:
        raise ValueError(f"{op}: grid must be increasing, got {(lo, hi)}")
    delta = (hi - lo) / (num_nodes - 1)
    if gamma is not None:
        bandwidth = _check.real(op, "gamma", gamma)
        _check_gamma(op, bandwidth)
    elif 6 * delta * delta > _TINY:
        bandwidth = 1 / (6 * delta * delta)
    else:
        bandwidth = math.inf
    curvature = bandwidth * delta * delta
    if not _TINY < curvature < _HUGE or not _TINY < bandwidth < _HUGE:
        raise ValueError(
            f"{op}: {num_nodes} nodes from {lo} to {hi} with gamma {gamma} give gamma delta^2 = "
            f"{curvature} beyond what float32 can hold; useful are 1/16 to 4, and None for 1/6"
        )
    return Grid(lo, hi, num_nodes, bandwidth)


def _check_gamma(op: str, gamma: float) -> None:
    if not gamma > 0:
        raise ValueError(
            f"{op}: gamma must be positive and finite, got {gamma}; None is 1 / (6 delta^2)"
        )


@lru_cache(maxsize=1024, typed=True)
def _remembered(lo: float, hi: float, gamma: float | None, num_nodes: int) -> Grid:
    return checked_grid("kaf", (lo, hi), gamma, num_nodes)


def _grid(grid: Any, gamma: Any, num_nodes: int) -> Grid:
    """`checked_grid` at the price of a look-up; what cannot be a key is checked and refused."""
    try:
        lo, hi = grid
        return _remembered(lo, hi, gamma, num_nodes)
    except (TypeError, ValueError):
        return checked_grid("kaf", grid, gamma, num_nodes)


def _checked_nodes(x: Tensor, alpha: Tensor, grid: object, gamma: object, nodes: object) -> Nodes:
    if not isinstance(nodes, Tensor):
        raise TypeError(f"kaf: nodes must be a torch.Tensor or None, got {type(nodes).__name__}")
    _check.floating("kaf", "nodes", nodes)
    # Dynamo compares values alone
    same = grid == DEFAULT_GRID if torch.compiler.is_dynamo_compiling() else grid is DEFAULT_GRID
    if not same:
        raise ValueError(f"kaf: give either grid or nodes, got both (grid={grid!r})")
    if nodes.requires_grad:
        raise ValueError("kaf: nodes cannot be learned yet; pass nodes.detach()")
    if gamma is None:
        raise ValueError(
            f"kaf: nodes of shape {tuple(nodes.shape)} have no common distance, so gamma must be "
            f"given (a real number > 0)"
        )
    bandwidth = _check.real("kaf", "gamma", gamma)
    _check_gamma("kaf", bandwidth)
    if not _TINY < bandwidth < _HUGE:
        raise ValueError(f"kaf: gamma must be from {_TINY} to {_HUGE} with nodes, got {bandwidth}")
    if nodes.dim() != 1 or nodes.shape[0] < 2:
        raise ValueError(f"kaf: nodes must be of shape [D], D >= 2, got {tuple(nodes.shape)}")
    if alpha.dim() == 2 and alpha.shape[1] != nodes.shape[0]:
        raise ValueError(
            f"kaf: alpha of shape {tuple(alpha.shape)} has {alpha.shape[1]} weights a channel but "
            f"there are {nodes.shape[0]} nodes"
        )
    if isinstance(x, Tensor):
        _check.same_device("kaf", x, "nodes", nodes)
    return Nodes(nodes, bandwidth)


def apply(
    x: Tensor,
    alpha: Tensor,
    dictionary: Dictionary,
    channel_dim: int,
    beta: Tensor | None = None,
) -> Tensor:
    """KAF by the road that the tensors ask for; arguments as of `kaf` and `composite`."""
    _check_tensors(x, alpha, channel_dim)
    if torch.compiler.is_dynamo_compiling():
        if _compiled_as == "composite":
            return composite(x, alpha, dictionary, channel_dim, beta)
        return call(x, alpha, dictionary, channel_dim)
    guarded = (x, alpha) if isinstance(dictionary, Grid) else (x, alpha, dictionary.positions)
    if all(map(_dispatch.untransformed, guarded)):
        return evaluate(x, alpha, dictionary, channel_dim)
    if _dispatch.transforming():
        return composite(x, alpha, dictionary, channel_dim, beta)
    return call(x, alpha, dictionary, channel_dim)


def _check_tensors(x: Tensor, alpha: Tensor, channel_dim: int) -> None:
    if not isinstance(x, Tensor) or x.dtype not in _check.FLOATING or x.layout is not torch.strided:
        _check.reject("kaf", x)
    _check.floating("kaf", "alpha", alpha)
    if x.is_nested:
        _check.reject_without_memory("kaf", x=x)
    _check.same_device("kaf", x, "alpha", alpha)
    if alpha.dim() != 2:
        raise ValueError(f"kaf: alpha must be of shape [C, D] or [1, D], got {tuple(alpha.shape)}")
    channels = alpha.shape[0]
    if channels == 1:
        return
    _check.integer("kaf", "channel_dim", channel_dim)
    if not -x.dim() <= channel_dim < x.dim():
        raise ValueError(
            f"kaf: channel_dim is {channel_dim}, allowed are {-x.dim()} to {x.dim() - 1} for x of "
            f"shape {tuple(x.shape)}"
        )
    if channels != x.shape[channel_dim]:
        raise ValueError(
            f"kaf: alpha has {channels} rows but x of shape {tuple(x.shape)} has "
            f"{x.shape[channel_dim]} channels in dimension {channel_dim}; choose channel_dim (-1 "
            f"for N x T x C), or 1 or {x.shape[channel_dim]} channels"
        )
