"""Pointwise activations with one learnable weight a channel: `y = f(x, w[channel])`.

A dense tensor is seen as rows of [channels, inner], whatever the order of its dimensions: inner is
the stride of the channel dimension. `Tiles` says how the rows are cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from triton_acts import _check, _dispatch, _triton
from triton_acts._launch import Launcher, UnloadedInCaptureError, alignment, divisor
from triton_acts._tiling import next_power_of_2, share, tile_extent
from triton_acts.tuning.config import Config
from triton_acts.tuning.keys import layout_of
from triton_acts.tuning.lookup import select

from . import _kernels
from ._define import tie_breaker

__all__ = ["PerChannel", "Tiles", "apply_per_channel", "launch_forward", "tiles"]

_forward = Launcher(_kernels.channel_forward)
_backward = Launcher(_kernels.channel_backward)


@dataclass(frozen=True, eq=False)
class PerChannel:
    """A pointwise activation whose weight is a tensor: device functions and plain definitions.

    Attributes:
        name: public name.
        weight_name: the weight's name in the public signature, for errors.
        fn: device function, y from (x, w, one); `one` is `tie_breaker` of x's dtype.
        slopes: device function, (dy/dx, dy/dw) from (x, w, one).
        composite: plain definition of y from (x, w); w broadcasts against x.
        derivative: plain definition of dy/dx, with exact tails.
        weight_derivative: plain definition of dy/dw.
    """

    name: str
    weight_name: str
    fn: Any
    slopes: Any
    composite: Callable[[Tensor, Tensor], Tensor]
    derivative: Callable[[Tensor, Tensor], Tensor]
    weight_derivative: Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Tiles:
    """How rows of [channels, inner] are cut into programs.

    Where sums are made, `_variants` keeps the tile from being tuned: a pure function of shape and
    item size, so that one GPU and Triton version repeat a sum bit for bit.

    Attributes:
        mode: "columns" (inner 1, linear layers and channels_last: every lane has its own channel),
            "small planes" (a lane has its own element of a row, and so a fixed channel), "plane" (a
            program has one channel) or "shared" (one weight, all elements one row).
        rows: rows that one program owns.
        columns: elements of a row that one program owns, in "plane" and "shared".
        tile: rows and elements of a tile, powers of two  # [ROWS, LANES].
        grid: programs over lanes or channels, rows, columns.
    """

    mode: str
    rows: int
    columns: int
    tile: tuple[int, int]
    grid: tuple[int, int, int]

    @property
    def splits(self) -> int:
        """Partial sums of a weight, or of a lane."""
        return self.grid[1] * self.grid[2]


_PROGRAMS = 4 if _triton.INTERPRETED else 2048
_MIN_ROWS = 16  # a lane's partial sum costs 8 bytes of traffic, a row at least 6


@lru_cache(maxsize=4096)
def tiles(outer: int, channels: int, inner: int, elements: int) -> Tiles:
    """Cuts [outer, channels, inner] into tiles of so many elements, about 2048 programs at most."""
    row = channels * inner
    modes = {"shared": "shared", "inner1": "columns", "innerN": "plane"}
    mode = modes.get(layout_of(channels, inner), "small planes" if row < 2**31 else "plane")
    own_lanes = mode in ("columns", "small planes")
    lanes = tile_extent(row if own_lanes else inner, elements)
    height = min(next_power_of_2(outer), elements // lanes)
    across = -(-row // lanes) if own_lanes else channels
    splits = -(-_PROGRAMS // across)
    if own_lanes:
        splits = min(splits, max(1, outer // _MIN_ROWS))
    rows = share(outer, height, splits)
    down = -(-outer // rows)
    columns = lanes if own_lanes else share(inner, lanes, -(-splits // down))
    along = 1 if own_lanes else -(-inner // columns)
    return Tiles(mode, rows, columns, (height, lanes), (across, down, along))


def apply_per_channel(
    op: PerChannel, x: Tensor, w: Tensor, channel_dim: int, save: str = "input"
) -> Tensor:
    """Y = op(x, w), w of shape (1,) for all channels or (C,) along `channel_dim`.

    Raises:
        TypeError: x or w has a dtype or layout that no road takes, or channel_dim is no int.
        ValueError: w's size does not fit x, `channel_dim` is out of range, the devices differ, or
            save is not "input" (the weight's gradient needs x).
    """
    if save != "input":
        _check.choice(op.name, "save", save, ("input", "output"))
        raise ValueError(
            f"{op.name}: save='output' needs a real number {op.weight_name} > 0, got a Tensor of "
            f"shape {tuple(w.shape)}; use save='input'"
        )
    road = _dispatch.kernel_road(op.name, x)
    _check_weight(op, x, w, channel_dim)
    if not road or not _dispatch.plain(w):
        return op.composite(x, _broadcast(w, x, channel_dim))
    if torch.is_grad_enabled() and (x.requires_grad or w.requires_grad):
        y: Tensor = _Function.apply(x, w, op, channel_dim)
        return y
    return _forward_or_composite(op, x, w, channel_dim)


def _forward_or_composite(op: PerChannel, x: Tensor, w: Tensor, channel_dim: int) -> Tensor:
    try:
        return _run_forward(op, x, w, channel_dim)
    except UnloadedInCaptureError:
        _dispatch.warn_captured(op.name)
        return op.composite(x, _broadcast(w, x, channel_dim))


def _check_weight(op: PerChannel, x: Tensor, w: Tensor, channel_dim: int) -> None:
    _check.floating(op.name, op.weight_name, w)
    if x.is_nested or w.is_nested:
        _check.reject_without_memory(op.name, **{"x": x, op.weight_name: w})
    _check.same_device(op.name, x, op.weight_name, w)
    if w.dim() != 1:
        raise ValueError(
            f"{op.name}: {op.weight_name} must be a real number or a Tensor of shape (1,) or (C,), "
            f"got shape {tuple(w.shape)}"
        )
    size = w.shape[0]
    if size == 1:
        return
    _check.integer(op.name, "channel_dim", channel_dim)
    if x.dim() < 2:
        raise ValueError(
            f"{op.name}: x of shape {tuple(x.shape)} has no channel dimension, so "
            f"{op.weight_name} must have 1 element, got {size}"
        )
    if not -x.dim() <= channel_dim < x.dim():
        raise ValueError(
            f"{op.name}: channel_dim is {channel_dim}, allowed are {-x.dim()} to {x.dim() - 1} "
            f"for x of shape {tuple(x.shape)}"
        )
    if size != x.shape[channel_dim]:
        raise ValueError(
            f"{op.name}: {op.weight_name} has {size} elements but x of shape {tuple(x.shape)} has "
            f"{x.shape[channel_dim]} channels in dimension {channel_dim}; "
            f"{op.weight_name} needs 1 or {x.shape[channel_dim]}"
        )


def _broadcast(w: Tensor, x: Tensor, channel_dim: int) -> Tensor:
    """The weight as a view that broadcasts along x's channel dimension."""
    if w.shape[0] == 1:
        return w if x.dim() else w.view(())
    inner = x.dim() - 1 - channel_dim % x.dim()
    return w.view(-1, *(1,) * inner) if inner else w


def _cut(dense: Tensor, w: Tensor, channel_dim: int) -> tuple[int, int, int]:
    """(outer, channels, inner) of a dense tensor, in the order of its storage."""
    numel, channels = dense.numel(), w.shape[0]
    inner = numel if channels == 1 else dense.stride(channel_dim)
    return numel // (channels * inner), channels, inner


def _launch(
    launcher: Launcher,
    config: Config,
    tensors: tuple[Tensor, ...],
    cut: tuple[int, int, int],
    constants: tuple[Any, ...],
) -> None:
    outer, channels, inner = cut
    x, num_warps = tensors[0], config.num_warps
    t = tiles(outer, channels, inner, config.block)
    integers = (channels, inner, t.rows, t.columns)
    fn, *flags = constants
    variant = (*flags, t.mode, *t.tile)
    key = (id(fn), x.dtype, alignment(tensors), num_warps, *map(divisor, integers), *variant)
    args = (*tensors, outer, *integers, (tie_breaker(x.dtype),), fn, *variant)
    launcher(x.get_device(), t.grid, key, args, num_warps)


def launch_forward(
    op: PerChannel,
    tensors: tuple[Tensor, Tensor, Tensor],
    cut: tuple[int, int, int],
    config: Config | None = None,
) -> None:
    """Launches forward over dense (x, w, y), cut as (outer, channels, inner).

    `config` replaces the selected one.
    """
    if config is None:
        config = _select(op, "forward", tensors, cut)
    _launch(_forward, config, tensors, cut, (op.fn,))


def _select(
    op: PerChannel, direction: str, tensors: tuple[Tensor, ...], cut: tuple[int, int, int]
) -> Config:
    x, aligned = tensors[0], not alignment(tensors)
    layout = layout_of(cut[1], cut[2])
    return select(op.name, direction, x.dtype, x.numel(), aligned, x.get_device(), layout)


def _kernel_weight(w: Tensor) -> Tensor:
    return w.detach().to(torch.float32).contiguous()


def _run_forward(op: PerChannel, x: Tensor, w: Tensor, channel_dim: int) -> Tensor:
    y = torch.empty_like(x)
    if y.stride() != x.stride():
        x = y.copy_(x)
    if x.numel():
        launch_forward(op, (x, _kernel_weight(w), y), _cut(y, w, channel_dim))
    return y


def _run_backward(
    op: PerChannel, x: Tensor, w: Tensor, g: Tensor, channel_dim: int, need_dx: bool, need_dw: bool
) -> tuple[Tensor | None, Tensor | None]:
    if not need_dx and x.is_contiguous() and g.is_contiguous():
        dx = g  # a pointer that nothing is stored to
    else:
        dx = torch.empty_like(x)
        if x.stride() != dx.stride():
            x = torch.empty_like(dx).copy_(x)
        if g.stride() != dx.stride():
            g = dx.copy_(g)
    if not x.numel():
        return dx if need_dx else None, torch.zeros_like(w) if need_dw else None
    cut = outer, channels, inner = _cut(dx, w, channel_dim)
    config = _select(op, "backward", (x, g, dx), cut)
    t = tiles(outer, channels, inner, config.block)
    lanes = inner if t.mode == "small planes" else 1  # partial sums a channel and split
    size = (t.splits, channels, lanes) if need_dw else (0,)
    dw = torch.empty(size, dtype=torch.float32, device=x.device)
    tensors = (x, g, _kernel_weight(w), dx, dw)
    _launch(_backward, config, tensors, cut, (op.slopes, need_dx, need_dw))
    return dx if need_dx else None, dw.sum((0, 2)).to(w.dtype) if need_dw else None


class _Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, op: PerChannel, channel_dim: int) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.op, ctx.channel_dim = op, channel_dim
        return _forward_or_composite(op, x, w, channel_dim)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        x, w = ctx.saved_tensors
        op, channel_dim = ctx.op, ctx.channel_dim
        need_dx, need_dw = ctx.needs_input_grad[:2]
        if not torch.is_grad_enabled() and all(map(_dispatch.plain, (x, w, g))):
            try:
                gradients = _run_backward(op, x, w, g, channel_dim, need_dx, need_dw)
            except UnloadedInCaptureError:
                _dispatch.warn_captured(op.name)
            else:
                return *gradients, None, None
        wide = _broadcast(w, x, channel_dim)
        dx = g * op.derivative(x, wide) if need_dx else None
        dw = None
        if need_dw:
            terms = g.to(torch.float32) * op.weight_derivative(x, wide).to(torch.float32)
            dw = terms.sum_to_size(wide.shape).reshape(w.shape).to(w.dtype)
        return dx, dw, None, None
