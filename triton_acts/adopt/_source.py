"""Which activation functions the source of a model's modules evidently calls."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from ._functions import called_kind, function_name, kind_of_function
from ._slots import join

__all__ = ["functions_in_source"]

Kind = type[nn.Module]
_LIBRARIES = ("torch", "triton_acts", "builtins", "math")
_UNKNOWN = object()


def functions_in_source(
    model: nn.Module, kinds: Collection[Kind], selected: Callable[[str, nn.Module], bool]
) -> dict[str, str]:
    """The functions that each module's methods mention, and what they call of the user's own."""
    known: dict[Kind, list[str]] = {}
    found: dict[str, str] = {}
    for name, module in model.named_modules():
        kind = type(module)
        if _library(kind) or isinstance(module, (*kinds, torch.jit.ScriptModule)):
            continue
        if kind not in known:
            known[kind] = _of_class(kind, kinds)
        for function in known[kind]:
            own = join(name, function)
            if selected(own, module):
                found[own] = function
    return found


def _of_class(kind: Kind, kinds: Collection[Kind]) -> list[str]:
    seen: set[FunctionType] = set()
    names = (
        name
        for cls in kind.__mro__
        if not _library(cls)
        for method in vars(cls).values()
        if isinstance(method, FunctionType) and not method.__name__.startswith("__")
        for name in _of_function(method, kinds, seen)
    )
    return list(dict.fromkeys(names))


def _of_function(
    function: FunctionType, kinds: Collection[Kind], seen: set[FunctionType]
) -> Iterator[str]:
    if function in seen:
        return
    seen.add(function)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        yield from _of_names(function, kinds)
        return
    spaces = _namespace(function)
    own = next(iter(inspect.signature(function).parameters), "")
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Name, ast.Attribute)):
            continue
        value = _resolved(node, spaces)
        if _among(kind_of_function(value), kinds):
            yield function_name(value)
        elif isinstance(value, FunctionType) and not _library(value):
            yield from _of_function(value, kinds, seen)
        elif (
            value is _UNKNOWN
            and isinstance(node, ast.Attribute)
            and not _of_self(node, own)
            and _among(called_kind(node.attr), kinds)
        ):
            yield function_name(node.attr)


def _of_names(function: FunctionType, kinds: Collection[Kind]) -> Iterator[str]:
    """What the compiled code names, where the source is not to be had."""
    spaces = [torch.nn.functional, torch, torch.Tensor]
    for name in function.__code__.co_names:
        if any(_among(kind_of_function(getattr(space, name, None)), kinds) for space in spaces):
            yield function_name(name)


def _namespace(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    closed = {name: cell.cell_contents for name, cell in cells if name != "__class__"}
    return {**function.__globals__, **closed}


def _resolved(node: ast.AST, space: dict[str, Any]) -> Any:
    """The object that a chain of names stands for; chains start at a global and pass modules."""
    if isinstance(node, ast.Name):
        return space.get(node.id, _UNKNOWN)
    if isinstance(node, ast.Attribute):
        value = _resolved(node.value, space)
        if isinstance(value, (ModuleType, type)):
            return getattr(value, node.attr, _UNKNOWN)
    return _UNKNOWN


def _of_self(node: ast.Attribute, own: str) -> bool:
    """Whether it is an attribute of the module itself or of its children."""
    root = node.value
    while isinstance(root, (ast.Attribute, ast.Subscript)):
        root = root.value
    return isinstance(root, ast.Name) and root.id == own


def _among(kind: Kind | None, kinds: Collection[Kind]) -> bool:
    return kind is not None and kind in kinds


def _library(thing: Any) -> bool:
    return str(thing.__module__).partition(".")[0] in _LIBRARIES
