"""What can be compiled and tuned: every kernel variant of every op, as data.

Empty here; the packages that define ops fill it when they are imported, so that this layer knows
none of them. A plan lists a kernel's arguments by name, which is enough to compile it for a GPU
that is not there exactly as a launch would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .config import Config

__all__ = ["FLAT", "REGISTRY", "RULES", "Bench", "Dims", "Hardware", "OpSpec", "Plan", "Pointer"]
__all__ += ["Rule", "Variant", "register"]


@dataclass(frozen=True)
class Hardware:
    """What the analytic rules ask of a GPU.

    Attributes:
        warp_size: lanes a warp.
        bytes_per_clock_sm: DRAM bytes a clock and multiprocessor, 0 where unknown.
    """

    warp_size: int = 32
    bytes_per_clock_sm: float = 0.0


@dataclass(frozen=True)
class Dims:
    """What a config is chosen for, beside op, direction, dtype, size and alignment.

    Attributes:
        layout: how the kernel sees x: "flat" (element by element), "inner1" (N x C), "innerN" (N x
            C x H x W), "small" (the same, planes below 256 elements), "shared" (one channel).
        num_nodes: nodes of a dictionary, else 0.
        free: whether these are free nodes, without a grid.
    """

    layout: str = "flat"
    num_nodes: int = 0
    free: bool = False


FLAT = Dims()


@dataclass(frozen=True)
class Rule:
    """How a direction of an op is launched in one layout, where nothing was measured.

    Attributes:
        default: the analytic config of a dtype on some hardware.
        choices: what else is worth trying there; None for kernels that add up elements. Their
            config is a function of the shape alone: with the tile the order of a sum changes, and
            with the elements a thread which products the compiler fuses into it (KAF's backward on
            sm_120: 57 fused multiply-adds an element of 2 elements a thread, 58 of 4).
    """

    default: Callable[[torch.dtype, Hardware, Dims], Config]
    choices: Callable[[torch.dtype, Hardware, Dims], tuple[Config, ...]] | None = None

    def candidates(self, dtype: torch.dtype, hardware: Hardware, dims: Dims) -> tuple[Config, ...]:
        """The default, and what else is worth trying."""
        default = self.default(dtype, hardware, dims)
        if self.choices is None:
            return (default,)
        return tuple(dict.fromkeys((default, *self.choices(dtype, hardware, dims))))


class Bench(Protocol):
    """A kernel on scratch tensors, for the search."""

    @property
    def x(self) -> Tensor:
        """The input."""

    @property
    def reads(self) -> int:
        """Tensors of x's size that it reads."""

    def run(self, config: Config) -> None:
        """Launches once with that config."""

    def check(self, config: Config) -> str:
        """What is wrong with the result of that config, "" for nothing."""


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
        layout: the example's layout: those of `Dims`, and "inner49" for planes of 7 x 7.
        tensors: tensors of x's shape and dtype that it reads and writes; bytes = tensors * itemsize
            * numel.
        plan: the launch for a dtype and a config.
        dims: what `select` is asked for it.
        bench: makes scratch tensors of about numel elements for (dtype, numel, aligned, device);
            None where another variant stands for it in the search, or nothing may vary.
    """

    name: str
    direction: str
    layout: str
    tensors: int
    plan: Callable[[torch.dtype, Config], Plan]
    dims: Dims = FLAT
    bench: Callable[[torch.dtype, int, bool, torch.device], Bench] | None = None


@dataclass(frozen=True)
class OpSpec:
    """An op, its kernel variants, and its rules by direction and layout."""

    name: str
    variants: tuple[Variant, ...]
    rules: Mapping[tuple[str, str], Rule]


REGISTRY: dict[str, OpSpec] = {}
RULES: dict[tuple[str, str, str], Rule] = {}  # by op, direction and layout


def register(spec: OpSpec) -> None:
    """Adds an op; what is known of one that is there already is extended."""
    known = REGISTRY.get(spec.name, OpSpec(spec.name, (), {}))
    variants = known.variants + spec.variants
    REGISTRY[spec.name] = OpSpec(spec.name, variants, {**known.rules, **spec.rules})
    for (direction, layout), rule in spec.rules.items():
        RULES[spec.name, direction, layout] = rule
