"""What a pointwise activation is, and how one runs: forward, backward, any order, any road."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from triton_acts import _check, _dispatch
from triton_acts._launch import Launcher, UnloadedInCaptureError, alignment
from triton_acts.tuning.config import Config
from triton_acts.tuning.lookup import select

from . import _kernels

__all__ = ["Pointwise", "apply", "launch", "tie_breaker"]

_FLOAT32_MAX = _check.FLOAT32_MAX
_KERNEL_DTYPES, _STRIDED = _dispatch.KERNEL_DTYPES, torch.strided
_TIE_BREAKERS = {
    torch.float32: 1.0,
    torch.float16: 1.0 - 2.0**-24,
    torch.bfloat16: 1.0 - 2.0**-24,
}
_forward = Launcher(_kernels.forward)
_backward = Launcher(_kernels.backward)


@dataclass(frozen=True, eq=False)
class Pointwise:
    """An activation `y[i] = f(x[i])` with scalar parameters.

    Device functions map float32 to float32 and take `*params, one` after their first argument,
    where `one` is `tie_breaker` of the dtype. Plain definitions take `*params` after theirs, work
    for every floating dtype and are differentiable; tests, transforms and torch.compile use them.

    Attributes:
        name: public name, also in configs and records.
        fn: device function, y from x.
        slope: device function, dy/dx from x.
        slope_from_output: device function, dy/dx from y, for `save="output"`.
        composite: plain definition of y from x.
        derivative: plain definition of dy/dx from x, with exact tails.
        derivative_from_output: plain definition of dy/dx from y.
        parameters: the parameters' names and defaults.
        examples: further parameter sets, for tests and tables.
        output_needs: what `save="output"` needs of the parameters, as text and as a test of them.
    """

    name: str
    fn: Any
    slope: Any
    slope_from_output: Any
    composite: Callable[..., Tensor]
    derivative: Callable[..., Tensor]
    derivative_from_output: Callable[..., Tensor]
    parameters: dict[str, float]
    examples: tuple[tuple[float, ...], ...] = ()
    output_needs: tuple[str, Callable[..., bool]] = ("", lambda *_: True)

    @property
    def defaults(self) -> tuple[float, ...]:
        """The default parameters."""
        return tuple(self.parameters.values())


def tie_breaker(dtype: torch.dtype) -> float:
    """The `one` of `math.tanh`: 1 for float32, the float32 below it for 16-bit types.

    Near zero a saturating activation is less than slope * x, by less than float32 resolves.
    Where slope * x is a tie of the 16-bit type (a = 0.25 in float16's subnormals, scale 10 in
    bfloat16), the float32 result would be that tie and half of them round away; one float32 ULP
    less puts them on their true side. Measured: 1,138 misrounded inputs become 2.
    """
    return _TIE_BREAKERS[dtype]


def apply(op: Pointwise, x: Tensor, params: tuple[Any, ...], save: str = "input") -> Tensor:
    """Applies op to x by the road that `_dispatch` names; kernels keep `save` for backward.

    Raises:
        TypeError: x is no strided tensor of a real floating dtype, or a parameter no real number.
        ValueError: a parameter is not finite, or `save` is unknown or impossible with them.
    """
    for value in params:
        if type(value) is not float or not -_FLOAT32_MAX <= value <= _FLOAT32_MAX:
            named = zip(op.parameters, params, strict=True)
            params = tuple(_check.real(op.name, *pair) for pair in named)
            break
    if save != "input":
        _check_save(op, params, save)
    # What `kernel_road` says of plain CPU tensors, without the call: it costs a tenth of a tanh
    if (
        not _dispatch.CPU_KERNELS
        and type(x) is Tensor
        and x.is_cpu
        and x.layout is _STRIDED
        and x.dtype in _KERNEL_DTYPES
    ) or not _dispatch.kernel_road(op.name, x):
        try:
            return op.composite(x, *params)
        except RuntimeError:  # of an operator that has no nested tensors, or no ZeroTensors
            _check.reject_without_memory(op.name, x=x)
            raise
    if x.requires_grad and torch.is_grad_enabled():
        y: Tensor = _Function.apply(x, op, params, save)
        return y
    try:
        return run_forward(op, x, params)
    except UnloadedInCaptureError:
        _dispatch.warn_captured(op.name)
        return op.composite(x, *params)


def _check_save(op: Pointwise, params: tuple[float, ...], save: str) -> None:
    _check.choice(op.name, "save", save, ("input", "output"))
    needs, met = op.output_needs
    if not met(*params):
        given = dict(zip(op.parameters, params, strict=True))
        raise ValueError(f"{op.name}: save='output' needs {needs}, got {given}; use save='input'")


def run_forward(op: Pointwise, x: Tensor, params: tuple[float, ...]) -> Tensor:
    """Launches `op.fn` over x; the result has x's strides where x is dense."""
    y = torch.empty_like(x)
    if not x.is_contiguous() and y.stride() != x.stride():
        x = y.copy_(x)  # in place from here on: a program reads its elements before it writes them
    if x.numel():
        launch(op, "forward", op.fn, (x, y), params)
    return y


