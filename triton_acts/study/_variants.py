"""The activations that a study can compare, and the options that it may choose for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from triton_acts import KAF, PenalizedTanh, ScaledSigmoid

__all__ = ["VARIANTS", "Activation", "Variant", "checked_variants"]

Factory = Callable[..., nn.Module]


@dataclass(frozen=True)
class Variant:
    """An activation under study.

    Attributes:
        name: what records and reports call it.
        make: `make(num_channels, channel_dim, **options)` returns a fresh module.
        options: keyword arguments to choose among on the validation split; the first is the
            default, with which learning rate and initialisation are chosen.
        note: one line for the report.
        ranges: lowest and highest value of options that Optuna may choose; whole numbers if both
            are ints.
    """

    name: str
    make: Factory
    options: Sequence[Mapping[str, Any]] = ({},)
    note: str = ""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Activation:
    """What `make_model` gets: call it wherever the model needs an activation.

    `activation(num_channels)` returns a module for x of shape N x C x ..., whose channels run along
    `channel_dim`; activations without weights ignore both numbers.

    Attributes:
        variant: the activation under study.
        options: those chosen for it.
    """

    variant: Variant
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, num_channels: int, channel_dim: int = 1) -> nn.Module:
        """A fresh module."""
        return self.variant.make(num_channels, channel_dim, **self.options)

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name


def _fixed(make: Callable[..., nn.Module]) -> Factory:
    """A factory that needs no number of channels."""
    return partial(_without_channels, make)


def _without_channels(
    make: Callable[..., nn.Module], _channels: int, _channel_dim: int, **options: Any
) -> nn.Module:
    return make(**options)


def _penalized_tanh(channels: int, channel_dim: int, **options: Any) -> nn.Module:
    return PenalizedTanh(num_parameters=channels, channel_dim=channel_dim, **options)


def _kaf(channels: int, channel_dim: int, **options: Any) -> nn.Module:
    return KAF(channels, channel_dim=channel_dim, **options)


_SLOPES = tuple({"a": a} for a in (0.25, 0.1, 0.5))
# Size, range and bandwidth of KAF's dictionary; None is the paper's rule, 1 / (6 delta^2)
_DICTIONARIES: tuple[dict[str, Any], ...] = (
    {},
    {"num_nodes": 10},
    {"boundary": 4.0},
    {"gamma": 19 * 19 / (8 * 36)},  # the authors' later rule, 1 / (8 delta^2), on the default grid
)
_SLOPE = {"a": (0.0, 1.0)}
_DICTIONARY = {"num_nodes": (6, 32), "boundary": (2.0, 6.0), "gamma": (0.5, 8.0)}

VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("relu", _fixed(nn.ReLU)),
        Variant("leaky relu 0.01", _fixed(partial(nn.LeakyReLU, 0.01))),
        Variant("leaky relu 0.25", _fixed(partial(nn.LeakyReLU, 0.25))),
        Variant("gelu", _fixed(nn.GELU)),
        Variant("silu", _fixed(nn.SiLU)),
        Variant("elu", _fixed(nn.ELU)),
        Variant("tanh", _fixed(nn.Tanh)),
        Variant("sigmoid", _fixed(nn.Sigmoid), note="the logistic one"),
        Variant(
            "scaled sigmoid",
            _fixed(ScaledSigmoid),
            tuple({"scale": s} for s in (4.0, 2.0, 6.0)),
            "4 sigmoid(x) - 2",
            {"scale": (1.0, 8.0)},
        ),
        Variant("penalized tanh", _fixed(PenalizedTanh), _SLOPES, "a fixed", _SLOPE),
        Variant(
            "penalized tanh, learned", _penalized_tanh, _SLOPES, "a learned per channel", _SLOPE
        ),
        Variant("kaf", _kaf, _DICTIONARIES, "random weights", _DICTIONARY),
        Variant(
            "kaf from tanh",
            _kaf,
            tuple({"init": torch.tanh, **options} for options in _DICTIONARIES),
            "ridge-fitted to tanh",
            _DICTIONARY,
        ),
        Variant(
            "kaf from elu",
            _kaf,
            tuple({"init": nn.functional.elu, **options} for options in _DICTIONARIES),
            "ridge-fitted to ELU",
            _DICTIONARY,
        ),
    )
}


def checked_variants(
    variants: Sequence[str | Variant] | Mapping[str, Factory] | None,
) -> tuple[Variant, ...]:
    """What a user names, as Variants.

    Args:
        variants: names of `VARIANTS`, Variants, or factories `make(num_channels, channel_dim)` by
            name; None means all of `VARIANTS`.

    Raises:
        TypeError: an element is neither a name nor a Variant.
        ValueError: an unknown name, one given twice, or fewer than two.
    """
    if variants is None:
        return tuple(VARIANTS.values())
    if isinstance(variants, Mapping):
        found = [Variant(name, make) for name, make in variants.items()]
    else:
        found = [_variant(v) for v in variants]
    names = [v.name for v in found]
    if len(set(names)) < len(names) or len(names) < 2:
        raise ValueError(f"variants: at least two with names of their own are needed, got {names}")
    return tuple(found)


def _variant(value: object) -> Variant:
    if isinstance(value, Variant):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"variants: each must be a name or a Variant, got {value!r}; a mapping from names "
            f"takes factories"
        )
    name = value.replace("_", " ")  # as `swap` calls some of them
    if name not in VARIANTS:
        raise ValueError(f"variants: {value!r} is unknown; there are {[*VARIANTS]}")
    return VARIANTS[name]
