"""Weights drawn with the spread that an activation needs."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from triton_acts import _check

from ._gain import Activation, calculate_gain

__all__ = [
    "SCHEMES",
    "fill",
    "kaiming_normal_",
    "kaiming_uniform_",
    "std",
    "xavier_normal_",
    "xavier_uniform_",
]

SCHEMES = ("xavier_normal", "xavier_uniform", "kaiming_normal", "kaiming_uniform")


def xavier_normal_(
    tensor: Tensor,
    activation: Activation,
    generator: torch.Generator | None = None,
    *,
    mode: str = "forward",
) -> Tensor:
    """Fills a weight from N(0, gain^2 2 / (fan_in + fan_out)), the gain being the activation's.

    Args:
        tensor: the weight, [out, in, ...] as in torch.nn.Linear and Conv, of a floating dtype.
        activation: the one that follows the layer: a name, a function or a module, as in
            `calculate_gain`.
        generator: the source of random numbers; None means torch's.
        mode: which of `calculate_gain`'s two gains.

    Returns:
        tensor itself, filled in place, outside autograd.

    Raises:
        TypeError: tensor is no floating tensor; activation is none.
        ValueError: tensor has fewer than 2 dimensions; activation has no gain; an unknown mode.

    Source: Glorot and Bengio, 2010.
    """
    return _xavier("xavier_normal", tensor, activation, mode, generator)


def xavier_uniform_(
    tensor: Tensor,
    activation: Activation,
    generator: torch.Generator | None = None,
    *,
    mode: str = "forward",
) -> Tensor:
    """As `xavier_normal_`, from a uniform distribution of the same variance."""
    return _xavier("xavier_uniform", tensor, activation, mode, generator)


def kaiming_normal_(
    tensor: Tensor,
    activation: Activation,
    mode: str = "fan_in",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Fills a weight from N(0, gain^2 / fan), the gain being the activation's.

    Args:
        tensor: the weight, [out, in, ...] as in torch.nn.Linear and Conv, of a floating dtype.
        activation: the one that follows the layer: a name, a function or a module, as in
            `calculate_gain`.
        mode: "fan_in" keeps the mean square of activations and takes the forward gain, "fan_out"
            that of gradients and takes the backward gain.
        generator: the source of random numbers; None means torch's.

    Returns:
        tensor itself, filled in place, outside autograd.

    Raises:
        TypeError: tensor is no floating tensor; activation is none.
        ValueError: tensor has fewer than 2 dimensions; activation has no gain; an unknown mode.

    Source: He et al., arXiv 1502.01852.
    """
    return _kaiming("kaiming_normal", tensor, activation, mode, generator)


def kaiming_uniform_(
    tensor: Tensor,
    activation: Activation,
    mode: str = "fan_in",
    generator: torch.Generator | None = None,
) -> Tensor:
    """As `kaiming_normal_`, from a uniform distribution of the same variance."""
    return _kaiming("kaiming_uniform", tensor, activation, mode, generator)


def _xavier(
    scheme: str,
    tensor: Tensor,
    activation: Activation,
    mode: str,
    generator: torch.Generator | None,
) -> Tensor:
    fans = _fans(scheme, tensor)
    return fill(tensor, scheme, std(scheme, *fans, calculate_gain(activation, mode)), generator)


def _kaiming(
    scheme: str,
    tensor: Tensor,
    activation: Activation,
    mode: str,
    generator: torch.Generator | None,
) -> Tensor:
    fans = _fans(scheme, tensor)
    _check.choice(f"{scheme}_", "mode", mode, ("fan_in", "fan_out"))
    gain = calculate_gain(activation, "forward" if mode == "fan_in" else "backward")
    return fill(tensor, scheme, std(scheme, *fans, gain, fan_in_only=mode == "fan_in"), generator)


def _fans(scheme: str, tensor: Tensor) -> tuple[int, int]:
    """Inputs that an output sums over, and outputs that an input reaches, as torch counts them."""
    if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
        found = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"{scheme}_: tensor must be a floating torch.Tensor, got {found}")
    if tensor.dim() < 2:
        raise ValueError(
            f"{scheme}_: tensor must have at least 2 dimensions, [out, in, ...], got "
            f"{tuple(tensor.shape)}; fill biases with torch.nn.init.zeros_"
        )
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def std(scheme: str, fan_in: int, fan_out: int, gain: float, *, fan_in_only: bool = True) -> float:
    """The standard deviation of a weight; `fan_in_only` False is Kaiming's mode "fan_out"."""
    if scheme.startswith("xavier"):
        fan = (fan_in + fan_out) / 2
    else:
        fan = fan_in if fan_in_only else fan_out
    return gain / math.sqrt(max(fan, 1))  # a weight without elements has no fan


def fill(tensor: Tensor, scheme: str, spread: float, generator: torch.Generator | None) -> Tensor:
    """Draws a tensor with standard deviation `spread` from the scheme's distribution."""
    with torch.no_grad():
        if scheme.endswith("normal"):
            return tensor.normal_(0, spread, generator=generator)
        bound = math.sqrt(3) * spread
        return tensor.uniform_(-bound, bound, generator=generator)
