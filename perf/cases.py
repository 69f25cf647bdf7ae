"""What is measured, as data: ops, directions, dtypes, shapes and layouts, and the bytes of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from perf.ops import Op, channel_dim, kaf_op, pointwise_ops
from perf.tables import op_name
from triton_acts.tuning.registry import REGISTRY

__all__ = ["BOTH", "COMPARED", "DIRECTIONS", "LARGE", "NODES", "PEAK_MEMORY", "Case", "Shape"]
__all__ += ["cases", "kaf_rows"]

COMPARED = ("triton_acts", "eager", "torch.compile")
PEAK_MEMORY = "peak-memory"


@dataclass(frozen=True)
class Shape:
    """A shape that holds `mib` MiB of x, or numel % 16 != 0 elements.

    Attributes:
        name: "small", "1 MiB", ...
        mib: MiB of x.
        channels: C.
        side: H = W, or T.
        layout: "contiguous" or "channels_last".
        ragged: one batch entry more, and an odd number of everything, so that numel is odd.
        form: "NCHW", "NTC" or "NC".
    """

    name: str
    mib: float
    channels: int = 64
    side: int = 32
    layout: str = "contiguous"
    ragged: bool = False
    form: str = "NCHW"

    def sizes(self, itemsize: int) -> tuple[int, ...]:
        """The sizes for a dtype, N first."""
        extents = {"C": self.channels, "T": self.side, "H": self.side, "W": self.side}
        entry = [extents[letter] for letter in self.form[1:]]
        batch = max(1, round(self.mib * 2**20 / itemsize / math.prod(entry)))
        if self.ragged:
            *others, last = entry
            return batch | 1, *(extent | 1 for extent in others), last - 1 | 1
        return batch, *entry


@dataclass(frozen=True)
class Case:
    """One thing to measure with every provider.

    Attributes:
        op: the activation.
        direction: "forward", "backward" (of a graph that is kept, so forward is not timed) or
            "forward+backward", one after the other as a training step has them.
        dtype: x's dtype, and that of weights without one of their own.
        shape: x's shape and layout.
        mode: "device" is device time, caches cold on a GPU; "launch-inclusive" and
            "graph-replayed" are a GPU's two further views of small tensors; "peak-memory" is no
            time but the memory that a CPU needs beyond the inputs.
        providers: who competes.
        peers: whether kernels of other packages that do the nearest work are timed as well.
    """

    op: Op
    direction: str
    dtype: torch.dtype
    shape: Shape
    mode: str = "device"
    providers: tuple[str, ...] = COMPARED
    peers: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """N, C, H, W or N, T, C or N, C."""
        return self.shape.sizes(self.dtype.itemsize)

    @property
    def channels(self) -> int:
        """C."""
        return self.sizes[channel_dim(len(self.sizes))]

    @property
    def seen(self) -> tuple[int, int, int]:
        """The dense x as kernels see it  # [outer, channels, inner]."""
        last = self.shape.layout == "channels_last"
        inner = 1 if last else math.prod(self.sizes[channel_dim(len(self.sizes)) + 1 :])
        return self.numel // (self.channels * inner), self.channels, inner

    @property
    def numel(self) -> int:
        """Elements of x."""
        return math.prod(self.sizes)

    @property
    def reads(self) -> tuple[int, ...]:
        """Tensors of x's size that each pass has to read; each writes one."""
        return tuple(tensors - 1 for tensors in self._tensors)

    @property
    def bytes(self) -> int:
        """Bytes that the work has to move at least: the op's tensors, and the weights."""
        found = sum(self._tensors) * self.numel * self.dtype.itemsize
        if self.op.weight is not None:
            itemsize = (self.op.weight.dtype or self.dtype).itemsize
            found += sum(self.reads) * self.channels * math.prod(self.op.weight.row) * itemsize
        return found

    @property
    def footprint(self) -> int:
        """Bytes that stay allocated while it is timed, about: the published KAF keeps tables."""
        tensors = 8 if self.op.weight is None or self.direction == "forward" else 10
        if "eager" in self.providers and self.direction != "forward" and self.op.weight:
            tensors += 4 * math.prod(self.op.weight.row)
        return tensors * self.numel * self.dtype.itemsize

    @property
    def label(self) -> str:
        """One line that names the case."""
        dtype = str(self.dtype).removeprefix("torch.")
        mode = "" if self.mode == "device" else f" {self.mode}"
        name = f"{op_name(self.op.name, self.op.variant)}, {self.direction}"
        return f"{name}, {dtype} {self.shape.name}{mode}"

    @property
    def _tensors(self) -> tuple[int, ...]:
        known = REGISTRY[self.op.name].variants
        name = self.op.counted_as or self.op.variant
        found = {v.direction: v.tensors for v in known if v.name == name}
        ways = self.direction.split("+")
        if not found.keys() >= set(ways):
            raise LookupError(
                f"perf: {self.op.name} has no variant {self.op.variant!r} for {self.direction!r}; "
                "register it in its package"
            )
        return tuple(found[way] for way in ways)


SMALL = Shape("small", 0.0, channels=64, side=8)
ONE = Shape("1 MiB", 1)
MEDIUM = Shape("16 MiB", 16)
LARGE = Shape("64 MiB", 64)
HUGE = Shape("1 GiB", 1024)
RAGGED = Shape("64 MiB ragged", 64, ragged=True)
CHANNELS_LAST = Shape("64 MiB channels_last", 64, layout="channels_last")
DIRECTIONS = ("forward", "backward")
BOTH = "forward+backward"
NODES = (8, 20, 40, 64, 128)  # of dictionaries whose cost is measured


