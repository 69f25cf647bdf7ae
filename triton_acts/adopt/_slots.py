"""Where a model holds activations: as modules, and as functions in attributes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ._functions import function_name, kind_of_function, stand_in
from ._report import Unreplaced

__all__ = ["Slot", "Where", "collect", "join", "selector"]

Kind = type[nn.Module]
Where = str | Callable[[str, nn.Module], bool]


@dataclass(frozen=True, eq=False)
class Slot:
    """A place that holds an activation.

    Attributes:
        owner: the module that holds it, None for the root.
        attribute: under which name.
        name: the qualified name.
        kind: the activation's type.
        module: the activation; for a function, a module that computes the same.
        function: the function, if it is one.
    """

    owner: nn.Module | None
    attribute: str
    name: str
    kind: Kind
    module: nn.Module
    function: Any = None

    @property
    def what(self) -> str:
        """What the report calls it."""
        return self.kind.__name__ if self.function is None else function_name(self.function)


def selector(where: Where | None) -> Callable[[str, nn.Module], bool]:
    """Whether a name and its module are asked for."""
    if where is None:
        return lambda _name, _module: True
    if isinstance(where, str):
        return lambda name, _module: fnmatchcase(name, where)
    if not callable(where):
        raise TypeError(
            f"swap: where must be a glob on qualified names, such as 'encoder.*', or a function of "
            f"name and module, got {where!r}"
        )
    return lambda name, module: bool(where(name, module))


def collect(
    model: nn.Module, kinds: Collection[Kind], selected: Callable[[str, nn.Module], bool]
) -> tuple[list[Slot], list[Unreplaced]]:
    """All selected slots of these types, and what looks like one and is none.

    A place that is reached under two names counts once, under the first that is selected.
    """
    search = _Search(kinds, selected)
    search.visit(model, "", None, "")
    return list(search.slots.values()), list(search.unreplaced.values())


def join(*names: str) -> str:
    """A qualified name."""
    return ".".join(filter(None, names))


class _Search:
    def __init__(self, kinds: Collection[Kind], selected: Callable[[str, nn.Module], bool]) -> None:
        self.kinds, self.selected = kinds, selected
        self.slots: dict[tuple[int, str], Slot] = {}
        self.unreplaced: dict[int, Unreplaced] = {}

    def visit(self, module: nn.Module, name: str, owner: nn.Module | None, attribute: str) -> None:
        kind = type(module)
        if kind in self.kinds:
            if self.selected(name, module):
                slot = Slot(owner, attribute, name, kind, module)
                self.slots.setdefault((id(owner), attribute), slot)
            return  # what is inside goes with it
        reason = _obstacle(module, self.kinds)
        if reason and self.selected(name, module):
            what = getattr(module, "original_name", kind.__name__)
            self.unreplaced.setdefault(id(module), Unreplaced(name, what, reason))
        if isinstance(module, torch.jit.ScriptModule):
            return
        self._functions(module, name)
        for child_name, child in module._modules.items():
            if child is not None:
                self.visit(child, join(name, child_name), module, child_name)

    def _functions(self, module: nn.Module, name: str) -> None:
        for attribute, value in vars(module).items():
            kind = kind_of_function(value)
            own = join(name, attribute)
            if kind in self.kinds and kind is not None and self.selected(own, module):
                options = value.keywords if isinstance(value, functools.partial) else None
                same = stand_in(kind, (), options).train(module.training)
                slot = Slot(module, attribute, own, kind, same, value)
                self.slots.setdefault((id(module), attribute), slot)


def _obstacle(module: nn.Module, kinds: Collection[Kind]) -> str | None:
    """Why a module that could be meant is not replaced."""
    if isinstance(module, torch.jit.ScriptModule):
        return "it is scripted and cannot be changed; swap before torch.jit.script or trace"
    for kind in kinds:
        if isinstance(module, kind) and kind is not nn.Module:
            if parametrize.is_parametrized(module):
                return (
                    "its parameters are parametrized; call "
                    "torch.nn.utils.parametrize.remove_parametrizations first"
                )
            return (
                f"it is a subclass of {kind.__name__}, which may compute something else; give "
                f"{type(module).__name__} as a key too"
            )
    return _gates(module, kinds)


def _gates(module: nn.Module, kinds: Collection[Kind]) -> str | None:
    inside: set[Kind] = set()
    if isinstance(module, (nn.RNN, nn.RNNCell)):
        inside = {nn.Tanh if module.nonlinearity == "tanh" else nn.ReLU}
    elif isinstance(module, (nn.LSTM, nn.GRU, nn.LSTMCell, nn.GRUCell)):
        inside = {nn.Tanh, nn.Sigmoid}
    found = sorted(kind.__name__ for kind in inside & set(kinds))
    if not found:
        return None
    return f"its {' and '.join(found)} are inside of one fused operator, out of reach"
