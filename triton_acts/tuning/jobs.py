"""What there is to tune: every op, direction, layout, dtype and size, as data.

Misaligned tensors are left to the analytic rule: they load an element at a time, whatever is tuned,
and each alignment of each pointer is a kernel of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from .keys import key
from .registry import REGISTRY, Variant

__all__ = ["DTYPES", "OCTAVES", "Job", "jobs"]

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
OCTAVES = (24, 20, 28, 16, 12)  # log2 elements, the most used first


@dataclass(frozen=True)
class Job:
    """One key and size to tune."""

    op: str
    variant: Variant
    dtype: torch.dtype
    octave: int
    aligned: bool = True

    @property
    def key(self) -> str:
        """The entry's name in config files."""
        return key(self.op, self.variant.direction, self.dtype, self.aligned, self.variant.dims)

    @property
    def label(self) -> str:
        """The key and size, for people."""
        return f"{self.key} 2^{self.octave}"


def jobs(
    ops: Sequence[str],
    dtypes: Sequence[torch.dtype] = DTYPES,
    octaves: Sequence[int] = OCTAVES,
) -> list[Job]:
    """Every key and size of some ops, the most used first.

    Raises:
        ValueError: an op is unknown.
    """
    for op in ops:
        if op not in REGISTRY:
            raise ValueError(f"unknown op {op!r}, allowed are {', '.join(REGISTRY)}")
    return [
        Job(op, variant, dtype, octave)
        for octave in octaves
        for dtype in dtypes
        for op in ops
        for variant in REGISTRY[op].variants
        if variant.bench is not None
    ]