def cases(kind: str, quick: bool) -> list[Case]:
    """The cases for a "cpu" or a "gpu", the most telling first: a budget may cut the list.

    Raises:
        ValueError: another kind.
    """
    if kind not in ("cpu", "gpu"):
        raise ValueError(f"cases: kind must be 'cpu' or 'gpu', got {kind!r}")
    if kind == "gpu":
        return _gpu_quick() if quick else _gpu()
    return _cpu_quick() if quick else _cpu()


def _cpu() -> list[Case]:
    """The published formula takes 20 times x, so KAF's x are small."""
    float32 = [torch.float32]
    rows = kaf_rows(8)  # 4096 x 512
    return [
        *_with_peers(_pointwise(float32, [LARGE])),
        *_kaf(float32, [rows], (*COMPARED, "triton_acts compiled")),
        Case(kaf_op(), BOTH, torch.float32, rows, PEAK_MEMORY, COMPARED[:2]),
        *_by_nodes([torch.float32], rows, NODES),
        *_pointwise(float32, [ONE]),
        *_kaf(float32, [_tokens(4), Shape("4 MiB", 4)]),
        *_pointwise(float32, [SMALL]),
        *_kaf(float32, [SMALL, Shape("1 MiB ragged", 1, ragged=True)], COMPARED[:2]),
        *_learned(float32, [kaf_rows(64), _tokens(64)]),
        *_pointwise([torch.bfloat16], [LARGE, ONE, SMALL]),
        *_pointwise(float32, [LARGE], [BOTH]),
    ]


def _cpu_quick() -> list[Case]:
    """Forward first: a machine's very first torch.compile alone may take 20 s; none for KAF."""
    found = [
        *_pointwise([torch.float32], [MEDIUM]),
        *_kaf([torch.float32], [kaf_rows(1), _tokens(1), ONE], COMPARED[:2]),
        *_pointwise([torch.float32], [SMALL], ["forward"]),
    ]
    return sorted(found, key=lambda case: case.direction == "backward")


def _gpu() -> list[Case]:
    shapes = [ONE, SMALL, RAGGED, CHANNELS_LAST, HUGE]
    main = [torch.bfloat16, torch.float32]
    found = []
    for dtype in main:
        found += _with_peers(_pointwise([dtype], [LARGE], (*DIRECTIONS, BOTH)))
        everyone = (*COMPARED, "triton_acts compiled")
        found += _kaf([dtype], [kaf_rows(64)], everyone, (*DIRECTIONS, BOTH))
        found += _by_nodes([dtype], kaf_rows(64), [nodes for nodes in NODES if nodes != 20])
        found += _kaf([dtype], [_tokens(64), LARGE, CHANNELS_LAST])
        found += _pointwise([dtype], shapes)
        found += _learned([dtype], [kaf_rows(64), _tokens(64)])
        found += _kaf([dtype], [SMALL, RAGGED])
    memory = [*_pointwise([torch.bfloat16], [LARGE], [BOTH], PEAK_MEMORY)]
    memory.append(Case(kaf_op(), BOTH, torch.bfloat16, kaf_rows(64), PEAK_MEMORY))
    return [
        *found,
        *memory,
        *_small_views("launch-inclusive"),
        *_small_views("graph-replayed"),
        *_pointwise([torch.float16], [LARGE, *shapes]),
    ]


def _gpu_quick() -> list[Case]:
    bfloat16 = [torch.bfloat16]
    return [
        *_pointwise(bfloat16, [LARGE]),
        *_kaf(bfloat16, [kaf_rows(64), _tokens(64), LARGE], COMPARED[:2]),
        *_pointwise(bfloat16, [SMALL]),
    ]


def kaf_rows(mib: float) -> Shape:
    """N x C of so many MiB, C = 512."""
    return Shape(f"{mib} MiB N x C", mib, 512, form="NC")


def _tokens(mib: float) -> Shape:
    return Shape(f"{mib} MiB N x T x C", mib, 512, side=256, form="NTC")


def _pointwise(
    dtypes: Iterable[torch.dtype],
    shapes: Iterable[Shape],
    directions: Sequence[str] = DIRECTIONS,
    mode: str = "device",
) -> list[Case]:
    """Every pointwise op in every combination."""
    return [
        Case(op, direction, dtype, shape, mode)
        for dtype in dtypes
        for shape in shapes
        for op in pointwise_ops()
        for direction in directions
    ]


def _with_peers(found: Iterable[Case]) -> list[Case]:
    return [replace(case, peers=True) for case in found]


def _learned(dtypes: Iterable[torch.dtype], shapes: Iterable[Shape]) -> list[Case]:
    """The ops with a learned parameter alone: where the channels are, others do not care."""
    return [case for case in _pointwise(dtypes, shapes) if case.op.weight is not None]


def _small_views(mode: str) -> list[Case]:
    """Small tensors in a further view of a GPU."""
    found = [*_pointwise([torch.bfloat16], [SMALL]), *_kaf([torch.bfloat16], [SMALL])]
    return [replace(case, mode=mode) for case in found]


def _by_nodes(dtypes: Iterable[torch.dtype], shape: Shape, counts: Iterable[int]) -> list[Case]:
    """What a node costs: KAF alone, as the published formula takes D times the memory."""
    return [
        Case(kaf_op(nodes), BOTH, dtype, shape, providers=COMPARED[:1])
        for dtype in dtypes
        for nodes in counts
    ]


def _kaf(
    dtypes: Iterable[torch.dtype],
    shapes: Iterable[Shape],
    providers: tuple[str, ...] = COMPARED,
    directions: Sequence[str] = DIRECTIONS,
) -> list[Case]:
    """KAF in every combination."""
    op = kaf_op()
    return [
        Case(op, direction, dtype, shape, providers=providers)
        for dtype in dtypes
        for shape in shapes
        for direction in directions
    ]
