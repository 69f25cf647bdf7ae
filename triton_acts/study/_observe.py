"""What training does to a model, layer by layer: saturation, dead units, gradients, memory."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ._variants import Activation

__all__ = ["Observer", "Used", "saved_bytes"]

_PROBE = 128  # validation examples on which activations are looked at
_FLAT = 0.05  # a derivative below it passes next to no gradient on
_DEAD = 1e-3


class Used(Activation):
    """An Activation that remembers which modules it made, and where their channels are."""

    def __init__(self, activation: Activation) -> None:
        super().__init__(activation.variant, activation.options)
        object.__setattr__(self, "made", dict[nn.Module, int]())  # the dataclass is frozen

    def __call__(self, num_channels: int, channel_dim: int = 1) -> nn.Module:
        """A fresh module."""
        module = super().__call__(num_channels, channel_dim)
        self.made[module] = channel_dim
        return module

    made: dict[nn.Module, int]

    def example(self) -> nn.Module:
        """A module as it would be made, of one channel, which nobody uses."""
        return super().__call__(1)


class Observer:
    """Looks at a model's activations on a few examples that stay the same."""

    def __init__(self, model: nn.Module, used: Used, examples: Tensor) -> None:
        self._model, self._examples = model, examples[:_PROBE]
        self._made = {m: used.made[m] for m in model.modules() if m in used.made}
        self._weights = [
            (name, p)
            for name, p in model.named_parameters()
            if p.ndim >= 2 and not name.endswith("alpha")
        ]

    def observe(self) -> dict[str, float]:
        """Shares of flat pre-activations and of dead units, and the norm of all weights.

        Flat: the activation's derivative there is below 0.05 in magnitude, as in saturation or on
        ReLU's negative side. A unit, that is a channel, is dead if none of the examples has a
        derivative above 0.001.
        """
        flat, dead, seen, units = 0.0, 0.0, 0, 0
        for module, calls in self._inputs().items():
            alive: dict[int, Tensor] = {}  # by the number of channels
            for x in calls:
                slope = _slope(module, x).abs()
                flat, seen = flat + float((slope < _FLAT).sum()), seen + slope.numel()
                rows = slope.movedim(self._made[module], 0).flatten(1)
                now = (rows >= _DEAD).any(1)
                alive[len(now)] = alive.get(len(now), now) | now
            dead += sum(float((~units_alive).sum()) for units_alive in alive.values())
            units += sum(alive)
        return {
            "saturation": flat / seen if seen else math.nan,
            "dead": dead / units if units else math.nan,
            "weight_norm": math.sqrt(
                sum(float(p.detach().square().sum()) for _, p in self._weights)
            ),
        }

    def gradient_norms(self) -> list[dict[str, float | str]]:
        """The norm of each weight's gradient in the last step, after clipping."""
        return [
            {"layer": name, "gradient_norm": float(p.grad.norm())}
            for name, p in self._weights
            if p.grad is not None
        ]

    def _inputs(self) -> dict[nn.Module, list[Tensor]]:
        """What each activation gets in one forward pass, call by call."""
        found: dict[nn.Module, list[Tensor]] = {module: [] for module in self._made}

        def note(module: nn.Module, args: tuple[Any, ...]) -> None:
            found[module].append(args[0].detach().clone())  # it may work in place

        handles = [module.register_forward_pre_hook(note) for module in self._made]
        try:
            self._model.eval()
            with torch.no_grad():
                self._model(self._examples)
        finally:
            for handle in handles:
                handle.remove()
        return found


def _slope(module: nn.Module, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(module(x.clone()).sum(), x)  # it may overwrite its input
    return slope


def saved_bytes(model: nn.Module, x: Tensor) -> int:
    """Bytes that autograd keeps for backward in one forward pass, without parameters and x."""
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers(), x)}
    kept: dict[int, int] = {}
    hold: list[Tensor] = []  # so that no memory is used twice while it is counted

    def pack(t: Tensor) -> Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            hold.append(t)
        return t

    state = {name: b.clone() for name, b in model.named_buffers()}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        model(x)
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            buffer.copy_(state[name])  # running statistics
    return sum(kept.values())
