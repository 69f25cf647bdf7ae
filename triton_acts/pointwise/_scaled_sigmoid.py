"""Scaled sigmoid: `scale * sigmoid(x) + bias`, zero-centred by default (`4 sigmoid(x) - 2`).

Xu, Huang, Li: Revise Saturated Activation Functions, arXiv 1602.05980 (2016): the logistic sigmoid
is hard to train because of its slope 1/4 at the origin and its mean 1/2; rescaled to slope 1 and
mean 0 it behaves like tanh.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.overrides import handle_torch_function

from triton_acts import _check, _dispatch
from triton_acts import math as _math
from triton_acts._dispatch import tracing_state, unseen
from triton_acts._triton import jit, tl

from ._define import Pointwise, apply

_HALF_MAX = 65504.0
_grad_enabled = torch.is_grad_enabled

__all__ = ["SCALED_SIGMOID", "ScaledSigmoid", "scaled_sigmoid"]


@jit
def _scaled_sigmoid(x, scale, bias, one):
    # bias + scale s for x < 0 and bias + scale - scale s for x > 0, s = sigmoid(-|x|): neither
    # cancels, so the logistic (bias 0) keeps its relative accuracy and the centred form equals
    # (scale/2) tanh(x/2).
    s = _math.reciprocal_tail(tl.abs(x))
    large = tl.where(x > 0, tl.fma(s, -scale, scale + bias), tl.fma(s, scale, bias))
    # near 0: (scale/4) x (1 + p(t) t) + bias + scale/2, with tanh's polynomial at x/2. A centred
    # curve subtracts 0 - 0 = +0.0 and so keeps the sign of a zero.
    t = x * x
    p = tl.fma(6.429181421670108e-05, t, -0.0008231892360448837)
    p = tl.fma(p, t, 0.008325588434338541)
    p = tl.fma(p, t, -0.08333239366382837)
    small = x * (scale * 0.25) * tl.fma(p, t, one) - (0.0 - tl.fma(scale, 0.5, bias))
    return tl.where(tl.abs(x) < 1.1, small, large)


@jit
def _scaled_sigmoid_slope(x, scale, bias, one):
    return _math.logistic_density(x, scale, 1.0)


@jit
def _scaled_sigmoid_slope_from_output(y, scale, bias, one):
    s = (y - bias) * (1.0 / scale)
    slope = s * (1.0 - s)
    return scale * tl.where(slope < 0, 0.0, slope)  # y may be rounded beyond its bounds


def _composite(x: Tensor, scale: float, bias: float) -> Tensor:
    if bias == -scale / 2:
        half = x * 0.5
        if not unseen(x):
            return half.tanh() * (scale / 2)
        t = half.tanh_()
        if _grad_enabled() or tracing_state() is not None:
            return t * (scale / 2)
        return t.mul_(scale / 2)
    if -_HALF_MAX <= scale <= _HALF_MAX:
        return torch.rsub(x.sigmoid(), bias, alpha=-scale)  # one operator; refuses what overflows
    wide = torch.promote_types(x.dtype, torch.float32)
    return torch.rsub(x.to(wide).sigmoid(), bias, alpha=-scale).to(x.dtype)


def _derivative(x: Tensor, scale: float, bias: float) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x) * scale


def _derivative_from_output(y: Tensor, scale: float, bias: float) -> Tensor:
    s = (y - bias) / scale
    return (s * (1 - s)).clamp_min(0) * scale


SCALED_SIGMOID = Pointwise(
    name="scaled_sigmoid",
    fn=_scaled_sigmoid,
    slope=_scaled_sigmoid_slope,
    slope_from_output=_scaled_sigmoid_slope_from_output,
    composite=_composite,
    derivative=_derivative,
    derivative_from_output=_derivative_from_output,
    parameters={"scale": 4.0, "bias": -2.0},
    examples=tuple((s, b) for s in (0.5, 1.0, 4.0, 10.0) for b in (-s / 2, 0.0, 1.0)),
    output_needs=("scale != 0", lambda scale, _: scale != 0),
)


def scaled_sigmoid(
    x: Tensor, scale: float = 4.0, bias: float | None = None, *, save: str = "input"
) -> Tensor:
    """Computes `scale * sigmoid(x) + bias` elementwise.

    Args:
        x: any shape and strides; float16, bfloat16, float32 or float64.
        scale: height of the curve, a finite real number; 4 gives slope 1 at the origin. Every value
            is a graph of its own under torch.compile, which gives up after 8.
        bias: value at minus infinity, a finite real number; None means `-scale / 2`, zero-centred.
        save: what the GPU kernel keeps for backward. "output" lets a following layer share the
            tensor, at a price in accuracy: the derivative is then off by up to 2 ULP of 1 (times
            |scale| / 4) and may be exactly 0 in saturation.

    Returns:
        A tensor of x's shape, dtype and memory format; computed in float32 for 16-bit types.

    Raises:
        TypeError: x is not a strided tensor of a real floating dtype, or scale or bias is no real
            number; x is a nested tensor or a ZeroTensor and an operator has no way with these.
        ValueError: scale or bias is not finite in float32, save is unknown, or save is "output"
            with scale 0.

    Source: Xu et al., arXiv 1602.05980.
    """
    if type(x) is not Tensor and _dispatch.stand_ins(x):
        args = (x, scale, bias)
        y: Tensor = handle_torch_function(scaled_sigmoid, (x,), *args, save=save)
        return y
    if bias is None:
        if type(scale) is not float:
            scale = _check.real("scaled_sigmoid", "scale", scale)
        bias = scale * -0.5
    return apply(SCALED_SIGMOID, x, (scale, bias), save)


class ScaledSigmoid(torch.nn.Module):
    """Module form of `scaled_sigmoid`, with the same arguments and errors."""

    def __init__(
        self, scale: float = 4.0, bias: float | None = None, *, save: str = "input"
    ) -> None:
        super().__init__()
        self.scale, self.bias, self.save = scale, bias, save
        scaled_sigmoid(
            torch.zeros(0), scale, bias, save=save
        )  # raises here and not at the first batch

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation to x, of any shape."""
        return scaled_sigmoid(x, self.scale, self.bias, save=self.save)

    def extra_repr(self) -> str:
        """The arguments, as in the constructor."""
        return f"scale={self.scale}, bias={self.bias}, save={self.save!r}"
