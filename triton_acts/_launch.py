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

__all__ = ["Launcher", "UnloadedInCaptureError", "alignment", "divisor"]


def alignment(tensors: tuple[Tensor, ...]) -> int:
    """A bit for each data pointer that is no multiple of 16 bytes: Triton specialises each."""
    bits = 0
    for x in tensors:
        bits |= x.data_ptr()
    if not bits & 15:
        return 0
    return sum(1 << i for i, x in enumerate(tensors) if x.data_ptr() & 15)


def divisor(n: int) -> int:
    """The class of an integer that Triton compiles for: 1, a multiple of 16, or neither."""
    return 1 if n == 1 else 16 if n % 16 == 0 else 0


class UnloadedInCaptureError(RuntimeError):
    """A kernel was not loaded when a CUDA graph was captured; the driver forbids it then."""


class Launcher:
    """One kernel and its compiled variants.

    `key` has to determine, together with the device, everything that Triton specialises on: the
    dtypes and alignment of pointers, integers that are 1 or multiples of 16, and all `tl.constexpr`
    values. Functions enter it as their `id`: a jitted function hashes its whole source.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._variants: dict[Any, Any] = {}
        self._bound: set[Any] = set()

    def __call__(
        self,
        device: int,
        grid: tuple[int, int, int],
        key: Any,
        args: tuple[Any, ...],
        num_warps: int,
    ) -> None:
        """Runs the kernel on the device of that index, on its current stream.

        Raises:
            UnloadedInCaptureError: the variant is not loaded and a CUDA graph is being captured.
        """
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
        enter, leave = _triton.knobs.launch_enter_hook, _triton.knobs.launch_exit_hook
        if getattr(enter, "calls", enter) or getattr(leave, "calls", leave):
            compiled[grid](*args)  # Triton's own call tells who listens
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
        if (device, key) not in self._bound and torch.cuda.is_current_stream_capturing():
            raise UnloadedInCaptureError
        compiled = self.kernel[grid](*args, num_warps=num_warps)
        self._bound.add((device, key))
        # AMD's compiler also specialises on the size of each pointer's storage: always ask it
        if compiled is not None and compiled.metadata.target.backend == "cuda":
            self._variants[device, key] = compiled
