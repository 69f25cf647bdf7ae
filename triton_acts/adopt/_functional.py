"""A copy of a model's forward in which modules stand where it calls activation functions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree

from ._example import output_of_example
from ._functions import in_place, stand_in
from ._guard import untouched
from ._report import Unreplaced
from ._trace import Call, UntraceableError, is_leaf, trace

__all__ = ["Site", "Traced", "traced"]

Kind = type[nn.Module]
_DROPOUTS: dict[Any, Kind] = {
    nn.functional.alpha_dropout: nn.AlphaDropout,
    nn.functional.dropout: nn.Dropout,
    nn.functional.dropout1d: nn.Dropout1d,
    nn.functional.dropout2d: nn.Dropout2d,
    nn.functional.dropout3d: nn.Dropout3d,
    nn.functional.feature_alpha_dropout: nn.FeatureAlphaDropout,
}
_VIEWS = (
    "chunk detach diagonal expand expand_as flatten getitem mT movedim narrow permute ravel reshape"
    " select split squeeze swapaxes t transpose unbind unflatten unsqueeze view view_as"
)


@dataclass(frozen=True, eq=False)
class Site:
    """A call that is a module now.

    Attributes:
        call: what it was.
        attribute: the module's name in the traced model.
        module: computes the same until it is replaced.
    """

    call: Call
    attribute: str
    module: nn.Module


@dataclass(eq=False)
class Traced:
    """The traced model, which shares its children, parameters and buffers with the original.

    Attributes:
        model: the traced model.
        sites: what is to be replaced in it.
        unreplaced: calls that must stay.
    """

    model: fx.GraphModule
    sites: list[Site] = field(default_factory=list)
    unreplaced: list[Unreplaced] = field(default_factory=list)

    def share(self, original: nn.Module, replaced: dict[str, nn.Module]) -> None:
        """Takes over the original's children as they are now, in their order, and these."""
        own = {s.attribute: s.module for s in self.sites} | self._dropouts() | replaced
        self.model._modules.clear()
        self.model._modules.update({**original._modules, **own})

    def _dropouts(self) -> dict[str, nn.Module]:
        known = dict(self.model._modules)
        return {k: m for k, m in known.items() if m is not None and k.startswith(_DROPOUT)}


_DROPOUT = "functional_dropout"


def traced(
    model: nn.Module,
    kinds: Collection[Kind],
    leaves: Collection[Kind],
    selected: Callable[[str, nn.Module], bool],
    example: object,
) -> Traced | None:
    """The model with modules in place of the calls of these functions; None if there is no call.

    Raises:
        UntraceableError: it cannot be traced, or the traced model would be another one.
    """
    _refuse_hooks(model, leaves)
    graph, calls = _both_modes(model, kinds, leaves)
    chosen = [found for found in calls.values() if selected(found.name, found.caller)]
    if not chosen:
        return None
    result = Traced(fx.GraphModule(model, graph, type(model).__name__))
    _share_tensors(result.model, model)
    for found in chosen:
        if any(map(_seen_in_place, found.nodes)):
            reason = "it works in place, and what it writes to is read by another name; rewrite it"
            result.unreplaced.append(Unreplaced(found.name, found.what, reason))
        else:
            result.sites.append(_site(result.model, model, found))
    result.share(model, {})
    result.model.recompile()
    if example is not None:
        _compare(model, result.model, example)
    return result


def _both_modes(
    model: nn.Module, kinds: Collection[Kind], leaves: Collection[Kind]
) -> tuple[fx.Graph, dict[str, Call]]:
    """The graph, with modules for the dropouts that depend on the mode; nothing else may."""
    with untouched(model):
        model.train(False)
        evaluating, _ = trace(model, kinds, leaves)
        model.train(True)
        graph, calls = trace(model, kinds, leaves)
    if not calls:
        return graph, calls
    if _text(graph) != _text(evaluating):
        raise UntraceableError(
            "its forward depends on the mode, while a graph would be the same in both", calls
        )
    for node, other in zip(graph.nodes, evaluating.nodes, strict=True):
        if node.target in _DROPOUTS and node.kwargs["training"] != other.kwargs["training"]:
            node.meta["dropout"] = _DROPOUTS[node.target](node.kwargs["p"])
    return graph, calls


