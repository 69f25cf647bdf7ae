"""One forward of the user's example: what reaches the activations, which functions it calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from triton_acts._forward import call

from ._features import features_of
from ._functions import function_name, kind_of_function
from ._guard import untouched
from ._replacements import Channels
from ._slots import join

__all__ = ["channels_of_example", "functions_of_example", "output_of_example"]

Kind = type[nn.Module]


def output_of_example(model: nn.Module, example: object) -> Any:
    """What the model returns, in evaluation mode and without gradients.

    Raises:
        ValueError: it fails, or has lazy parameters.
    """
    with _forward(model):
        return _run(model, example)


def channels_of_example(
    model: nn.Module, activations: Iterable[nn.Module], example: object
) -> dict[nn.Module, set[Channels | None]]:
    """What each activation is given, None where its channels' dimension stays open.

    With the smallest and the largest finite number that reaches it. The dimension of its channels
    is the one of the last layer before it, in the order of execution, that has as many channels as
    the activation's input has there.
    """
    layers: list[tuple[Channels, int]] = []
    found: dict[nn.Module, set[Channels | None]] = {}
    reaches: dict[nn.Module, tuple[float, float]] = {}

    def after_layer(module: nn.Module, _args: Any, output: Any) -> None:
        known = features_of(module)
        if known is not None and isinstance(output, Tensor):
            layers.append((known, output.ndim))

    def before_activation(module: nn.Module, args: Any, kwargs: Any) -> None:
        x = next(v for v in (*args, *kwargs.values()) if isinstance(v, Tensor))
        found.setdefault(module, set()).add(_channels(x, layers))
        reaches[module] = _reach(x, reaches.get(module, (0.0, 0.0)))

    handles = []
    with _forward(model):
        try:
            for module in model.modules():
                if features_of(module) is not None:
                    handles.append(module.register_forward_hook(after_layer))
            for module in activations:
                handles.append(
                    module.register_forward_pre_hook(before_activation, with_kwargs=True)
                )
            _run(model, example)
        finally:
            for handle in handles:
                handle.remove()
    return {
        module: {one and replace(one, reach=reaches[module]) for one in all_}
        for module, all_ in found.items()
    }


def functions_of_example(
    model: nn.Module,
    kinds: Collection[Kind],
    selected: Callable[[str, nn.Module], bool],
    example: object,
) -> dict[str, str]:
    """The activation functions that the model's own forwards call, by name."""
    callers: list[tuple[str, nn.Module]] = [("", model)]
    found: dict[str, str] = {}

    class Listener(TorchFunctionMode):
        def __torch_function__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name, caller = callers[-1]
            kind = kind_of_function(func)
            if kind in kinds and not type(caller).__module__.startswith(("torch.", "triton_acts.")):
                own = join(name, function_name(func))
                if selected(own, caller):
                    found.setdefault(own, function_name(func))
            return func(*args, **(kwargs or {}))

    handles = []
    with _forward(model):
        try:
            for name, module in model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue

                enter, leave = partial(_enter, callers, name), partial(_leave, callers)
                handles.append(module.register_forward_pre_hook(enter))
                handles.append(module.register_forward_hook(leave, always_call=True))
            with Listener():
                _run(model, example)
        finally:
            for handle in handles:
                handle.remove()
    return found


def _enter(callers: list[tuple[str, nn.Module]], name: str, module: nn.Module, _args: Any) -> None:
    callers.append((name, module))


def _leave(callers: list[tuple[str, nn.Module]], _module: nn.Module, _args: Any, _y: Any) -> None:
    callers.pop()


@contextmanager
def _forward(model: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; afterwards all is as before."""
    if any(is_lazy(tensor) for tensor in chain(model.parameters(), model.buffers())):
        raise ValueError(
            "swap: the model has lazy parameters, which the forward of example would make; run it "
            "once before"
        )
    fast = torch.backends.mha.get_fastpath_enabled()
    with untouched(model), torch.no_grad():
        model.eval()
        # The fused path calls no modules, and nests what is padded
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)


def _run(model: nn.Module, example: object) -> Any:
    """The model of one tensor, of a tuple or list of arguments, or of a mapping of keywords."""
    try:
        return call(model, example)
    except Exception as error:
        raise ValueError(
            f"swap: the model failed on example ({type(error).__name__}: {error}); give a tensor, "
            f"a tuple of arguments or a dict of keywords that it takes"
        ) from error


def _reach(x: Tensor, known: tuple[float, float]) -> tuple[float, float]:
    x = x[x.isfinite()]
    if not x.numel():
        return known
    lo, hi = (float(end) for end in torch.aminmax(x))
    return min(lo, known[0]), max(hi, known[1])


def _channels(x: Tensor, layers: list[tuple[Channels, int]]) -> Channels | None:
    for known, ndim in reversed(layers):
        if ndim == x.ndim and -ndim <= known.dim < ndim and x.shape[known.dim] == known.count:
            return known
    if x.ndim == 1:
        return Channels(x.shape[0], -1)
    return Channels(x.shape[1], 1) if x.ndim == 2 else None
