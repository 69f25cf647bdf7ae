"""Running a model's forward without leaving a trace in the model or in the random state."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

__all__ = ["Snapshot", "untouched"]

_CONTAINERS = (dict, OrderedDict, list, set)


class Snapshot:
    """The attributes of every module, one level of their containers, and the values of buffers.

    Parameters are not copied: they may be all of a device's memory, and a forward does not write to
    them.
    """

    def __init__(self, model: nn.Module) -> None:
        modules = [m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule)]
        self._attributes = [(vars(m), dict(vars(m))) for m in modules]
        self._containers: list[tuple[Any, Any]] = [
            (value, value.copy())
            for _, saved in self._attributes
            for value in saved.values()
            if type(value) in _CONTAINERS
        ]
        self._values = [
            (b, _version(b), b.detach().clone()) for b in model.buffers() if not is_lazy(b)
        ]
        self._random = torch.get_rng_state()

    def changed(self) -> bool:
        """Whether anything but the mode is another object, or a buffer or the RNG has moved."""
        return (
            any(_differ(now, saved) for now, saved in self._attributes)
            or any(_differ(now, saved) for now, saved in self._containers)
            or any(_version(buffer) != version for buffer, version, _ in self._values)
            or not torch.equal(torch.get_rng_state(), self._random)
        )

    def restore(self) -> None:
        """Puts everything back, objects and values; the random state is `untouched`'s."""
        for now, saved in chain(self._attributes, self._containers):
            if _differ(now, saved, modes=True):
                now.clear()
                now.extend(saved) if isinstance(now, list) else now.update(saved)
        with torch.no_grad():
            for buffer, version, value in self._values:
                if _version(buffer) != version:
                    buffer.copy_(value)


@contextmanager
def untouched(model: nn.Module) -> Iterator[Snapshot]:
    """What runs inside may change the model's modes, attributes, buffers and the random state."""
    tensors = chain(model.parameters(), model.buffers())
    devices = sorted({t.get_device() for t in tensors if t.is_cuda})
    python, snapshot = random.getstate(), Snapshot(model)
    with torch.random.fork_rng(devices):
        try:
            yield snapshot
        finally:
            random.setstate(python)
            snapshot.restore()


def _version(buffer: Tensor) -> int:
    return 0 if buffer.is_inference() else buffer._version


def _differ(now: Any, saved: Any, modes: bool = False) -> bool:
    if not isinstance(now, dict):
        return len(now) != len(saved) or any(map(_other, now, saved))
    return list(now) != list(saved) or any(
        _other(now[key], saved[key]) for key in saved if modes or key != "training"
    )


def _other(a: object, b: object) -> bool:
    return a is not b
