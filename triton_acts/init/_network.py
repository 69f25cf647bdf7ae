"""All linear and convolutional layers of a model, each with the gain of what follows it."""

from __future__ import annotations

from typing import NamedTuple

import torch

from triton_acts import _check

from ._fill import SCHEMES, fill, std
from ._gain import Activation, calculate_gain, label
from ._layers import Layer, fans, found
from ._successors import Successor, successors

__all__ = ["Initialized", "initialize_"]


class Initialized(NamedTuple):
    """What `initialize_` did with one layer.

    Attributes:
        name: the layer's qualified name.
        activation: what follows it, as its gain was computed for; "" where nothing was.
        gain: the gain; None where the layer was left alone.
        std: the standard deviation of the new weight; None where the layer was left alone.
        note: why the gain is 1, or why the layer was left alone; "" otherwise.
    """

    name: str
    activation: str
    gain: float | None
    std: float | None
    note: str


def initialize_(
    model: torch.nn.Module,
    scheme: str = "xavier_normal",
    activation: Activation | None = None,
    *,
    mode: str = "forward",
    generator: torch.Generator | None = None,
) -> list[Initialized]:
    """Draws the weights of every Linear and Conv layer anew, for the activation that follows it.

    The graph of torch.fx says what follows: a module or a function, behind normalisation, pooling,
    dropout and changes of shape. A layer that feeds another layer or the output gets gain 1, and so
    does one with an unknown successor, such as a residual sum; the record's note says why. As in
    torch, a layer has the gain of the activation behind it, so that the first layer's output is
    larger than its input by that gain. Biases become 0.

    Left alone, with a note: layers that are frozen, parametrized (weight_norm), or share their
    weight; and layers that the graph does not show, such as those inside of
    torch.nn.MultiheadAttention. All other kinds of layers keep what they have.

    Unlike torch's functions this counts groups, and the inputs of a transposed convolution.

    Args:
        model: a module that torch.fx can trace, or any if activation is given.
        scheme: "xavier_normal", "xavier_uniform", "kaiming_normal" or "kaiming_uniform".
        activation: what to assume, as in `calculate_gain`, where the successor is unknown; in a
            model that cannot be traced, behind every layer, also the last.
        mode: "forward" or "backward": the gain, and for kaiming the fan, in or out.
        generator: the source of random numbers; None means torch's.

    Returns:
        A record of each layer, in the order of `model.named_modules()`.

    Raises:
        TypeError: model is no module.
        ValueError: scheme or mode is unknown; activation has no gain; the model has no such layer,
            has lazy ones without a shape, or cannot be traced and no activation is given. The model
            is then as it was.

    Example:
        >>> model = torch.nn.Sequential(
        ...     torch.nn.Linear(8, 16), PenalizedTanh(), torch.nn.Linear(16, 1)
        ... )
        >>> [(each.name, each.activation) for each in initialize_(model)]
        [('0', 'PenalizedTanh'), ('2', 'linear')]
    """
    _check.choice("initialize_", "scheme", scheme, SCHEMES)
    _check.choice("initialize_", "mode", mode, ("forward", "backward"))
    assumed = None if activation is None else (label(activation), calculate_gain(activation, mode))
    layers = found("initialize_", model)
    after = _successors(model, layers, assumed is not None)
    records = [
        _plan(name, layer, reason, after.get(id(layer)), assumed, scheme, mode)
        for name, (layer, reason) in layers.items()
    ]
    for record in records:
        if record.std is None:
            continue
        layer = layers[record.name][0]
        fill(layer.weight, scheme, record.std, generator)
        if layer.bias is not None:
            torch.nn.init.zeros_(layer.bias)
    return records


def _successors(
    model: torch.nn.Module, layers: dict[str, tuple[Layer, str]], assumed: bool
) -> dict[int, Successor]:
    try:
        return successors(model)
    except Exception as error:  # a model that is not traced raises anything
        if assumed:
            note = f"assumed: the model cannot be traced ({error})"
            return {id(layer): Successor(None, note) for layer, _ in layers.values()}
        raise ValueError(
            f"initialize_: torch.fx cannot trace {type(model).__name__} ({error}), so that nobody "
            f"knows which activation follows which layer; give activation=, or initialise layers "
            f"one by one"
        ) from error


def _plan(
    name: str,
    layer: Layer,
    reason: str,
    after: Successor | None,
    assumed: tuple[str, float] | None,
    scheme: str,
    mode: str,
) -> Initialized:
    """The record of a layer before anything is written."""
    if reason or after is None:
        note = reason or "the model's graph does not show it"
        return Initialized(name, "", None, None, f"left alone: {note}")
    if after.activation is not None:
        activation, gain = label(after.activation), calculate_gain(after.activation, mode)
    elif assumed and not after.final:
        activation, gain = assumed
    else:
        activation, gain = "linear", 1.0
    spread = std(scheme, *fans(layer), gain, fan_in_only=mode == "forward")
    return Initialized(name, activation, gain, spread, after.note)
