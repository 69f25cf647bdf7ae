"""KAF on tensors whose memory shows their values: kernels on a GPU, pieces on a CPU.

Both want a dense tensor, which they see as [outer, channels, inner] in the order of its storage.
"""

from __future__ import annotations

import torch
from torch import Tensor

from triton_acts import _dispatch, _triton

from . import _kernel_road, _pieces
from ._composite import Dictionary, composite

__all__ = ["backward", "forward"]


def _on_kernels(x: Tensor) -> bool:
    return (
        (x.is_cuda or _dispatch.CPU_KERNELS)
        and x.dtype in _dispatch.KERNEL_DTYPES
        and _triton.INSTALLED
    )


def forward(x: Tensor, alpha: Tensor, dictionary: Dictionary, channel_dim: int) -> Tensor:
    """y, with x's strides where x is dense.

    Raises:
        UnloadedInCaptureError: the kernel is not loaded and a CUDA graph is being captured.
    """
    kernels = _on_kernels(x)
    if not (kernels or x.is_cpu):
        return composite(x, alpha, dictionary, channel_dim)
    y = torch.empty_like(x)
    dense = x
    if x.stride() != y.stride():
        # a kernel may work in place: a program reads its elements before it writes them
        dense = (y if kernels else torch.empty_like(y)).copy_(x)
    if x.numel():
        run = _kernel_road.forward if kernels else _pieces.forward
        run(dictionary, *_rows(alpha, channel_dim, dense, y))
    return y


def backward(
    x: Tensor,
    alpha: Tensor,
    g: Tensor,
    dictionary: Dictionary,
    channel_dim: int,
    need_dx: bool,
    need_dalpha: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """Returns dx with y's strides, and dalpha of alpha's dtype; None for what is not needed.

    Raises:
        UnloadedInCaptureError: the kernel is not loaded and a CUDA graph is being captured.
    """
    if not (need_dx or need_dalpha):
        return None, None
    if not x.numel():
        return (
            torch.empty_like(x) if need_dx else None,
            alpha.new_zeros(alpha.shape) if need_dalpha else None,
        )
    strides = torch.empty_like(x, device="meta").stride()
    dense = x if x.stride() == strides else torch.empty_like(x).copy_(x)
    if g.stride() != strides:  # gradients come with any strides
        g = torch.empty_like(x).copy_(g)
    dx = torch.empty_like(x) if need_dx else dense  # a pointer that nothing is stored to
    run = _kernel_road.backward if _on_kernels(x) else _pieces.backward
    dalpha = run(dictionary, (need_dx, need_dalpha), *_rows(alpha, channel_dim, dense, g, dx))
    return dx if need_dx else None, dalpha.to(alpha.dtype) if need_dalpha else None


def _rows(alpha: Tensor, channel_dim: int, *dense: Tensor) -> tuple[Tensor, ...]:
    """alpha, and dense tensors as [outer, channels, inner] in the order of their storage."""
    first, channels = dense[0], alpha.shape[0]
    inner = first.numel() if channels == 1 else first.stride(channel_dim)
    shape = (first.numel() // (channels * inner), channels, inner)
    strides = (channels * inner, inner, 1)
    return alpha.detach(), *(t.as_strided(shape, strides) for t in dense)
