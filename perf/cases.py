"""What is measured, as data: ops, directions, dtypes, shapes and layouts, and the bytes of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import triton_acts
from triton_acts import pointwise
from triton_acts.pointwise import _define, _per_channel
from triton_acts.tuning.registry import REGISTRY

__all__ = ["Case", "Op", "Shape", "cases", "ops"]

Formula = Callable[..., Tensor]


@dataclass(frozen=True)
class Op:
    """An activation to measure. All callables take `(x, *weights)`.

    Attributes:
        name: the op's name in the registry.
        variant: "scalar" or "per_channel".
        ours: triton_acts' public function.
        eager: the formula as a user writes it with torch, the yardstick of `speedup_vs_eager`.
        reference: the plain definition, for float64.
        derivative: dy/dx, for float64.
        weight_derivative: dy/dw, or None where there is no weight.
    """

    name: str
    variant: str
    ours: Formula
    eager: Formula
    reference: Formula
    derivative: Formula
    weight_derivative: Formula | None = None


@dataclass(frozen=True)
class Shape:
    """A shape [N, C, H, W] that holds `mib` MiB of x, or numel % 16 != 0 elements.

    Attributes:
        name: "small", "1 MiB", ...
        mib: MiB of x.
        channels: C.
        side: H = W.
        layout: "contiguous" or "channels_last".
        ragged: one batch entry and one column more than fit, so that numel is odd.
    """

    name: str
    mib: float
    channels: int = 64
    side: int = 32
    layout: str = "contiguous"
    ragged: bool = False

    def sizes(self, itemsize: int) -> tuple[int, int, int, int]:
        """N, C, H, W for a dtype."""
        image = self.channels * self.side * self.side
        batch = max(1, round(self.mib * 2**20 / itemsize / image))
        if self.ragged:
            return batch | 1, self.channels | 1, self.side | 1, self.side - 1 | 1
        return batch, self.channels, self.side, self.side


@dataclass(frozen=True)
class Case:
    """One thing to measure with every provider.

    Attributes:
        op: the activation.
        direction: "forward" or "backward" (of a graph that is kept, so forward is not timed).
        dtype: x's dtype, and the weight's.
        shape: x's shape and layout.
        mode: "device" is device time, caches cold on a GPU; "launch-inclusive" and
            "graph-replayed" are a GPU's two further views of small tensors.
    """

    op: Op
    direction: str
    dtype: torch.dtype
    shape: Shape
    mode: str = "device"

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """N, C, H, W."""
        return self.shape.sizes(self.dtype.itemsize)

    @property
    def numel(self) -> int:
        """Elements of x."""
        return math.prod(self.sizes)

    @property
    def reads(self) -> int:
        """Tensors of x's size that the work has to read; it writes one."""
        return self._tensors - 1

    @property
    def bytes(self) -> int:
        """Bytes that the work has to move at least: the op's tensors, and the weights."""
        weights = self.sizes[1] * self.dtype.itemsize if self.op.weight_derivative else 0
        return self._tensors * self.numel * self.dtype.itemsize + weights * self.reads

    @property
    def label(self) -> str:
        """One line that names the case."""
        dtype = str(self.dtype).removeprefix("torch.")
        mode = "" if self.mode == "device" else f" {self.mode}"
        name = f"{self.op.name} {self.op.variant} {self.direction}"
        return f"{name} {dtype} {self.shape.name}{mode}"

    @property
    def _tensors(self) -> int:
        for variant in REGISTRY[self.op.name].variants:
            if (variant.name, variant.direction) == (self.op.variant, self.direction):
                return variant.tensors
        raise LookupError(
            f"perf: {self.op.name} has no variant {self.op.variant!r} for {self.direction!r}; "
            "register it in its package"
        )


def _eager_scaled_sigmoid(x: Tensor) -> Tensor:
    return 2 * torch.tanh(x / 2)


def _eager_penalized_tanh(x: Tensor, a: float | Tensor = 0.25) -> Tensor:
    t = torch.tanh(x)
    return torch.where(x > 0, t, a * t)


