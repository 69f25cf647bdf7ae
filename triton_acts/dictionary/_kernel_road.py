"""Launches KAF's kernels on dense tensors  # [outer, channels, inner]."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from triton_acts import _triton
from triton_acts._launch import Launcher, UnloadedInCaptureError, alignment, divisor
from triton_acts.tuning.config import Config
from triton_acts.tuning.keys import layout_of
from triton_acts.tuning.lookup import select

from . import _kernels
from ._basis import Basis, basis
from ._composite import Dictionary
from ._gridding import Grid
from ._tiles import Tiles, tiles

__all__ = ["backward", "form", "forward"]

_forward = Launcher(_kernels.forward)
_backward = Launcher(_kernels.backward)


def forward(
    dictionary: Dictionary, alpha: Tensor, x: Tensor, y: Tensor, config: Config | None = None
) -> None:
    """Writes KAF of x into y.

    Args:
        dictionary: grid or nodes.
        alpha: [channels, D].
        x: [outer, channels, inner], contiguous; float16, bfloat16 or float32.
        y: like x.
        config: instead of the selected one.
    """
    b = basis(dictionary)
    if config is None:
        config = _select("forward", b, (x, y))
    t = tiles(*x.shape, config.block, config.unroll, False)
    points, folds = _constants(dictionary, b, x.device)
    weights = _weights(alpha, folds, b, t)
    functions = (b.value, form(b, t, False), *t.tile, t.unroll)
    _launch(_forward, config, (x, weights, points, y), t, b, (b.groups,), functions)


def backward(
    dictionary: Dictionary,
    needs: tuple[bool, bool],
    alpha: Tensor,
    x: Tensor,
    g: Tensor,
    dx: Tensor,
) -> Tensor:
    """Writes g * dy/dx into dx, and returns alpha's gradient, each if `needs` says so.

    One pass over x and g collects the moments of up to 40 nodes; the first also makes dx.
    """
    b = basis(dictionary)
    points, folds = _constants(dictionary, b, x.device)
    config = _select("backward", b, (x, g, dx))
    t = tiles(*x.shape, config.block, config.unroll, True)
    need_dx, need_dalpha = needs
    weights = _weights(alpha, folds, b, t) if need_dx else points
    if not need_dalpha:
        own = b.groups if b.kept(True) else 0
        functions = (b.gradients, (True, False, own), form(b, t, True), *t.tile, t.unroll)
        tensors = (x, g, weights, points, dx, points)
        _launch(_backward, config, tensors, t, b, (0, b.groups), functions)
        return alpha
    dalpha = alpha.new_empty(alpha.shape, dtype=torch.float32)
    for first in range(0, b.groups, b.own):
        own = min(b.own, b.groups - first)
        sums = x.new_empty((t.splits, own * b.size, t.width), dtype=torch.float32)
        makes = (need_dx and first == 0, True, own)
        functions = (b.gradients, makes, form(b, t, True), *t.tile, t.unroll)
        tensors = (x, g, weights, points, dx, sums)
        _launch(_backward, config, tensors, t, b, (first, b.groups), functions)
        _gather(sums, folds, dalpha, first * b.size, t)
    return dalpha


def _select(direction: str, b: Basis, tensors: tuple[Tensor, ...]) -> Config:
    x = tensors[0]
    layout, aligned = layout_of(x.shape[1], x.shape[2]), not alignment(tensors)
    device, size = x.get_device(), b.num_nodes
    return select("kaf", direction, x.dtype, x.numel(), aligned, device, layout, size, b.free)


def form(b: Basis, t: Tiles, backward: bool) -> tuple[Any, ...]:
    """The kernels' FORM: mode, and what a group of nodes is."""
    return t.mode, b.left, b.size, b.points, b.kept(backward)


def _constants(
    dictionary: Dictionary, b: Basis, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Points and folds on a device; those of a grid are made once."""
    if isinstance(dictionary, Grid):
        return _grid_constants(dictionary, device)
    return b.locate(device), None


@lru_cache(maxsize=256)
def _grid_constants(grid: Grid, device: torch.device) -> tuple[Tensor, Tensor | None]:
    if not _triton.INTERPRETED and torch.cuda.is_current_stream_capturing():
        raise UnloadedInCaptureError  # copies from the host are forbidden then
    b = basis(grid)
    with torch.inference_mode(False):
        folds = None if b.folds is None else torch.tensor(b.folds[: grid.num_nodes], device=device)
        return b.locate(device), folds


def _weights(alpha: Tensor, folds: Tensor | None, b: Basis, t: Tiles) -> Tensor:
    """alpha, folded and transposed  # [groups * size, padded], 0 beyond dictionary and width."""
    channels, nodes = alpha.shape
    shape = (b.groups * b.size, t.padded)
    if shape == (nodes, t.width):
        weights = torch.empty(shape, dtype=torch.float32, device=alpha.device)
    else:
        weights = torch.zeros(shape, dtype=torch.float32, device=alpha.device)
    own = weights[:nodes, : t.width]
    rows = alpha.t()
    if t.width != channels:
        own = own.view(nodes, t.fold, channels)
        rows = rows[:, None].expand(own.shape)
    if folds is None:
        own.copy_(rows)
    elif alpha.dtype is torch.float32:
        torch.mul(rows, folds.view(-1, *(1,) * (rows.dim() - 1)), out=own)
    else:
        own.copy_(rows).mul_(folds.view(-1, *(1,) * (rows.dim() - 1)))
    return weights


def _gather(sums: Tensor, folds: Tensor | None, dalpha: Tensor, first: int, t: Tiles) -> None:
    """Adds up partial sums in a fixed order, into the columns of dalpha from `first` on."""
    channels, nodes = dalpha.shape
    count = min(sums.shape[1], nodes - first)
    parts = sums.view(t.splits, -1, t.fold, channels)
    moments = parts.sum((0, 2))[:count].t()  # [channels, count]
    columns = dalpha[:, first : first + count]
    if folds is None:
        columns.copy_(moments)
    else:
        torch.mul(moments, folds[first : first + count], out=columns)


def _launch(
    launcher: Launcher,
    config: Config,
    tensors: tuple[Tensor, ...],
    t: Tiles,
    b: Basis,
    groups: tuple[int, ...],
    constants: tuple[Any, ...],
) -> None:
    x = tensors[0]
    num_warps = config.num_warps
    integers = (t.width, t.inner, t.rows, t.columns, t.padded)
    function, *rest = constants
    key = (id(function), x.dtype, alignment(tensors), num_warps, *map(divisor, integers), *rest)
    args = (*tensors, x.numel(), t.outer, t.whole_rows, *integers, *groups, b.coefs, *constants)
    launcher(x.get_device(), t.grid, key, args, num_warps)
