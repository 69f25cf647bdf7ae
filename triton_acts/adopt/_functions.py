"""Activations that are functions, by the module type that computes the same."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["called_kind", "function_name", "in_place", "kind_of_function", "stand_in"]

_BASES: dict[type[nn.Module], tuple[str, ...]] = {
    nn.CELU: ("celu",),
    nn.ELU: ("elu",),
    nn.GELU: ("gelu",),
    nn.Hardshrink: ("hardshrink",),
    nn.Hardsigmoid: ("hardsigmoid",),
    nn.Hardswish: ("hardswish",),
    nn.Hardtanh: ("hardtanh",),
    nn.LeakyReLU: ("leaky_relu",),
    nn.LogSigmoid: ("logsigmoid",),
    nn.Mish: ("mish",),
    nn.PReLU: ("prelu",),
    nn.RReLU: ("rrelu",),
    nn.ReLU: ("relu",),
    nn.ReLU6: ("relu6",),
    nn.SELU: ("selu",),
    nn.SiLU: ("silu",),
    nn.Sigmoid: ("sigmoid", "expit"),
    nn.Softplus: ("softplus",),
    nn.Softshrink: ("softshrink",),
    nn.Softsign: ("softsign",),
    nn.Tanh: ("tanh",),
    nn.Tanhshrink: ("tanhshrink",),
    nn.Threshold: ("threshold",),
}


def _spellings(place: Any) -> Iterator[tuple[str, Any, type[nn.Module]]]:
    for kind, bases in _BASES.items():
        for name in (spelled for base in bases for spelled in (base, f"{base}_")):
            if hasattr(place, name):
                yield name, getattr(place, name), kind


_FUNCTIONS = {
    function: kind
    for place in (nn.functional, torch, torch.special)
    for _, function, kind in _spellings(place)
}
_METHODS = {name: kind for name, _, kind in _spellings(Tensor)}
_METHOD_FUNCTIONS = {function: kind for _, function, kind in _spellings(Tensor)}


def kind_of_function(value: object) -> type[nn.Module] | None:
    """The module type of an activation held as a function, or as a partial with keywords."""
    if isinstance(value, functools.partial) and not value.args:
        value = value.func
    if isinstance(value, nn.Module) or not callable(value):
        return None
    try:
        return _FUNCTIONS.get(value) or _METHOD_FUNCTIONS.get(value)
    except TypeError:  # not hashable
        return None


def called_kind(target: object) -> type[nn.Module] | None:
    """The module type of what a graph calls: a function, or a tensor's method by its name."""
    if isinstance(target, str):
        return _METHODS.get(target)
    return kind_of_function(target)


def function_name(target: object) -> str:
    """Its name without the underscore of the version that works in place."""
    if isinstance(target, functools.partial):
        target = target.func
    name = target if isinstance(target, str) else getattr(target, "__name__", repr(target))
    return name.rstrip("_")


def in_place(target: object, args: Sequence[object], kwargs: Mapping[str, object]) -> bool:
    """Whether a call writes to one of its arguments."""
    name = target if isinstance(target, str) else getattr(target, "__name__", "")
    kind = called_kind(target)
    assert kind is not None
    given = {**dict(zip(_parameters(kind), args[1:], strict=False)), **kwargs}
    return name.endswith("_") or bool(given.get("inplace")) or given.get("out") is not None


def stand_in(
    kind: type[nn.Module], args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
) -> nn.Module:
    """The module that computes what a call does, with those of its options that are constants.

    Args:
        kind: its type.
        args: of the call, the tensor first.
        kwargs: of the call.
    """
    given = {**dict(zip(_parameters(kind), args[1:], strict=False)), **(kwargs or {})}
    allowed = set(_parameters(kind)) - {"inplace", "device", "dtype"}
    constants = (bool, int, float, str)
    return kind(**{k: v for k, v in given.items() if k in allowed and isinstance(v, constants)})


def _parameters(kind: Callable[..., nn.Module]) -> list[str]:
    """Functions take their options in the order of the constructors."""
    return list(inspect.signature(kind).parameters)
