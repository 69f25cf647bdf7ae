"""Tensors that end, or begin, at a page which no process may touch."""

import ctypes
import mmap

import torch

from .canaries import Canaries

__all__ = ["GuardPages"]

PAGE = mmap.PAGESIZE
_LIBC = ctypes.CDLL(None, use_errno=True)


class GuardPages(Canaries):
    """Like canaries, for reads too: a process that goes beyond a tensor ends with a signal.

    A page before and a page behind are forbidden; `flush` says which of them a tensor touches.
    """

    def __init__(self, flush):
        super().__init__()
        self.flush, self._maps = flush, []

    def around(self, x):
        """A copy of a dense tensor, with its strides."""
        size = x.numel() * x.element_size()
        if not size:
            return x
        whole = -(-size // PAGE) * PAGE
        memory = mmap.mmap(-1, whole + 2 * PAGE)
        self._maps.append(memory)
        first = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for guard in (first, first + PAGE + whole):
            if _LIBC.mprotect(ctypes.c_void_p(guard), PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        start = PAGE if self.flush == "before" else PAGE + whole - size
        flat = torch.frombuffer(memory, dtype=x.dtype, count=x.numel(), offset=start)
        with torch.no_grad():
            return flat.as_strided(x.shape, x.stride()).copy_(x)
