"""Which road a call takes: the Triton kernel or the composite of aten operators.

The only file that knows PyTorch's internals. The composite is the plain PyTorch definition of an
activation: right everywhere, differentiable to any order, fused by torch.compile. The kernel is
faster and may run only where it can be launched on the very memory that the user's tensor shows: a
plain strided tensor on a GPU, outside every transform, mode and trace.
"""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch._C import _functorch
from torch._C import _get_tracing_state as tracing_state
from torch._C import _len_torch_dispatch_stack as _dispatch_modes
from torch._C import _len_torch_function_stack as _function_modes
from torch.autograd import forward_ad
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from . import _check, _triton

__all__ = [
    "CPU_KERNELS",
    "KERNEL_DTYPES",
    "functorch_level",
    "is_compiling",
    "kernel_road",
    "plain",
    "stand_ins",
    "tracing_state",
    "transforming",
    "unseen",
    "untransformed",
    "warn_captured",
]

KERNEL_DTYPES = frozenset((torch.float16, torch.bfloat16, torch.float32))
_STRIDED = torch.strided
functorch_level = _functorch.peek_interpreter_stack
_legacy_batched = _functorch.is_legacy_batchedtensor
_Parameter = torch.nn.Parameter
is_compiling = torch.compiler.is_dynamo_compiling  # others trace under a mode
_INNER = tuple(str(Path(file).parent) + os.sep for file in (torch.__file__, __file__))
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
    return not is_compiling() and untransformed(x)


def stand_ins(*arguments: object) -> bool:
    """True if an argument stands for a tensor without being one, as torch.fx's Proxy does.

    `torch.overrides.handle_torch_function` then hands it the call of the public function, which
    becomes one node of its graph.
    """
    return any(
        not isinstance(value, Tensor) and hasattr(type(value), "__torch_function__")
        for value in arguments
    )


def plain(x: Tensor) -> bool:
    """True if a kernel may read x: it lies where kernels run, and is `untransformed`."""
    return (x.is_cuda or (CPU_KERNELS and x.is_cpu)) and untransformed(x)


def untransformed(x: Tensor) -> bool:
    """True if no transform, mode or trace is active and x's memory holds its values as they are."""
    kind = type(x)
    return (
        (kind is Tensor or kind is _Parameter)
        and functorch_level() is None
        and not _dispatch_modes()
        and (not _function_modes() or _only_a_default_device())
        and forward_ad._current_level < 0
        and tracing_state() is None
        and not x.is_meta
        and not x.is_neg()
        and not x._is_zerotensor()
        and not x.is_nested
        and not _legacy_batched(x)
    )


def transforming() -> bool:
    """True under functorch, forward AD, torch.jit.trace, or a compiler or exporter at work."""
    return (
        functorch_level() is not None
        or forward_ad._current_level >= 0
        or tracing_state() is not None
        or torch.compiler.is_compiling()
    )


def unseen(x: Tensor) -> bool:
    """True if nobody but autograd keeps what operators make of x: it may be written over.

    Modes may keep it (selective checkpointing, profilers), and so may subclasses; compilers turn
    an operator in place into one that is not.
    """
    return is_compiling() or (type(x) is Tensor and not _dispatch_modes() and not _function_modes())


def _only_a_default_device() -> bool:
    """True if the function modes are those of `torch.set_default_device`, which change no call."""
    return all(isinstance(m, DeviceContext) for m in _get_current_function_mode_stack())


def warn_captured(op: str) -> None:
    """Warns that a CUDA graph was captured with the composite in it."""
    warnings.warn(
        f"{op}: its kernel for these arguments was not loaded when CUDA-graph capture began, so "
        "the graph holds the slower composite; call triton_acts.warmup, or run the model once with "
        "backward, before capture",
        RuntimeWarning,
        stacklevel=_users_level(),
    )


def _users_level() -> int:
    """The `stacklevel`, seen by the caller, of the nearest line outside torch and this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INNER):
        level, frame = level + 1, frame.f_back
    return level
