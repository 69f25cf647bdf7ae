"""Compiles a plan for any architecture, with or without that GPU, exactly as a launch would.

What a launch infers from its arguments (alignment, divisibility, sizes) changes the machine code,
so it is not imitated here: Triton's own binder gets stand-ins for the tensors. Details matter: an
argument annotated `tl.int64`, for one, does not become a constant when it is 1, and a kernel whose
stride it is then loads 2 bytes at a time.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from triton_acts import _triton, gpus

from .registry import Plan, Pointer

__all__ = ["compile_plan"]

_FRONT_END = threading.Lock()


@dataclass(frozen=True)
class _StandIn:
    """What Triton asks a tensor: its dtype, its address and, on AMD, the size of its storage."""

    dtype: torch.dtype
    address: int

    def data_ptr(self) -> int:
        return self.address

    def ptr_range(self) -> int:
        """Storage in bytes: below 2 GiB, AMD's compiler uses buffer instructions."""
        return 2**20


def compile_plan(plan: Plan, arch: str) -> Any:
    """Compiles a kernel for an architecture; no GPU is needed.

    Args:
        plan: the launch.
        arch: one of `gpus.architectures()`, "sm_90", "gfx942", ...

    Returns:
        Triton's compiled kernel; its `asm` has the machine code under "cubin" or "amdgcn".

    Raises:
        ValueError: arch is not in the table of GPUs.
        RuntimeError: Triton is not installed, or runs in its interpreter.
    """
    target = _target(arch)
    if not _triton.INSTALLED:
        raise RuntimeError("compile_plan: Triton is not installed, so there is nothing to inspect")
    if _triton.INTERPRETED:
        raise RuntimeError(
            "compile_plan: TRITON_INTERPRET is on, which replaces the compiler: unset it"
        )
    from triton.compiler import compiler
    from triton.runtime.jit import create_function_from_signature

    kernel = plan.kernel
    backend = compiler.make_backend(target)
    options = {"num_warps": plan.num_warps}
    bind = create_function_from_signature(kernel.signature, kernel.params, backend)
    args = {name: _stand_in(value) for name, value in plan.args.items()}
    bound, specialization, _ = bind(**args, **options)
    parsed, signature, constants, attributes = kernel._pack_args(
        backend, options, bound, specialization, options
    )
    with _FRONT_END:  # of what the source calls, too, the text is parsed to name it
        source = _source()(kernel, signature, constants, attributes)
        source.hash()
    return compiler.compile(source, target=target, options=parsed.__dict__)


@cache
def _source() -> Any:
    """Triton's source, whose way to its intermediate code one thread takes at a time.

    CPython 3.11 counts the depth of `ast.parse` in a global: threads that parse at once fail with a
    SystemError, about once in a thousand compilations. Python code of two threads never runs at
    once anyway; what takes long is LLVM and ptxas, which do.
    """
    from triton.compiler import compiler

    class Source(compiler.ASTSource):  # type: ignore[misc]
        def make_ir(self, *args: Any) -> Any:
            with _FRONT_END:
                return super().make_ir(*args)

    return Source


def _stand_in(value: Any) -> Any:
    """A tensor's stand-in for a pointer, at an address that is or is not a multiple of 16 bytes."""
    if not isinstance(value, Pointer):
        return value
    return _StandIn(value.dtype, 0 if value.aligned else value.dtype.itemsize)


@cache
def _target(arch: str) -> Any:
    gpu = next((gpu for gpu in gpus.table() if gpu.arch == arch), None)
    if gpu is None:
        raise ValueError(
            f"compile_plan: unknown architecture {arch!r}, allowed are "
            f"{', '.join(gpus.architectures())}"
        )
    if not _triton.INSTALLED:
        return None
    from triton.backends.compiler import GPUTarget

    if gpu.vendor == "amd":
        return GPUTarget("hip", arch, gpu.warp_size)
    return GPUTarget("cuda", int(arch.removeprefix("sm_")), gpu.warp_size)