def _along_channels(formula: Formula) -> Formula:
    """The formula with its weight of shape (C,) broadcast along dimension 1."""

    def broadcast(x: Tensor, w: Tensor) -> Tensor:
        return formula(x, w.view(-1, *[1] * (x.dim() - 2)))

    return broadcast


_EAGER: dict[str, Formula] = {
    "scaled_sigmoid": _eager_scaled_sigmoid,
    "penalized_tanh": _eager_penalized_tanh,
}


def _with_defaults(formula: Callable[..., Tensor], defaults: tuple[float, ...]) -> Formula:
    return lambda x: formula(x, *defaults)


def ops() -> Iterator[Op]:
    """Every op of the package; one without a formula here is compared with its own definition."""
    for op in pointwise.ALL:
        composite = _with_defaults(op.composite, op.defaults)
        ours = getattr(triton_acts, op.name, None) or (
            lambda x, op=op: _define.apply(op, x, op.defaults)
        )
        yield Op(
            op.name,
            "scalar",
            ours,
            _EAGER.get(op.name, composite),
            composite,
            _with_defaults(op.derivative, op.defaults),
        )
    for channel_op in pointwise.ALL_PER_CHANNEL:
        composite = _along_channels(channel_op.composite)
        eager = _EAGER.get(channel_op.name)
        yield Op(
            channel_op.name,
            "per_channel",
            partial(_apply_per_channel, channel_op),
            _along_channels(eager) if eager else composite,
            composite,
            _along_channels(channel_op.derivative),
            _along_channels(channel_op.weight_derivative),
        )


def _apply_per_channel(op: _per_channel.PerChannel, x: Tensor, w: Tensor) -> Tensor:
    public: Formula | None = getattr(triton_acts, op.name, None)
    return public(x, w) if public else _per_channel.apply_per_channel(op, x, w, 1)


SMALL = Shape("small", 0.0, channels=64, side=8)
ONE = Shape("1 MiB", 1)
MEDIUM = Shape("16 MiB", 16)
LARGE = Shape("64 MiB", 64)
HUGE = Shape("1 GiB", 1024)
RAGGED = Shape("64 MiB ragged", 64, ragged=True)
CHANNELS_LAST = Shape("64 MiB channels_last", 64, layout="channels_last")
DIRECTIONS = ("forward", "backward")


def cases(kind: str, quick: bool) -> list[Case]:
    """The cases for a "cpu" or a "gpu", the most telling first: a budget may cut the list.

    Raises:
        ValueError: another kind.
    """
    if kind == "cpu":
        if quick:
            # forward first: a machine's very first torch.compile alone may take 20 s
            found = _all([torch.float32], [MEDIUM]) + _all([torch.float32], [SMALL], ["forward"])
            return sorted(found, key=lambda case: case.direction == "backward")
        return _all([torch.float32, torch.bfloat16], [LARGE, ONE, SMALL])
    if kind != "gpu":
        raise ValueError(f"cases: kind must be 'cpu' or 'gpu', got {kind!r}")
    if quick:
        return _all([torch.bfloat16], [LARGE, SMALL])
    shapes = [LARGE, ONE, SMALL, RAGGED, CHANNELS_LAST, HUGE]
    return [
        *_all([torch.bfloat16, torch.float32], shapes),
        *_all([torch.bfloat16], [SMALL], ["forward"], "launch-inclusive"),
        *_all([torch.bfloat16], [SMALL], ["forward"], "graph-replayed"),
        *_all([torch.float16], shapes),
    ]


def _all(
    dtypes: Sequence[torch.dtype],
    shapes: Sequence[Shape],
    directions: Sequence[str] = DIRECTIONS,
    mode: str = "device",
) -> list[Case]:
    """Every op in every combination."""
    return [
        Case(op, direction, dtype, shape, mode)
        for dtype in dtypes
        for shape in shapes
        for op in ops()
        for direction in directions
    ]
