"""The activations to measure, as a user calls them, as a user would write them, and in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import triton_acts
from perf.units import Documented, Rounding, Units
from triton_acts import dictionary, pointwise
from triton_acts.dictionary import _composite, _kaf, _tiles
from triton_acts.pointwise import _define, _per_channel
from triton_acts.tuning.keys import layout_of
from triton_acts.tuning.registry import RULES, Dims, Hardware

__all__ = ["Formula", "Op", "Weight", "channel_dim", "kaf_op", "ops", "pointwise_ops"]

Formula = Callable[..., Tensor]
ROUNDING = Rounding()
Seen = tuple[int, int, int]  # a dense tensor as kernels see it  # [outer, channels, inner]


@dataclass(frozen=True)
class Weight:
    """A learned weight, one row a channel.

    Attributes:
        row: sizes after the channels: () for a number a channel.
        dtype: None for x's.
        std: of the random values.
    """

    row: tuple[int, ...] = ()
    dtype: torch.dtype | None = None
    std: float = 0.25


@dataclass(frozen=True)
class Op:
    """An activation to measure. All formulas take `(x, *weights)`.

    Attributes:
        name: the op's name in the registry.
        variant: the kernel variant that training launches: "scalar", "per_channel", "d20".
        ours: triton_acts' public function.
        eager: the formula as a user writes it with torch, the yardstick of `speedup_vs_eager`.
        reference: the plain definition, for float64.
        derivative: dy/dx, for float64.
        weight: the learned weight, or None.
        weight_derivative: dy/dw  # [*x, *row]; None where there is no weight.
        units: what errors are counted in.
        layout: the registry's layout whose kernel runs for (shape as seen, itemsize, direction), or
            "" for a kernel that the static table does not hold.
        counted_as: the registry's variant that moves as many tensors, "" for `variant`.
    """

    name: str
    variant: str
    ours: Formula
    eager: Formula
    reference: Formula
    derivative: Formula
    weight: Weight | None = None
    weight_derivative: Formula | None = None
    units: Units = ROUNDING
    layout: Callable[[Seen, int, str], str] = lambda _seen, _itemsize, _direction: "flat"
    counted_as: str = ""


def ops() -> Iterator[Op]:
    """Every op of the package."""
    yield from pointwise_ops()
    yield kaf_op()


def pointwise_ops() -> Iterator[Op]:
    """The pointwise ops; one without a formula here is compared with its own definition."""
    for op in pointwise.ALL:
        yield _scalar(op)
    for channel_op in pointwise.ALL_PER_CHANNEL:
        yield _learned(channel_op)


def channel_dim(dims: int) -> int:
    """The dimension of the channels: the last of N x T x C, else 1."""
    return 2 if dims == 3 else 1


def _along_channels(formula: Formula) -> Formula:
    """The formula with its weight of shape (C,) broadcast along x's channels."""

    def broadcast(x: Tensor, w: Tensor) -> Tensor:
        return formula(x, _composite.along(w, x, channel_dim(x.dim())))

    return broadcast


def _eager_scaled_sigmoid(x: Tensor) -> Tensor:
    return 2 * torch.tanh(x / 2)


def _eager_penalized_tanh(x: Tensor, a: float | Tensor = 0.25) -> Tensor:
    t = torch.tanh(x)
    return torch.where(x > 0, t, a * t)


_EAGER: dict[str, Formula] = {
    "scaled_sigmoid": _eager_scaled_sigmoid,
    "penalized_tanh": _eager_penalized_tanh,
}


def _scalar(op: _define.Pointwise) -> Op:
    composite = _with_defaults(op.composite, op.defaults)
    return Op(
        op.name,
        "scalar",
        getattr(triton_acts, op.name, None) or (lambda x: _define.apply(op, x, op.defaults)),
        _EAGER.get(op.name, composite),
        composite,
        _with_defaults(op.derivative, op.defaults),
    )


def _with_defaults(formula: Callable[..., Tensor], defaults: tuple[float, ...]) -> Formula:
    return lambda x: formula(x, *defaults)


def _learned(op: _per_channel.PerChannel) -> Op:
    composite = _along_channels(op.composite)
    eager = _EAGER.get(op.name)
    return Op(
        op.name,
        "per_channel",
        partial(_apply_per_channel, op),
        _along_channels(eager) if eager else composite,
        composite,
        _along_channels(op.derivative),
        Weight(),
        _along_channels(op.weight_derivative),
        layout=_per_channel_layout,
    )


def _apply_per_channel(op: _per_channel.PerChannel, x: Tensor, w: Tensor) -> Tensor:
    public: Formula | None = getattr(triton_acts, op.name, None)
    dim = channel_dim(x.dim())
    return public(x, w, dim) if public else _per_channel.apply_per_channel(op, x, w, dim)


def _per_channel_layout(seen: Seen, _itemsize: int, _direction: str) -> str:
    """Other than for small planes, and rows whose accesses are narrower."""
    _, channels, inner = seen
    found = layout_of(channels, inner)
    narrow = (channels if inner == 1 else inner) % 16 != 0
    return found if found in ("inner1", "innerN") and not narrow else ""


def kaf_op(num_nodes: int = 20) -> Op:
    """KAF with its default grid and bandwidth, against the formula as published."""
    grid = _kaf.checked_grid("kaf", _kaf.DEFAULT_GRID, None, num_nodes)
    nodes = torch.tensor(
        [grid.node(i) for i in range(num_nodes)], dtype=torch.float64, device="cpu"
    )

    def ours(x: Tensor, alpha: Tensor) -> Tensor:
        return dictionary.kaf(x, alpha, channel_dim=channel_dim(x.dim()))

    def published(x: Tensor, alpha: Tensor) -> Tensor:
        # 16-bit types in float32, as autocast does with pow and exp: their sum has no digit right
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        return _composite.definition(wide, alpha, grid, channel_dim(x.dim())).to(x.dtype)

    def kappa(x: Tensor, _alpha: Tensor) -> Tensor:
        return torch.exp(-grid.gamma * (x.unsqueeze(-1) - nodes.to(x)) ** 2)

    def derivative(x: Tensor, alpha: Tensor) -> Tensor:
        away = x.unsqueeze(-1) - nodes.to(x)
        slopes = away.mul_(-2 * grid.gamma).mul_(kappa(x, alpha))  # [*x, D]
        inner = x.dim() - 1 - channel_dim(x.dim())
        return slopes.mul_(alpha.view(-1, *(1,) * inner, num_nodes)).sum(-1)

    def layout(seen: Seen, _itemsize: int, direction: str) -> str:
        found = layout_of(*seen[1:])
        rule = RULES["kaf", direction, found]
        config = rule.default(torch.float32, Hardware(), Dims(found, num_nodes))
        t = _tiles.tiles(*seen, config.block, config.unroll, direction == "backward")
        narrow = (t.width if t.mode == "lanes" else t.inner) % 16 != 0
        return found if found in ("inner1", "innerN") and not narrow else ""

    return Op(
        "kaf",
        f"d{num_nodes}",
        ours,
        published,
        published,
        derivative,
        Weight((num_nodes,), torch.float32, 0.3),
        kappa,
        Documented(nodes, grid.gamma),
        layout,
        counted_as="d20",
    )
