"""What reaches the KAF layers of a model, seen without a trace left in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from triton_acts._forward import run_unchanged
from triton_acts.dictionary import KAF

__all__ = ["Samples", "kaf_layers", "observe", "sample", "single"]


class Samples(NamedTuple):
    """Finite pre-activations of a layer, drawn from all that it was called with.

    Attributes:
        x: [N], float64, on the CPU.
        channel: [N], the row of alpha for each.
    """

    x: Tensor
    channel: Tensor


def kaf_layers(op: str, model: object) -> dict[str, KAF]:
    """The KAF layers by qualified name, each once; raises where there are none."""
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{op}: model must be a torch.nn.Module, got {type(model).__name__}")
    found = {name: m for name, m in model.named_modules() if isinstance(m, KAF)}
    if not found:
        raise ValueError(
            f"{op}: {type(model).__name__} has no KAF layer; pass a model that has one"
        )
    return found


def single(op: str, kaf: object) -> KAF:
    """A layer as it is; TypeError unless it is a KAF."""
    if not isinstance(kaf, KAF):
        raise TypeError(
            f"{op}: kaf must be a KAF layer, got {type(kaf).__name__}; of a model, pass one of its "
            f"layers, for example model.get_submodule(name)"
        )
    return kaf


def sample(op: str, model: torch.nn.Module, batch: Any, limit: int = 1 << 15) -> dict[str, Samples]:
    """Up to `limit` pre-activations a layer, always the same ones of the same tensors.

    Layers that nothing reached have none.

    Raises:
        ValueError: a layer got NaN or an infinity, for which there is no range.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    seen: dict[str, list[Samples]] = {}

    def draw(count: int) -> Tensor:
        if count <= limit:
            return torch.arange(count, device="cpu")
        return torch.randint(count, (limit,), generator=generator, device="cpu")

    def see(name: str, kaf: KAF, x: Tensor) -> None:
        if not x.isfinite().all():
            raise ValueError(
                f"{op}: layer {name!r} gets NaN or infinities from this batch; mend the model, or "
                f"leave such inputs out"
            )
        channels = kaf.alpha.shape[0]
        inner = x.shape[kaf.channel_dim % x.dim() + 1 :].numel() if channels > 1 else 1
        index = draw(x.numel())
        values = x.reshape(-1)[index.to(x.device)].to("cpu", torch.float64)
        seen.setdefault(name, []).append(Samples(values, index // inner % channels))

    observe(op, model, batch, see)
    return {name: _drawn(seen.get(name, []), draw) for name in kaf_layers(op, model)}


def _drawn(parts: list[Samples], draw: Callable[[int], Tensor]) -> Samples:
    x = torch.cat([part.x for part in parts] or [torch.empty(0, dtype=torch.float64, device="cpu")])
    channel = torch.cat(
        [part.channel for part in parts] or [torch.empty(0, dtype=torch.int64, device="cpu")]
    )
    index = draw(len(x))
    return Samples(x[index], channel[index])


def observe(
    op: str, model: torch.nn.Module, batch: Any, see: Callable[[str, KAF, Tensor], None]
) -> None:
    """Runs the model once, and calls `see(name, layer, x)` for each call of a layer.

    The model runs in its own mode, without gradients, and eagerly where it is compiled. Buffers
    (statistics of BatchNorm), random states and hooks are afterwards what they were, also when the
    model raises.
    """
    found = kaf_layers(op, model)

    def hook(name: str, kaf: KAF, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        see(name, kaf, args[0] if args else kwargs["x"])

    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code has no hooks
        for name, kaf in found.items():
            handle = kaf.register_forward_pre_hook(partial(hook, name), with_kwargs=True)
            stack.callback(handle.remove)
        run_unchanged(model, batch)
