"""Argument checks: each raises TypeError or ValueError with what was given and what is allowed."""

from __future__ import annotations

from numbers import Real
from typing import NoReturn

import torch
from torch import Tensor

__all__ = [
    "FLOAT32_MAX",
    "choice",
    "floating",
    "integer",
    "real",
    "reject",
    "reject_without_memory",
    "same_device",
]

FLOAT32_MAX = 3.4028234663852886e38
FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def reject(op: str, x: object) -> NoReturn:
    """Raises the TypeError for an input that no road of `op` takes."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: x must be a torch.Tensor, got {type(x).__name__}")
    if x.dtype not in FLOATING:
        raise TypeError(
            f"{op}: x has dtype {x.dtype}; allowed are "
            f"{', '.join(str(d) for d in FLOATING)} (convert it, for example x.float())"
        )
    raise TypeError(
        f"{op}: x has layout {x.layout}; only torch.strided is supported (convert it, for example "
        f"x.to_dense())"
    )


def real(op: str, name: str, value: object) -> float:
    """`value` as a float; TypeError for tensors and non-numbers, ValueError beyond float32."""
    if type(value) is not float:
        if isinstance(value, Tensor):
            raise TypeError(
                f"{op}: {name} must be a real number, got a Tensor of shape {tuple(value.shape)}; "
                f"pass a Python float (a tensor's value would have to be copied from its device)"
            )
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{op}: {name} must be a real number, got {value!r}")
        try:
            value = float(value)
        except OverflowError:
            value = float("inf")
    if not -FLOAT32_MAX <= value <= FLOAT32_MAX:  # also NaN
        raise ValueError(f"{op}: {name} must be finite in float32, got {value}")
    return value


def integer(op: str, name: str, value: object) -> int:
    """`value` as it is; TypeError unless it is an int, and no bool."""
    if type(value) is not int:
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    return value


def choice(op: str, name: str, value: object, allowed: tuple[str, ...]) -> None:
    """ValueError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{op}: {name} must be one of {allowed}, got {value!r}")


def reject_without_memory(op: str, **tensors: Tensor) -> None:
    """TypeError if one of them, by its argument's name, is a nested tensor or a ZeroTensor."""
    for name, value in tensors.items():
        if value.is_nested:
            raise TypeError(
                f"{op}: {name} is a nested tensor; allowed are dense tensors (pass those of "
                f"{name}.unbind() one by one, or {name}.to_padded_tensor(0.0))"
            )
        if value._is_zerotensor():
            raise TypeError(
                f"{op}: {name} is a ZeroTensor, which has no memory; allowed are dense tensors "
                f"(pass {name}.clone())"
            )


def floating(op: str, name: str, value: Tensor) -> None:
    """TypeError unless the parameter tensor `value` is real, floating and strided."""
    if value.dtype not in FLOATING or value.layout is not torch.strided:
        raise TypeError(
            f"{op}: {name} has dtype {value.dtype} and layout {value.layout}; allowed are strided "
            f"tensors of {', '.join(str(d) for d in FLOATING)}"
        )


def same_device(op: str, x: Tensor, name: str, value: Tensor) -> None:
    """ValueError unless the parameter tensor lies on the device of x."""
    if value.device != x.device:
        raise ValueError(
            f"{op}: x is on {x.device} but {name} is on {value.device}; move {name} with "
            f".to(x.device)"
        )
