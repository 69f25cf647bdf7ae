"""Launches a Triton kernel at the cost of one dictionary look-up once a variant is known.

`kernel[grid](...)` inspects every argument at every call to find the compiled variant. Here the
caller states what distinguishes variants (a key: dtype, alignment, constants), the first call with
a key goes through Triton's own binder, and later ones call the compiled kernel that it returned.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import _triton

__all__ = ["Launcher", "aligned"]


def aligned(*tensors: Tensor) -> bool:
    """True if all data pointers are multiples of 16 bytes, the fact that Triton specialises on."""
    bits = 0
    for x in tensors:
        bits |= x.data_ptr()
    return not bits & 15


class Launcher:
    """One kernel and its compiled variants.

    `key` has to determine, together with the device, everything that Triton specialises on: the
    dtypes and alignment of pointers, integers that are 1 or multiples of 16, and all `tl.constexpr`
    values. Functions enter it as their `id`: a jitted function hashes its whole source.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._variants: dict[Any, Any] = {}

    def __call__(
        self, x: Tensor, grid: tuple[int, int, int], key: Any, args: tuple[Any, ...], num_warps: int
    ) -> None:
        """Runs the kernel on x's device and that device's current stream."""
        if _triton.INTERPRETED:
            self.kernel[grid](*args)
            return
        device = x.get_device()
        if device != _triton.driver.active.get_current_device():
            with torch.cuda.device(device):
                self._run(device, grid, key, args, num_warps)
        else:
            self._run(device, grid, key, args, num_warps)

    def _run(
        self,
        device: int,
        grid: tuple[int, int, int],
        key: Any,
        args: tuple[Any, ...],
        num_warps: int,
    ) -> None:
        compiled = self._variants.get((device, key))
        if compiled is not None:
            compiled[grid](*args)
            return
        compiled = self.kernel[grid](*args, num_warps=num_warps)
        # AMD's compiler also specialises on the size of each pointer's storage: always ask it
        if compiled is not None and compiled.metadata.target.backend == "cuda":
            self._variants[device, key] = compiled
