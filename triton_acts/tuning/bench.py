"""Scratch tensors for the search: what it runs a candidate on, and how it knows the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .config import Config

__all__ = ["Scratch", "ends", "reversed_copy", "rows_of", "scratch"]

_SEED = 1602
_TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}


@dataclass(frozen=True)
class Scratch:
    """A launch on scratch tensors; never on a user's, which kernels may overwrite.

    Attributes:
        x: the input.
        reads: tensors of x's size that the kernel reads.
        outputs: what it writes.
        launch: launches it with a config.
        default: the config whose bits every other one must reproduce.
        sample: pairs of results and what float64 says of them.
    """

    x: Tensor
    reads: int
    outputs: tuple[Tensor, ...]
    launch: Callable[[Config], None]
    default: Config
    sample: Callable[[], Iterable[tuple[Tensor, Tensor]]]

    def run(self, config: Config) -> None:
        """Launches once with that config."""
        self.launch(config)

    def check(self, config: Config) -> str:
        """What is wrong with the result of that config, "" for nothing."""
        self._launch_on_nan(config)
        missing = sum(int(output.isnan().sum()) for output in self.outputs)
        if missing:
            return f"{missing} results are NaN or were never written"
        tolerance = _TOLERANCE[self.x.dtype]
        for found, expected in self.sample():
            scale = expected.abs().max().clamp_min(1e-30)
            error = ((found.double() - expected).abs().max() / scale).item()
            if not error <= tolerance:
                return f"off by {error:.1e} of the largest value, allowed is {tolerance:.1e}"
        if config == self.default:
            return ""
        bits = [_bits(output).clone() for output in self.outputs]
        self._launch_on_nan(self.default)
        differing = sum(
            int((_bits(output) != kept).sum())
            for output, kept in zip(self.outputs, bits, strict=True)
        )
        return f"{differing} results differ from the default's in their bits" if differing else ""

    def _launch_on_nan(self, config: Config) -> None:
        for output in self.outputs:
            output.fill_(torch.nan)
        self.launch(config)


def _bits(x: Tensor) -> Tensor:
    return x.view({2: torch.int16, 4: torch.int32}[x.element_size()])


def scratch(
    shape: tuple[int, ...], dtype: torch.dtype, aligned: bool, device: torch.device
) -> Tensor:
    """Normal random numbers, always the same; misaligned, they start one element late."""
    numel = torch.Size(shape).numel()
    generator = torch.Generator(device).manual_seed(_SEED)
    late = 0 if aligned else 1
    flat = torch.empty(numel + late, dtype=dtype, device=device).normal_(generator=generator)
    return flat[late:].view(shape)


def reversed_copy(x: Tensor, aligned: bool) -> Tensor:
    """The elements from back to front: a second input, not to be mistaken for the first."""
    out = scratch(tuple(x.shape), x.dtype, aligned, x.device)
    out.view(-1).copy_(x.view(-1).flip(0))
    return out


def ends(shape: tuple[int, int, int], count: int) -> list[tuple[Any, ...]]:
    """Indices of the first and of the last rows of [outer, channels, inner], about count elements.

    Where there is one row of one channel, of its first and last elements.
    """
    outer, channels, inner = shape
    if outer * channels == 1:
        return [(..., slice(0, count)), (..., slice(-count, None))]
    rows = max(1, min(outer, count // (channels * inner)))
    return [(slice(0, rows),), (slice(-rows, None),)]


def rows_of(layout: str, numel: int) -> tuple[int, int, int]:
    """A typical [outer, channels, inner] of about numel elements, for a layout of `Dims`."""
    if layout == "shared":
        return 1, 1, numel
    inner = {"inner1": 1, "small": 49}.get(layout, 3136 if numel >= 1 << 18 else 256)
    most = 64 if layout == "innerN" else 512
    channels = min(most, max(2, numel // inner))
    return max(1, numel // (channels * inner)), channels, inner
