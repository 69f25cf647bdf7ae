"""Which activation follows each layer of a model, read from its graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import fx
from torch.nn import functional as F

from triton_acts.pointwise import penalized_tanh, scaled_sigmoid

from ._gain import NAMES, Activation, calculate_gain, label
from ._layers import LAYERS

__all__ = ["Successor", "successors"]


class Successor(NamedTuple):
    """What follows a layer: an activation, or None with the reason."""

    activation: Activation | None
    note: str = ""
    final: bool = False  # the layer's output is the model's


_FINAL = Successor(None, "it feeds the output", final=True)
_NN = torch.nn.modules
# What changes no element but for its place, its scale or its neighbours: one looks behind it
_PASSED_MODULES = (
    *(_NN.batchnorm._NormBase, torch.nn.LayerNorm, torch.nn.GroupNorm, torch.nn.RMSNorm),
    *(_NN.dropout._DropoutNd, torch.nn.Identity, torch.nn.Flatten, torch.nn.Unflatten),
    *(_NN.pooling._MaxPoolNd, _NN.pooling._AvgPoolNd),
    *(_NN.pooling._AdaptiveAvgPoolNd, _NN.pooling._AdaptiveMaxPoolNd),
)
_PASSED_NAMES = {
    *("flatten", "view", "reshape", "permute", "transpose", "contiguous", "squeeze", "unsqueeze"),
    *("dropout", "batch_norm", "layer_norm", "group_norm", "rms_norm", "mean", "movedim"),
    *("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d"),
    *("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
    *("to", "float", "half", "bfloat16", "double"),
}
_FUNCTIONS: dict[Any, Any] = {
    **{function: function for function in NAMES.values() if function is not NAMES["linear"]},
    **{f: f for f in (F.tanh, F.sigmoid, torch.relu, scaled_sigmoid, penalized_tanh)},
}
_METHODS = {"tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu, "sin": torch.sin}
_SIZES = {"size", "dim", "shape", "getattr"}  # of a layer's output, not its values


class _Tracer(fx.Tracer):
    """Sees a module without parts as one, wherever it comes from."""

    def is_leaf_module(self, m: torch.nn.Module, module_qualified_name: str) -> bool:
        whole: bool = super().is_leaf_module(m, module_qualified_name)
        return whole or not any(m.children())


def successors(model: torch.nn.Module) -> dict[int, Successor]:
    """What follows each layer that the model's graph calls, by the layer's id.

    Raises:
        Exception: whatever torch.fx raises for a model that it cannot trace.
    """
    root = torch.nn.Sequential(model)  # so that the model may be one layer, or one activation
    graph = _Tracer().trace(root)
    parts = dict(root.named_modules())
    seen: dict[int, list[Successor]] = {}
    for node in graph.nodes:
        if node.op == "call_module" and isinstance(parts[node.target], LAYERS):
            seen.setdefault(id(parts[node.target]), []).append(_after(node, parts))
    return {layer: _agreed(each) for layer, each in seen.items()}


def _agreed(each: list[Successor]) -> Successor:
    """One successor for several uses: any of them if their gains agree."""
    first = each[0]
    if all(one == first for one in each[1:]):
        return first
    if all(one.activation is not None for one in each):
        gains = {round(calculate_gain(one.activation), 9) for one in each}  # type: ignore[arg-type]
        if len(gains) == 1:
            return first
    names = [one.note if one.activation is None else label(one.activation) for one in each]
    return Successor(None, f"its output goes several ways: {', '.join(names)}")


def _after(node: fx.Node, parts: dict[str, torch.nn.Module]) -> Successor:
    users = [user for user in node.users if _name(user) not in _SIZES]
    found = [_one(node, user, parts) for user in users]
    return _agreed(found) if found else Successor(None, "nothing uses its output")


def _one(node: fx.Node, user: fx.Node, parts: dict[str, torch.nn.Module]) -> Successor:
    """What one user of a node is, or what follows that where it is passed."""
    if user.op == "output":
        return _FINAL
    if user.op == "call_module":
        module = parts[user.target]  # type: ignore[index]
        if isinstance(module, LAYERS):
            return Successor("linear")
        if isinstance(module, _PASSED_MODULES):
            return _after(user, parts)
        return _usable(module)
    if not user.args or user.args[0] is not node:
        return Successor(None, f"{_name(user)} takes it with others")
    if _name(user) in _PASSED_NAMES:
        return _after(user, parts)
    function = _FUNCTIONS.get(user.target) if user.op == "call_function" else None
    function = function or (_METHODS.get(str(user.target)) if user.op == "call_method" else None)
    inputs = [*user.args[1:], *user.kwargs.values()]
    if function is None or any(isinstance(value, fx.Node) for value in inputs):
        return Successor(None, f"followed by {_name(user)}")
    return _usable(_with_arguments(function, user.args[1:], user.kwargs))


def _usable(activation: Any) -> Successor:
    """An activation if it has a gain."""
    try:
        calculate_gain(activation)
    except (TypeError, ValueError):
        return Successor(None, f"followed by {label(activation)}")
    return Successor(activation)


def _with_arguments(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args and not kwargs:
        return function

    def activation(x: torch.Tensor) -> Any:
        return function(x, *args, **kwargs)

    activation.__name__ = label(function)
    return activation


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))
