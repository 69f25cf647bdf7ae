"""A model run on a batch, with its buffers and the random state afterwards as they were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

__all__ = ["call", "run_unchanged"]


def call(model: torch.nn.Module, batch: Any) -> Any:
    """What the model returns for a tensor, a tuple or list of arguments, or a mapping of keywords.

    Anything else is the one argument.
    """
    if isinstance(batch, Mapping):
        return model(**batch)
    if isinstance(batch, tuple | list):
        return model(*batch)
    return model(batch)


def run_unchanged(model: torch.nn.Module, batch: Any) -> None:
    """Runs the model for what its hooks see.

    It runs in the mode that it is in. Random state and buffers, such as running statistics, are
    afterwards what they were, also when the model raises.
    """
    with torch.random.fork_rng(_gpus(model, batch)), _buffers_kept(model):
        call(model, batch)


def _gpus(model: torch.nn.Module, batch: Any) -> list[int]:
    """Those whose random state a run may change."""
    inputs = batch.values() if isinstance(batch, Mapping) else batch
    inputs = inputs if isinstance(batch, Mapping | tuple | list) else [batch]
    tensors = [*model.parameters(), *model.buffers(), *inputs]
    return sorted({t.get_device() for t in tensors if isinstance(t, Tensor) and t.is_cuda})


@contextmanager
def _buffers_kept(model: torch.nn.Module) -> Iterator[None]:
    """Puts every buffer back, as the same tensor with the same values."""
    own = [(module._buffers, dict(module._buffers)) for module in model.modules()]
    values = [(b, b.clone()) for _, known in own for b in known.values() if b is not None]
    try:
        yield
    finally:
        for buffers, known in own:
            buffers.clear()
            buffers.update(known)
        for buffer, value in values:
            # by value: native batch_norm counts no version of what it writes
            if not torch.equal(buffer, value):
                buffer.copy_(value)
