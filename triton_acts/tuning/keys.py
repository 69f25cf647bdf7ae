"""Under which names configs are stored: `op/direction/dtype/aligned`, and below it the size."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from .config import Config
from .registry import Dims

__all__ = ["FARTHEST", "NODE_BUCKETS", "ROW_LAYOUTS", "bucket", "key", "layout_of", "nearest"]

ROW_LAYOUTS = ("inner1", "innerN", "small", "shared")  # where channels have weights of their own

NODE_BUCKETS = (8, 20, 40, 64, 128, 256)  # nodes of a dictionary
FARTHEST = 2  # octaves between a size and an entry that still answers for it
_SMALL_PLANE = 256  # elements; below it accesses are narrow or lanes idle


def bucket(numel: int) -> int:
    """The size's octave, log2 numel rounded: never the raw size, which would be endless.

    Raises:
        ValueError: numel is below 1.
    """
    if numel < 1:
        raise ValueError(f"numel must be at least 1, got {numel}")
    return (numel * numel).bit_length() // 2


def key(op: str, direction: str, dtype: torch.dtype, aligned: bool, dims: Dims) -> str:
    """The name of an entry, such as "kaf/forward/bfloat16/aligned/D<=20/inner1"."""
    parts = [op, direction, str(dtype).removeprefix("torch."), "aligned" if aligned else "any"]
    if dims.num_nodes:
        fitting = (str(b) for b in NODE_BUCKETS if dims.num_nodes <= b)
        parts.append(f"{'free' if dims.free else 'D'}<={next(fitting, 'more')}")
    if dims.layout != "flat":
        parts.append(dims.layout)
    return "/".join(parts)


def nearest(sizes: Mapping[int, Config], octave: int) -> int | None:
    """The entry nearest to a size, the smaller of two; None if all are over two octaves away."""
    best = min(sizes, key=lambda size: (abs(size - octave), size), default=None)
    return best if best is not None and abs(best - octave) <= FARTHEST else None


def layout_of(channels: int, inner: int) -> str:
    """The layout of [outer, channels, inner]."""
    if channels == 1:
        return "shared"
    if inner == 1:
        return "inner1"
    return "small" if inner < _SMALL_PLANE else "innerN"
