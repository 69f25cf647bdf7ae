"""How many channels reach an activation, read off the graphs of the forwards that call it."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn

from ._features import features_of, keeps_channels, pools
from ._functions import called_kind
from ._replacements import Channels
from ._slots import join
from ._trace import graph_of

__all__ = ["Flow"]

_SUMS = (operator.add, operator.iadd, operator.sub, operator.isub, torch.add, torch.sub)
_PRODUCTS = (operator.mul, operator.imul, operator.truediv, torch.mul, torch.div)
_COMBINING_METHODS = ("add", "add_", "sub", "sub_", "mul", "mul_", "div", "div_")
_SAME_METHODS = ("clone", "contiguous", "detach", "double", "float", "half", "bfloat16", "to")
_SAME_NAMES = (
    "dropout",
    "alpha_dropout",
    "feature_alpha_dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
)
_POOLING_NAMES = (
    "max_pool",
    "avg_pool",
    "adaptive_max_pool",
    "adaptive_avg_pool",
    "boolean_dispatch",
)


class Flow:
    """Follows an activation's input back to the layer that made it.

    A forward that cannot be traced ends the way: what comes out of it is unknown.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._graphs: dict[nn.Module, fx.Graph | None] = {}
        self._calls: dict[nn.Module, dict[nn.Module, list[fx.Node]]] = {}

    def into(self, name: str) -> set[Channels | None]:
        """The channels of all inputs of a module; None among them for those that are unknown."""
        return self._arguments(name, 0, None)

    def _arguments(self, name: str, position: int, keyword: str | None) -> set[Channels | None]:
        """Of one argument, over all calls that the nearest forward makes."""
        module = self.model.get_submodule(name)
        parts = name.split(".") if name else []
        for end in reversed(range(len(parts))):
            path = ".".join(parts[:end])
            owner = self.model.get_submodule(path)
            if _in_transformer(owner, parts[-1]):
                return {features_of(owner.get_submodule("linear1"))}
            calls = self._calls_by(owner).get(module)
            if calls:
                given = [_argument(node, position, keyword) for node in calls]
                return {self._source(path, node) for node in given}
        return {None}

    def _calls_by(self, owner: nn.Module) -> dict[nn.Module, list[fx.Node]]:
        """What a module's own forward calls."""
        if owner not in self._calls:
            calls = self._calls[owner] = {}
            graph = self._graph(owner)
            for node in graph.nodes if graph is not None else ():
                if node.op == "call_module":
                    called = owner.get_submodule(str(node.target))
                    calls.setdefault(called, []).append(node)
        return self._calls[owner]

    def _graph(self, module: nn.Module) -> fx.Graph | None:
        if module not in self._graphs:
            self._graphs[module] = graph_of(module)
        return self._graphs[module]

    def _source(self, path: str, node: object) -> Channels | None:
        """The channels of a node's value in the forward of the module at `path`."""
        if not isinstance(node, fx.Node):
            return None
        if node.op == "call_module":
            return self._made_by(path, node)
        if node.op == "placeholder":
            inputs = [other for other in node.graph.nodes if other.op == "placeholder"]
            return _only(self._arguments(path, inputs.index(node), str(node.target)))
        if node.op not in ("call_function", "call_method"):
            return None
        return self._computed(path, node)

    def _made_by(self, path: str, node: fx.Node) -> Channels | None:
        name = join(path, str(node.target))
        module = self.model.get_submodule(name)
        known = features_of(module)
        if known is not None:
            return known
        if keeps_channels(module):
            return self._source(path, _argument(node, 0, None))
        if pools(module):
            return _before_pool(self._source(path, _argument(node, 0, None)))
        graph = self._graph(module)
        if graph is None:
            return None
        output = next(other for other in graph.nodes if other.op == "output")
        return self._source(name, output.args[0])

    def _computed(self, path: str, node: fx.Node) -> Channels | None:
        target: Any = node.target
        name = target if isinstance(target, str) else getattr(target, "__name__", "")
        if target in (*_SUMS, *_PRODUCTS) or (
            node.op == "call_method" and name in _COMBINING_METHODS
        ):
            found = {self._source(path, arg) for arg in node.args if isinstance(arg, fx.Node)}
            # Of one channel, the other operand may have more; of several, it has as many or one
            return _only({known for known in found - {None} if known and known.count > 1})
        first = _argument(node, 0, None)
        if called_kind(target) is not None or name in _SAME_NAMES:
            return self._source(path, first)
        if node.op == "call_method" and name in _SAME_METHODS:
            return self._source(path, first)
        if name.startswith(_POOLING_NAMES):
            return _before_pool(self._source(path, first))
        return None


def _argument(node: fx.Node, position: int, keyword: str | None) -> object:
    if position < len(node.args):
        return node.args[position]
    if keyword is not None:
        return node.kwargs.get(keyword)
    return next(iter(node.kwargs.values()), None)


def _only(found: set[Channels | None]) -> Channels | None:
    return next(iter(found)) if len(found) == 1 else None


def _before_pool(known: Channels | None) -> Channels | None:
    return known if known is not None and known.dim == 1 else None


def _in_transformer(owner: nn.Module, attribute: str) -> bool:
    layers = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
    return isinstance(owner, layers) and attribute == "activation"