def run_backward(
    op: Pointwise, slope: Any, saved: Tensor, g: Tensor, params: tuple[float, ...]
) -> Tensor:
    """Launches `g * slope(saved)`; gradients come with any strides and are brought to saved's."""
    dx = torch.empty_like(saved)
    if saved.stride() != dx.stride():
        saved = torch.empty_like(dx).copy_(saved)
    if g.stride() != dx.stride():
        g = dx.copy_(g)
    if saved.numel():
        launch(op, "backward", slope, (saved, g, dx), params)
    return dx


def launch(
    op: Pointwise,
    direction: str,
    fn: Any,
    tensors: tuple[Tensor, ...],
    params: tuple[float, ...],
    config: Config | None = None,
) -> None:
    """Launches a device function over dense tensors, the last of which takes the result.

    Args:
        op: the op, by whose name a config is selected.
        direction: "forward" or "backward".
        fn: the device function.
        tensors: of one shape, dtype and order of storage; not empty.
        params: of the device function.
        config: instead of the selected one.
    """
    x = tensors[0]
    numel, device, dtype = x.numel(), x.get_device(), x.dtype
    misaligned = alignment(tensors)
    if config is None:
        config = select(op.name, direction, dtype, numel, not misaligned, device)
    block, num_warps = config.block, config.num_warps
    key = (id(fn), dtype, block, num_warps, misaligned)
    grid = (-(-numel // block), 1, 1)
    coefs = (*params, _TIE_BREAKERS[dtype])
    launcher = _forward if direction == "forward" else _backward
    launcher(device, grid, key, (*tensors, numel, coefs, fn, block), num_warps)


class _Function(torch.autograd.Function):
    """The kernel road under autograd.

    The `forward(ctx, ...)` form costs 4 us a call, the `setup_context` form 10 us more.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, op: Pointwise, params: tuple[float, ...], save: str) -> Tensor:
        try:
            y = run_forward(op, x, params)
        except UnloadedInCaptureError:
            _dispatch.warn_captured(op.name)
            y = op.composite(x, *params)
        ctx.save_for_backward(x if save == "input" else y)
        ctx.op, ctx.params, ctx.save = op, params, save
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        (saved,) = ctx.saved_tensors
        op, params = ctx.op, ctx.params
        from_output = ctx.save == "output"
        if not torch.is_grad_enabled() and _dispatch.plain(saved) and _dispatch.plain(g):
            slope = op.slope_from_output if from_output else op.slope
            try:
                dx = run_backward(op, slope, saved, g, params)
            except UnloadedInCaptureError:
                _dispatch.warn_captured(op.name)
            else:
                return dx, None, None, None
        derivative = op.derivative_from_output if from_output else op.derivative
        return g * derivative(saved, *params), None, None, None
