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
    # CPU tensors leave here: the composite is also what Dynamo and functorch want of them.
    if not (x.is_cuda or CPU_KERNELS) or not _triton.INSTALLED:
        return False
    return not _is_compiling() and _outside_transforms() and _own_memory(x)


def plain(*tensors: Tensor) -> bool:
    """True if no transform is active and a kernel may read each tensor's memory as its values.

    What autograd hands to a backward may be batched although no transform is active.
    """
    if not _outside_transforms():
        return False
    return all(_own_memory(x) and not _batched(x) and not _legacy_batched(x) for x in tensors)


def _outside_transforms() -> bool:
    return (
        _functorch_level() is None
        and not _dispatch_modes()
        and not _function_modes()
        and forward_ad._current_level < 0
        and _tracing_state() is None
    )


def _own_memory(x: Tensor) -> bool:
    kind = type(x)
    return (
        (kind is Tensor or kind is _Parameter)
        and (x.is_cuda or (CPU_KERNELS and x.is_cpu))
        and not x.is_neg()
        and not x._is_zerotensor()
        and not x.is_nested
    )


def differentiable(*tensors: Tensor) -> bool:
    """True if autograd has to hear of a call with these inputs."""
    if _grad_enabled():
        for x in tensors:
            if x.requires_grad:
                return True
    return False
