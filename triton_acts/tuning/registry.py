"""What can be compiled and tuned: every kernel variant of every op, as data.

Empty here; the packages that define ops fill it when they are imported, so that this layer knows
none of them. A plan lists a kernel's arguments by name, which is enough to compile it for a GPU
that is not there exactly as a launch would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from .config import Config

__all__ = ["REGISTRY", "OpSpec", "Plan", "Pointer", "Variant", "register"]


@dataclass(frozen=True)
class Pointer:
    """A pointer argument: its elements' dtype, and whether it is a multiple of 16 bytes."""

    dtype: torch.dtype
    aligned: bool = True


@dataclass(frozen=True)
class Plan:
    """One launch, without its tensors.

    Attributes:
        kernel: the jitted function.
        args: its arguments by name: `Pointer`, int, float, tuple of floats, or any value for
            `tl.constexpr`.
        num_warps: warps a program.
        elements: elements of x in one tile, which one pass over the kernel's (loop) body handles.
    """

    kernel: Any
    args: Mapping[str, Any]
    num_warps: int
    elements: int


@dataclass(frozen=True)
class Variant:
    """One kernel variant of an op.

    Attributes:
        name: "scalar", "save_output", "per_channel", ...
        direction: "forward" or "backward".
        layout: how the kernel sees x: "flat", "shared", "inner1", "innerN", ...
        tensors: tensors of x's shape and dtype that it reads and writes; bytes = tensors * itemsize
            * numel.
        plan: the launch for a dtype and a config (ignored where geometry is a function of the
            shape).
    """

    name: str
    direction: str
    layout: str
    tensors: int
    plan: Callable[[torch.dtype, Config], Plan]


@dataclass(frozen=True)
class OpSpec:
    """An op and its kernel variants."""

    name: str
    variants: tuple[Variant, ...]


REGISTRY: dict[str, OpSpec] = {}


def register(spec: OpSpec) -> None:
    """Adds an op; the variants of one that is there already are extended."""
    known = REGISTRY.get(spec.name)
    REGISTRY[spec.name] = OpSpec(spec.name, known.variants + spec.variants) if known else spec
