"""Penalized tanh: `tanh(x)` for x > 0 and `a tanh(x)` otherwise; a = 0.25, fixed or learned.

Xu, Huang, Li: Revise Saturated Activation Functions, arXiv 1602.05980 (2016). At x = 0 the
derivative is that of the negative side, a.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from triton_acts import _check, _dispatch
from triton_acts import math as _math
from triton_acts._dispatch import functorch_level, tracing_state, unseen
from triton_acts._triton import jit, tl

from ._define import Pointwise, apply
from ._per_channel import PerChannel, apply_per_channel

__all__ = ["PENALIZED_TANH", "PENALIZED_TANH_PER_CHANNEL", "PenalizedTanh", "penalized_tanh"]

_leaky_relu = torch._C._nn.leaky_relu  # what nn.functional.leaky_relu calls
_grad_enabled = torch.is_grad_enabled
_PLAIN = (Tensor, torch.nn.Parameter)
_leaky_relu_ = torch._C._nn.leaky_relu_


@jit
def _penalized_tanh(x, a, one):
    t = _math.tanh(x, one)
    return tl.where(x > 0, t, a * t)


@jit
def _penalized_tanh_slope(x, a, one):
    return _math.logistic_density(x, tl.where(x > 0, 4.0, 4.0 * a), 2.0)


@jit
def _penalized_tanh_slope_from_output(y, a, one):
    slope = tl.where(y > 0, 1.0 - y * y, a - y * y * (1.0 / a))
    return tl.where(slope < 0, 0.0, slope)  # y may be rounded beyond its bounds


def _composite(x: Tensor, a: float) -> Tensor:
    t = x.tanh()
    if a < 0 or _grad_enabled() or tracing_state() is not None or not unseen(x):
        return _leaky_relu(t, a)
    return _leaky_relu_(t, a)  # nobody keeps t; in place refuses a < 0


def _derivative(x: Tensor, a: float | Tensor) -> Tensor:
    slope = 4 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)
    return torch.where(x > 0, slope, (a * slope).to(x.dtype))


def _derivative_from_output(y: Tensor, a: float) -> Tensor:
    return torch.where(y > 0, 1 - y * y, a - y * y / a).clamp_min(0)


PENALIZED_TANH = Pointwise(
    name="penalized_tanh",
    fn=_penalized_tanh,
    slope=_penalized_tanh_slope,
    slope_from_output=_penalized_tanh_slope_from_output,
    composite=_composite,
    derivative=_derivative,
    derivative_from_output=_derivative_from_output,
    parameters={"a": 0.25},
    examples=((0.25,), (0.0,), (-0.5,), (0.01,), (1.0,), (2.0,)),
    output_needs=("a real number a > 0", lambda a: a > 0),
)


@jit
def _penalized_tanh_slopes(x, a, one):
    t, density = _math.tanh_and_density(x)
    return tl.where(x > 0, 4.0, 4.0 * a) * density, tl.where(x > 0, 0.0, t)


def _composite_per_channel(x: Tensor, a: Tensor) -> Tensor:
    # prelu's kernel multiplies in float32 inside; torch.prelu itself is on autocast's lists
    t = torch.tanh(x)
    wide = torch.promote_types(x.dtype, torch.float32)
    # prelu's batching rule resizes with a warning, and DTensor has no rule for its backward
    if functorch_level() is not None or type(x) is not Tensor or type(a) not in _PLAIN:
        return torch.where(x > 0, t, (a.to(wide) * t).to(x.dtype))
    if a.dtype is x.dtype:
        return torch._prelu_kernel(t, a)
    return torch._prelu_kernel(t.to(wide), a.to(wide)).to(x.dtype)


def _weight_derivative(x: Tensor, a: Tensor) -> Tensor:
    return torch.where(x > 0, 0, torch.tanh(x))


PENALIZED_TANH_PER_CHANNEL = PerChannel(
    name="penalized_tanh",
    weight_name="a",
    fn=_penalized_tanh,
    slopes=_penalized_tanh_slopes,
    composite=_composite_per_channel,
    derivative=_derivative,
    weight_derivative=_weight_derivative,
)


def penalized_tanh(
    x: Tensor, a: float | Tensor = 0.25, channel_dim: int = 1, *, save: str = "input"
) -> Tensor:
    """Computes `tanh(x)` where x > 0 and `a * tanh(x)` elsewhere.

    Args:
        x: any shape and strides; float16, bfloat16, float32 or float64.
        a: slope of the negative side, a finite real number, or a floating tensor of shape (1,) or
            (C,) that may require gradients. It is used in float32; its gradient comes in its own
            dtype from a deterministic sum in float32. Every number is a graph of its own under
            torch.compile, which gives up after 8: what changes is better a tensor.
        channel_dim: the dimension of x that a tensor `a` of C > 1 elements runs along.
        save: what the GPU kernel keeps for backward. "output" lets a following layer share the
            tensor, at a price in accuracy: the derivative is then off by up to 2 ULP of 1 and 0 in
            saturation.

    Returns:
        A tensor of x's shape, dtype and memory format; computed in float32 for 16-bit types.

    Raises:
        TypeError: x or a is not a strided tensor of a real floating dtype, a is no real number, or
            channel_dim no int; x or a is a nested tensor or a ZeroTensor and an operator has no way
            with these.
        ValueError: a is not finite in float32; a tensor a has a wrong shape or device; channel_dim
            is out of range; save is unknown, or is "output" with a <= 0 or a tensor a.

    Source: Xu et al., arXiv 1602.05980.
    """
    tensors = type(x) is Tensor and (type(a) is float or isinstance(a, Tensor))
    if not tensors and _dispatch.stand_ins(x, a):
        args = (x, a, channel_dim)
        y: Tensor = handle_torch_function(penalized_tanh, (x, a), *args, save=save)
        return y
    if type(a) is float or not isinstance(a, Tensor):
        return apply(PENALIZED_TANH, x, (a,), save)
    return apply_per_channel(PENALIZED_TANH_PER_CHANNEL, x, a, channel_dim, save)


class PenalizedTanh(torch.nn.Module):
    """Module form of `penalized_tanh`; learnable when `num_parameters` is given, as nn.PReLU.

    Unlike PReLU's, the first argument is the slope, and the number of slopes the second.

    Args:
        a: slope of the negative side, or its initial value.
        num_parameters: None for a fixed slope, 1 for one learned slope, C for one a channel.
        channel_dim: as in `penalized_tanh`.
        save: as in `penalized_tanh`.
        device: device of the learned slopes.
        dtype: dtype of the learned slopes.

    Attributes:
        a: the slope, or the Parameter of shape (num_parameters,).

    Raises:
        TypeError, ValueError: as `penalized_tanh`, or num_parameters is below 1.
    """

    def __init__(
        self,
        a: float = 0.25,
        num_parameters: int | None = None,
        channel_dim: int = 1,
        *,
        save: str = "input",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.initial_a = _check.real("PenalizedTanh", "a", a)
        _check.integer("PenalizedTanh", "channel_dim", channel_dim)
        self.num_parameters, self.channel_dim, self.save = num_parameters, channel_dim, save
        self.a: float | torch.nn.Parameter = self.initial_a
        if num_parameters is not None:
            if type(num_parameters) is not int:
                raise TypeError(
                    f"PenalizedTanh: num_parameters must be an int or None, got {num_parameters!r}"
                )
            if num_parameters < 1:
                raise ValueError(
                    f"PenalizedTanh: num_parameters must be at least 1, got {num_parameters}"
                )
            del self.a
            self.a = torch.nn.Parameter(torch.empty(num_parameters, device=device, dtype=dtype))
            self.reset_parameters()
        slope = self.initial_a if num_parameters is None else torch.zeros(1)
        penalized_tanh(torch.zeros(0), slope, save=save)  # raises here and not at the first batch

    def reset_parameters(self) -> None:
        """Sets learned slopes back to the initial value."""
        if isinstance(self.a, torch.nn.Parameter):
            torch.nn.init.constant_(self.a, self.initial_a)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation to x, of any shape with the channels in `channel_dim`."""
        return penalized_tanh(x, self.a, self.channel_dim, save=self.save)

    def extra_repr(self) -> str:
        """The arguments, as in the constructor."""
        return (
            f"a={self.initial_a}, num_parameters={self.num_parameters}, "
            f"channel_dim={self.channel_dim}, save={self.save!r}"
        )
