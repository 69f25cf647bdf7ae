"""One symbolic trace of a model, with the calls of activation functions that it makes."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn

from ._functions import called_kind, function_name
from ._guard import untouched
from ._slots import join

__all__ = ["Call", "UntraceableError", "graph_of", "is_leaf", "trace"]

Kind = type[nn.Module]
_SPECIALIZED = (type(None), bool, int, float, str)


class UntraceableError(Exception):
    """A graph would not compute what the model computes; says why, and which calls it has seen."""

    def __init__(self, reason: str, calls: Mapping[str, Call] | None = None) -> None:
        super().__init__(reason)
        self.calls = {name: call.what for name, call in (calls or {}).items()}


@dataclass(frozen=True, eq=False)
class Call:
    """A call of an activation function.

    Attributes:
        name: the calling module's qualified name and the function's, numbered from the second on.
        caller: the calling module.
        kind: the module type of the same activation.
        what: the function's name.
        nodes: where it is called: several times if its caller is.
    """

    name: str
    caller: nn.Module
    kind: Kind
    what: str
    nodes: list[fx.Node] = field(default_factory=list)


class _Tracer(fx.Tracer):
    """Notes who calls which function, and refuses what a graph does not record.

    Without arguments it is what unpickling a traced model makes it from.
    """

    def __init__(self, kinds: Collection[Kind] = (), leaves: Collection[Kind] = ()) -> None:
        super().__init__()
        self.kinds, self.leaves = kinds, leaves
        self.calls: dict[str, Call] = {}
        self._callers: list[tuple[str, nn.Module, Counter[str]]] = []
        self._context = _context()

    def run(self, model: nn.Module) -> fx.Graph:
        self._callers = [("", model, Counter())]
        # A proxy is never None: with optional arguments left open, the wrong branch is traced
        parameters = inspect.signature(model.forward).parameters.values()
        fixed = {p.name: p.default for p in parameters if isinstance(p.default, _SPECIALIZED)}
        graph = self.trace(model, fixed or None)
        placeholders = [node for node in graph.nodes if node.op == "placeholder"]
        for node, parameter in zip(placeholders, parameters, strict=True):
            if parameter.name in fixed:
                node.target = parameter.name  # trace numbers it, which breaks keywords
        for node in graph.nodes:
            if getattr(node.target, "__name__", "") == "_assert_is_none":
                _assert_by_operators(node)
        return graph

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - torch.fx names it
        return is_leaf(m, self.leaves)

    def call_module(
        self,
        m: nn.Module,
        forward: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self._callers.append((self.path_of_module(m), m, Counter()))
        try:
            return super().call_module(m, forward, args, kwargs)
        finally:
            self._callers.pop()

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> fx.Node:
        if _context() != self._context:
            raise UntraceableError(
                "its forward changes the gradient or autocast mode, which a graph does not record"
            )
        node = super().create_node(kind, target, *args, **kwargs)
        if kind in ("call_function", "call_method"):
            self._note(node)
        return node

    def _note(self, node: fx.Node) -> None:
        kind = called_kind(node.target)
        if kind is None or kind not in self.kinds:
            return
        path, caller, counts = self._callers[-1]
        called = function_name(node.target)
        name = join(path, f"{called}_{counts[called]}" if counts[called] else called)
        counts[called] += 1
        self.calls.setdefault(name, Call(name, caller, kind, called)).nodes.append(node)


class _Shallow(_Tracer):
    """Takes every child as it is."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:  # noqa: ARG002 - torch.fx names it
        return True


def is_leaf(module: nn.Module, leaves: Collection[Kind]) -> bool:
    """Whether a graph calls a module as a whole: torch's own, scripted ones, ours and `leaves`.

    Subclasses of `leaves` too: they are not replaced, so what they call is not either.
    """
    if isinstance(module, (*leaves, torch.jit.ScriptModule)):
        return True
    library = type(module).__module__.startswith(("torch.nn.", "torch.ao.nn.", "triton_acts."))
    return library and not isinstance(module, nn.Sequential)


def trace(
    model: nn.Module, kinds: Collection[Kind], leaves: Collection[Kind]
) -> tuple[fx.Graph, dict[str, Call]]:
    """The graph of the model in its present mode, and the calls of functions of these kinds.

    The model and the random state are afterwards as before.

    Args:
        model: to trace.
        kinds: module types whose functions are sought.
        leaves: types that stay calls of modules, besides torch's own.

    Raises:
        UntraceableError: torch.fx cannot trace it, or the graph would leave something out.
    """
    tracer = _Tracer(kinds, leaves)
    graph = _run(tracer, model)
    return graph, tracer.calls


def graph_of(module: nn.Module) -> fx.Graph | None:
    """The graph of a module's own forward, its children as calls; None if it cannot be traced."""
    try:
        return _run(_Shallow(), module)
    except UntraceableError:
        return None


def _run(tracer: _Tracer, model: nn.Module) -> fx.Graph:
    with untouched(model) as before, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            graph = tracer.run(model)
        except UntraceableError:
            raise
        except Exception as error:  # whatever a forward does to a proxy
            (line, *_) = f"{error}".strip().splitlines() or [""]
            raise UntraceableError(
                f"torch.fx cannot trace it ({type(error).__name__}: {line})"
            ) from error
        if before.changed():
            raise UntraceableError(
                "its forward changes the model's state or draws random numbers, which a graph does "
                "not record"
            )
    return graph


def _assert_by_operators(node: fx.Node) -> None:
    """Loading a pickled graph with torch's own function breaks every later trace in a process.

    Loading traces anew, and `==` is what a proxy records; of a tensor and None it is False.
    """
    value, message = node.args
    with node.graph.inserting_before(node):
        none = node.graph.call_function(operator.eq, (value, None))
    node.target, node.args = torch._assert, (none, message)


def _context() -> tuple[bool, ...]:
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
    )
