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


def aligned(tensors: tuple[Tensor, ...]) -> bool:
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
        self,
        device: int,
        grid: tuple[int, int, int],
        key: Any,
        args: tuple[Any, ...],
        num_warps: int,
    ) -> None:
        """Runs the kernel on the device of that index, on its current stream."""
        if _triton.INTERPRETED:
            self.kernel[grid](*args)
            return
        driver = _triton.driver.active
        if device != driver.get_current_device():
            with torch.cuda.device(device):
                self(device, grid, key, args, num_warps)
            return
        compiled = self._variants.get((device, key))
        if compiled is None:
            self._bind(device, grid, key, args, num_warps)
            return
        listeners = _triton.triton.knobs.runtime
        if listeners.launch_enter_hook.calls or listeners.launch_exit_hook.calls:
            compiled[grid](*args)  # a profiler is attached: Triton's own call tells it
            return
        stream = driver.get_current_stream(device)
        function, metadata = compiled.function, compiled.packed_metadata
        compiled.run(*grid, stream, function, metadata, None, None, None, *args)

    def _bind(
        self,
        device: int,
        grid: tuple[int, int, int],
        key: Any,
        args: tuple[Any, ...],
        num_warps: int,
    ) -> None:
        """Launches by Triton's own binder, and keeps the variant that it chose."""
        compiled = self.kernel[grid](*args, num_warps=num_warps)
        # AMD's compiler also specialises on the size of each pointer's storage: always ask it
        if compiled is not None and compiled.metadata.target.backend == "cuda":
            self._variants[device, key] = compiled
