"""Loads kernels before they are needed: inside CUDA-graph capture the driver forbids it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from . import _check, _dispatch
from .dictionary import kaf
from .pointwise import penalized_tanh, scaled_sigmoid

__all__ = ["warmup"]


def warmup(
    ops: str | Iterable[str],
    dtypes: torch.dtype | Iterable[torch.dtype],
    sizes: int | tuple[int, ...] | list[int | tuple[int, ...]],
    device: int | str | torch.device | None = None,
    **dims: Any,
) -> None:
    """Runs ops once, forward and backward, on scratch tensors, so that their kernels are loaded.

    Call it before `torch.cuda.graph` with the sizes that will be captured: a kernel is compiled for
    a dtype and a block size, which depends on the size, and those with weights of each channel for
    the shape. Tensors are contiguous and aligned: for other layouts run the model itself once.
    Whatever changes block sizes afterwards, such as `config_override`, makes kernels cold again.
    Where there is no GPU it does nothing.

    Args:
        ops: names: "scaled_sigmoid", "penalized_tanh", "kaf".
        dtypes: of x: float16, bfloat16, float32.
        sizes: a number of elements, a shape as a tuple, or a list of them; "kaf" and learned slopes
            need shapes.
        device: the GPU, by default the current one.
        **dims: of "penalized_tanh" `num_parameters` (0: a fixed slope) and `channel_dim` (1); of
            "kaf" `channel_dim` (1), `num_nodes` (20), `num_parameters` (rows of alpha, by default
            one a channel), `grid` and `gamma`.

    Raises:
        TypeError: an op does not take one of the dims.
        ValueError: an op is unknown, no kernel takes a dtype, or a shape does not fit.

    Example:
        >>> warmup(["scaled_sigmoid", "kaf"], torch.bfloat16, [(256, 512)], num_nodes=20)
    """
    names = [ops] if isinstance(ops, str) else list(ops)
    for name in names:
        _check.choice("warmup", "ops", name, tuple(_RUNS))
    known = {dim for name in names for dim in _DIMS[name]}
    unknown = sorted(set(dims) - known)
    if unknown:
        raise TypeError(f"warmup: unknown {', '.join(unknown)}; {names} take {sorted(known)}")
    kinds = _listed(dtypes, torch.dtype)
    unfit = [dtype for dtype in kinds if dtype not in _dispatch.KERNEL_DTYPES]
    if unfit:
        raise ValueError(
            f"warmup: no kernel takes {', '.join(map(str, unfit))}; allowed are "
            "torch.float16, torch.bfloat16 and torch.float32"
        )
    shapes = [size if isinstance(size, tuple) else (size,) for size in _listed(sizes, (int, tuple))]
    if not torch.cuda.is_available() and not _dispatch.CPU_KERNELS:
        return
    where = torch.device("cpu" if _dispatch.CPU_KERNELS else "cuda" if device is None else device)
    with torch.inference_mode(False):  # in which nothing has a gradient
        for name in names:
            own = {dim: value for dim, value in dims.items() if dim in _DIMS[name]}
            for dtype in kinds:
                for shape in shapes:
                    _RUNS[name](torch.zeros(shape, dtype=dtype, device=where), **own)


def _listed(values: Any, kind: type | tuple[type, ...]) -> list[Any]:
    return [values] if isinstance(values, kind) else list(values)


def _run(function: Callable[..., Tensor], x: Tensor, *weights: Tensor, **options: Any) -> None:
    """Without gradients, and with those of x, of the weights, and of both."""
    with torch.no_grad():
        function(x, *weights, **options)
    for needed in [(True, True), (True, False), (False, True)] if weights else [(True, False)]:
        of_x, of_weights = needed
        inputs = [x.detach().requires_grad_(of_x)]
        inputs += [w.detach().requires_grad_(of_weights) for w in weights]
        with torch.enable_grad():
            y = function(*inputs, **options)
            torch.autograd.grad(y, [t for t in inputs if t.requires_grad], torch.zeros_like(y))


def _scaled_sigmoid(x: Tensor) -> None:
    for save in ("input", "output"):
        _run(scaled_sigmoid, x, save=save)


def _penalized_tanh(x: Tensor, num_parameters: int = 0, channel_dim: int = 1) -> None:
    if num_parameters:
        a = torch.zeros(num_parameters, device=x.device)
        _run(penalized_tanh, x, a, channel_dim=channel_dim)
        return
    for save in ("input", "output"):
        _run(penalized_tanh, x, save=save)


def _kaf(
    x: Tensor,
    channel_dim: int = 1,
    num_nodes: int = 20,
    num_parameters: int = 0,
    **options: Any,
) -> None:
    if not num_parameters and not -x.dim() <= channel_dim < x.dim():
        raise ValueError(
            f"warmup: kaf needs shapes with a dimension {channel_dim}, got {tuple(x.shape)}"
        )
    alpha = torch.zeros(num_parameters or x.shape[channel_dim], num_nodes, device=x.device)
    _run(kaf, x, alpha, channel_dim=channel_dim, **options)


_RUNS: dict[str, Callable[..., None]] = {
    "scaled_sigmoid": _scaled_sigmoid,
    "penalized_tanh": _penalized_tanh,
    "kaf": _kaf,
}
_DIMS = {
    "scaled_sigmoid": (),
    "penalized_tanh": ("num_parameters", "channel_dim"),
    "kaf": ("channel_dim", "num_nodes", "num_parameters", "grid", "gamma"),
}