def _text(graph: fx.Graph) -> list[tuple[str, ...]]:
    return [
        (
            node.name,
            node.op,
            str(node.target),
            str(node.args),
            *(
                f"{key}={value}"
                for key, value in node.kwargs.items()
                if node.target not in _DROPOUTS or key != "training"
            ),
        )
        for node in graph.nodes
    ]


def _refuse_hooks(model: nn.Module, leaves: Collection[Kind]) -> None:
    """A graph passes through modules that are not leaves, and no longer calls their hooks."""
    for name, module in model.named_modules():
        inlined = module is model or not is_leaf(module, leaves)
        hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks
        if inlined and hooks:
            raise UntraceableError(f"a graph would lose the hooks of {name or 'the model'}")


def _share_tensors(copy: fx.GraphModule, model: nn.Module) -> None:
    """The model's own parameters and buffers; constants that only the graph has stay, unsaved."""
    constants = set(copy._buffers) - set(model._buffers)
    copy._parameters.clear()
    copy._parameters.update(model._parameters)
    own = {**model._buffers, **{name: copy._buffers[name] for name in constants}}
    copy._buffers.clear()
    copy._buffers.update(own)
    copy._non_persistent_buffers_set = set(model._non_persistent_buffers_set) | constants
    copy.training = model.training
    for node in copy.graph.nodes:
        if "dropout" in node.meta:
            name = _unused(copy, model, _DROPOUT)
            dropout = node.meta.pop("dropout").train(model.training)
            copy.add_module(name, dropout)
            _call_module(node, name)


def _seen_in_place(node: fx.Node) -> bool:
    """Whether a call writes to what somebody reads other than as its result."""
    if not in_place(node.target, node.args, node.kwargs):
        return False
    x = _input(node)
    later = False
    for other in node.graph.nodes:
        later = later or other is node
        if later and other is not node and other in x.users:
            return True
    made = getattr(x.target, "__name__", x.target)
    return (
        not node.users or (x.op != "call_module" and made in _VIEWS.split()) or "out" in node.kwargs
    )


def _input(node: fx.Node) -> fx.Node:
    x = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(x, fx.Node)
    return x


def _site(copy: fx.GraphModule, model: nn.Module, found: Call) -> Site:
    first = found.nodes[0]
    args = first.args or (None,)
    module = stand_in(found.kind, args, first.kwargs).train(found.caller.training)
    name = _unused(copy, model, found.name.replace(".", "_"))
    copy.add_module(name, module)
    for node in found.nodes:
        _call_module(node, name)
    return Site(found, name, module)


def _call_module(node: fx.Node, name: str) -> None:
    x = _input(node)
    node.op, node.target, node.args, node.kwargs = "call_module", name, (x,), {}


def _unused(copy: nn.Module, model: nn.Module, name: str) -> str:
    number, free = 0, name
    while hasattr(copy, free) or hasattr(model, free):
        number += 1
        free = f"{name}_{number}"
    return free


def _compare(model: nn.Module, copy: nn.Module, example: object) -> None:
    """With the same activations as before, both must return the same for the example."""
    ours = _pytree.tree_leaves(output_of_example(model, example))
    try:
        theirs = _pytree.tree_leaves(output_of_example(copy, example))
    except ValueError as error:
        raise UntraceableError("the traced model fails on the example") from error
    same = len(ours) == len(theirs) and all(map(_equal, ours, theirs))
    if not same:
        raise UntraceableError("the traced model returns something else for the example")


def _equal(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and torch.allclose(a, b, 1e-5, 1e-6, equal_nan=True)
    return type(a) is type(b) and bool(a == b)
