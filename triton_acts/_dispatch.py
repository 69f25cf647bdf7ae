"""Which road a call takes: the Triton kernel or the composite of aten operators.

The only file that knows PyTorch's internals. The composite is the plain PyTorch definition of an
activation: right everywhere, differentiable to any order, fused by torch.compile. The kernel is
    faster
and may run only where it can be launched on the very memory that the user's tensor shows: a plain
strided tensor on a GPU, outside every transform, mode and trace.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch._C import _functorch
from torch._C import _get_tracing_state as _tracing_state
from torch._C import _len_torch_dispatch_stack as _dispatch_modes
from torch._C import _len_torch_function_stack as _function_modes
from torch.autograd import forward_ad

from . import _check, _triton

__all__ = ["CPU_KERNELS", "KERNEL_DTYPES", "differentiable", "kernel_road", "plain"]

KERNEL_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32))
_STRIDED = torch.strided
_functorch_level = _functorch.peek_interpreter_stack
_batched = _functorch.is_batchedtensor
_legacy_batched = _functorch.is_legacy_batchedtensor
_grad_enabled = torch.is_grad_enabled
_Parameter = torch.nn.Parameter
_is_compiling = torch.compiler.is_compiling
CPU_KERNELS = _triton.INTERPRETED  # CPU tensors take the kernel road, through Triton's interpreter


def kernel_road(op: str, x: Tensor) -> bool:
    """True if `op` may run its kernel on x, False for the composite.

    Raises:
        TypeError: x is no tensor, not of a real floating dtype, or not strided.
    """
    try:
        dtype, layout = x.dtype, x.layout
    except AttributeError:
        _check.reject(op, x)
    if dtype not in KERNEL_DTYPES:
        if dtype is not torch.float64 or layout is not _STRIDED:
            _check.reject(op, x)
        return False
    if layout is not _STRIDED:
        _check.reject(op, x)
    # CPU tensors leave here; the composite is also what Dynamo, functorch and the rest want of
    # them.
    if not (x.is_cuda or CPU_KERNELS) or not _triton.INSTALLED:
        return False
    return not _is_compiling() and plain(x)


def plain(*tensors: Tensor) -> bool:
    """True if no transform, mode or trace is active and each tensor's memory holds its values."""
    if (
        _functorch_level() is not None
        or _dispatch_modes()
        or _function_modes()
        or forward_ad._current_level >= 0
        or _tracing_state() is not None
    ):
        return False
    for x in tensors:
        kind = type(x)
        if (
            (kind is not Tensor and kind is not _Parameter)
            or not (x.is_cuda or (CPU_KERNELS and x.is_cpu))
            or x.is_neg()
            or x._is_zerotensor()
            or x.is_nested
            or _batched(x)
            or _legacy_batched(x)
        ):
            return False
    return True


def differentiable(*tensors: Tensor) -> bool:
    """True if autograd has to hear of a call with these inputs."""
    if _grad_enabled():
        for x in tensors:
            if x.requires_grad:
                return True
    return False
