"""What a value of the mapping builds for each activation that it replaces."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import nn

from triton_acts.dictionary import KAF
from triton_acts.pointwise import PenalizedTanh, ScaledSigmoid

_BOUNDARY = 3.0  # of KAF where nothing else is known

__all__ = ["POINTWISE", "Channels", "Replacement", "replacement"]


@dataclass(frozen=True, order=True)
class Channels:
    """How many channels an activation's input has, in which dimension, and how far it reaches."""

    count: int
    dim: int
    reach: tuple[float, float] | None = field(default=None, compare=False)  # known by example


class Replacement(NamedTuple):
    """How to build a module.

    Attributes:
        build: from the module to replace, and its channels where they are needed.
        needs_channels: whether they are.
    """

    build: Callable[[nn.Module, Channels | None], nn.Module]
    needs_channels: bool = False


POINTWISE: dict[str, type[nn.Module]] = {
    "scaled_sigmoid": ScaledSigmoid,
    "penalized_tanh": PenalizedTanh,
}


def _learned(_old: nn.Module, _channels: Channels | None) -> nn.Module:
    return PenalizedTanh(num_parameters=1)


def _per_channel(_old: nn.Module, channels: Channels | None) -> nn.Module:
    assert channels is not None
    return PenalizedTanh(num_parameters=channels.count, channel_dim=channels.dim)


def _kaf(_old: nn.Module, channels: Channels | None) -> nn.Module:
    assert channels is not None
    return KAF(channels.count, channel_dim=channels.dim)


def _kaf_fitted(old: nn.Module, channels: Channels | None) -> nn.Module:
    assert channels is not None
    target = copy.deepcopy(old).to("cpu", torch.float64).requires_grad_(False)
    target._forward_hooks.clear()
    target._forward_pre_hooks.clear()
    lo, hi = channels.reach or (0.0, 0.0)
    grid = (min(lo, -_BOUNDARY), max(hi, _BOUNDARY))
    return KAF(channels.count, channel_dim=channels.dim, grid=grid, init=target)


def _plain(kind: Callable[..., nn.Module], **options: Any) -> Replacement:
    return Replacement(lambda _old, _channels: kind(**options))


_NAMES = {
    **{name: _plain(kind) for name, kind in POINTWISE.items()},
    "penalized_tanh_learned": Replacement(_learned),
    "penalized_tanh_per_channel": Replacement(_per_channel, needs_channels=True),
    "kaf": Replacement(_kaf, needs_channels=True),
    "kaf_fitted": Replacement(_kaf_fitted, needs_channels=True),
}


def replacement(value: Any) -> Replacement:
    """What a name, a class (or a partial of one), an instance or a factory stands for.

    Raises:
        TypeError: it is none of these.
        ValueError: an unknown name.
    """
    if isinstance(value, str):
        if value not in _NAMES:
            raise ValueError(f"swap: unknown activation {value!r}; allowed are {', '.join(_NAMES)}")
        return _NAMES[value]
    if isinstance(value, nn.Module):
        return Replacement(lambda _old, _channels: copy.deepcopy(value))
    made, options = (
        (value.func, dict(value.keywords))
        if isinstance(value, functools.partial) and not value.args
        else (value, {})
    )
    if isinstance(made, type) and issubclass(made, nn.Module):
        if issubclass(made, KAF) and "num_channels" not in options:
            return Replacement(
                lambda _old, channels: _with_channels(made, channels, options), needs_channels=True
            )
        return _plain(made, **options)
    if not callable(value) or isinstance(value, type):
        raise TypeError(
            f"swap: a replacement must be a name ({', '.join(_NAMES)}), a module class, a module, "
            f"or a function from the module to its replacement, got {value!r}"
        )
    return Replacement(lambda old, _channels: value(old))


def _with_channels(
    made: Callable[..., nn.Module], channels: Channels | None, options: dict[str, Any]
) -> nn.Module:
    assert channels is not None
    return made(channels.count, **{"channel_dim": channels.dim, **options})
