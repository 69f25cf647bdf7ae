"""The linear and convolutional layers of a model, and which of them are to be left alone."""

from __future__ import annotations

import math

import torch
from torch.nn.parameter import UninitializedParameter

__all__ = ["LAYERS", "Layer", "fans", "found"]

LAYERS = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
Layer = torch.nn.Linear | torch.nn.modules.conv._ConvNd


def found(op: str, model: torch.nn.Module) -> dict[str, tuple[Layer, str]]:
    """Linear and convolutional layers by name, each once, with why it is left alone, or "".

    Raises:
        TypeError: model is no module.
        ValueError: a lazy layer has no shape yet; the model has no layer.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{op}: model must be a torch.nn.Module, got {type(model).__name__}")
    owners: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        for parameter in module._parameters.values():
            owners.setdefault(id(parameter), []).append(name)
    layers = {n: m for n, m in model.named_modules() if isinstance(m, LAYERS)}
    if not layers:
        raise ValueError(f"{op}: {type(model).__name__} has no Linear or Conv layer")
    return {n: (m, _left_alone(op, n, m, owners)) for n, m in layers.items()}


def _left_alone(op: str, name: str, layer: Layer, owners: dict[int, list[str]]) -> str:
    weight = layer._parameters.get("weight")
    if isinstance(weight, UninitializedParameter):
        raise ValueError(f"{op}: lazy layer {name!r} has no shape yet; run the model once before")
    if weight is None:
        return "its weight is computed from others (a parametrization)"
    if not weight.requires_grad:
        return "its weight is frozen"
    others = [other for other in owners[id(weight)] if other != name]
    if others:
        return f"its weight is also that of {', '.join(others)}"
    return ""


def fans(layer: Layer) -> tuple[int, int]:
    """Inputs that an output of the layer sums over, and outputs that an input reaches.

    Unlike torch's count it knows groups, and that transposed convolutions are [in, out, ...].
    """
    shape = layer.weight.shape
    field, groups = math.prod(shape[2:]), getattr(layer, "groups", 1)
    first, second = shape[0] // groups * field, shape[1] * field
    return (first, second) if getattr(layer, "transposed", False) else (second, first)
