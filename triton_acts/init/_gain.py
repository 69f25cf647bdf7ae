"""Gains that keep the variance of activations or gradients, for any activation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from triton_acts import _check
from triton_acts.pointwise import penalized_tanh, scaled_sigmoid

from ._quadrature import normal_mean
from ._reader import Reader, channels

__all__ = ["NAMES", "Activation", "calculate_gain", "label"]

Activation = str | Callable[..., Any] | torch.nn.Module | type[torch.nn.Module]


def _identity(x: Tensor) -> Tensor:
    return x


# Those that torch.nn.init.calculate_gain has, and the element-wise ones of torch.nn.functional
NAMES: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("linear", "identity"), _identity),
    **dict.fromkeys((f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)), _identity),
    "scaled_sigmoid": scaled_sigmoid,
    "penalized_tanh": penalized_tanh,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "sin": torch.sin,
    "swish": F.silu,
    **{
        name: getattr(F, name)
        for name in (
            *("relu", "leaky_relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish"),
            *("softplus", "softsign", "logsigmoid", "tanhshrink", "hardshrink", "softshrink"),
            *("hardtanh", "hardsigmoid", "hardswish"),
        )
    },
}
_NOT_ALONE = (torch.nn.modules.batchnorm._NormBase, torch.nn.modules.dropout._DropoutNd)


def calculate_gain(activation: Activation, mode: str = "forward") -> float:
    """Computes the factor of a layer's standard deviation that makes up for an activation f.

    For x ~ N(0, 1), "forward" is `1 / sqrt(E f(x)^2)`, which keeps the mean square of activations
    from layer to layer, and "backward" is `1 / sqrt(E f'(x)^2)`, which keeps that of gradients. The
    means are integrals in float64, with a relative error of about 1e-10 (1e-7 where f computes in
    float32).

    `torch.nn.init.calculate_gain("tanh")` is 5/3, chosen by hand, where this is 1.5925 forward and
    1.4674 backward; torch has 1 for the sigmoid (1.846 and 4.723) and 3/4 for SELU. ReLU, leaky
    ReLU and linear layers agree. Some values, forward / backward: scaled sigmoid 1.2003 / 1.1807,
    penalized tanh 2.1849 / 2.0133, leaky ReLU of slope 0.25 1.372 / 1.372.

    Args:
        activation: a name: "scaled_sigmoid", "penalized_tanh", or one of torch's with torch's
            defaults ("relu", "tanh", "sigmoid", "gelu", "silu", "elu", "leaky_relu", "linear" and
            so on). Or an element-wise function from a tensor to one of its shape, such as
            `partial(torch.nn.functional.leaky_relu, negative_slope=0.2)`. Or a module, with the
            weights it has now: for a learned slope per channel or a KAF, means are over channels,
            too. A module is evaluated as a copy, in eval mode, on the CPU; a class is called
            without arguments. A function must take CPU tensors of float64 or float32.
        mode: "forward" or "backward", whose f' is that of autograd.

    Returns:
        The gain, finite and positive.

    Raises:
        TypeError: activation is neither a name nor callable.
        ValueError: an unknown name or mode; f cannot be evaluated, mixes elements, is random, is
            not finite, or is no float tensor of x's shape; f or f' is 0 almost everywhere, or has
            no autograd; the integral does not converge; a module has dropout or normalisation
            inside.

    Source: Glorot and Bengio, 2010; He et al., arXiv 1502.01852, for ReLU.
    """
    _check.choice("calculate_gain", "mode", mode, ("forward", "backward"))
    subject = label(activation)
    function = _resolve(activation, subject)
    read = Reader(subject, function, *channels(function), backward=mode == "backward")
    with torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        read = read.settled()
        try:
            mean = normal_mean(read)
        except ValueError as error:
            if str(error).startswith("calculate_gain"):
                raise
            raise ValueError(f"calculate_gain: {read.what} of {subject}: {error}") from None
    if mean == 0:
        raise ValueError(f"calculate_gain: {read.what} of {subject} is 0, so that no gain helps")
    return 1 / math.sqrt(mean)


def label(activation: Any) -> str:
    """What an activation is called in records and errors."""
    if isinstance(activation, str):
        return activation
    if isinstance(activation, torch.nn.Module):
        return type(activation).__name__
    return getattr(activation, "__name__", repr(activation))


def _resolve(activation: Any, subject: str) -> Callable[..., Any]:
    if isinstance(activation, str):
        if activation not in NAMES:
            raise ValueError(
                f"calculate_gain: unknown activation {activation!r}; allowed are "
                f"{', '.join(NAMES)}, or pass the function or the module itself"
            )
        return NAMES[activation]
    if isinstance(activation, type) and issubclass(activation, torch.nn.Module):
        try:
            activation = activation()
        except TypeError as error:
            raise ValueError(
                f"calculate_gain: {subject} needs arguments ({error}); pass an instance"
            ) from error
    if not callable(activation) or isinstance(activation, type):
        raise TypeError(
            f"calculate_gain: activation must be a name, a function or a module, got {activation!r}"
        )
    if isinstance(activation, torch.nn.Module):
        found = [type(m).__name__ for m in activation.modules() if isinstance(m, _NOT_ALONE)]
        if found:
            raise ValueError(
                f"calculate_gain: {subject} holds {found[0]}, and has no gain of its own; pass the "
                f"activation alone"
            )
    function: Callable[..., Any] = activation
    return function
