"""Weights scaled, layer after layer, until a batch leaves every layer with variance 1."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from triton_acts import _check
from triton_acts._forward import run_unchanged

from ._layers import Layer, found

__all__ = ["Scaled", "lsuv_"]


class Scaled(NamedTuple):
    """What `lsuv_` did with one layer.

    Attributes:
        name: the layer's qualified name.
        before: variance of its output at its turn, after orthogonal initialisation if any.
        variance: variance of its output at the end of its turn.
        factor: what its weight and bias were multiplied by.
        tries: how often they were.
        note: why the layer was left alone, or that it missed the tolerance; "" otherwise.
    """

    name: str
    before: float | None
    variance: float | None
    factor: float
    tries: int
    note: str


def lsuv_(
    model: torch.nn.Module,
    batch: Any,
    *,
    orthogonal: bool = True,
    tol: float = 0.1,
    max_iter: int = 10,
    generator: torch.Generator | None = None,
) -> list[Scaled]:
    """Scales every Linear and Conv layer until its output on a batch has variance 1.

    Layers have their turn in the order in which the batch reaches them. Weight and bias are divided
    by the standard deviation of the output over all its elements, until the variance is within tol
    of 1. For a layer used once one try does; one used several times counts the mean variance of its
    uses, and may need more. Each try runs the whole model once.

    A layer in front of a normalisation is scaled as the others are: the output does not change,
    but the smaller a weight, the larger are its relative steps in training. The model runs in
    the mode that it is in, every time with the same random numbers: with dropout in training mode,
    the variance is that with dropout. Random state, modes, buffers (such as running statistics) and
    gradients are as before when the function returns, except that orthogonal initialisation draws
    from generator.

    Left alone, with a note: layers that the batch does not reach, and those that are frozen,
    parametrized (weight_norm) or share their weight.

    Args:
        model: a module of any floating dtype. Sums are in float64, and 16-bit weights are rounded
            once.
        batch: what the model is called with: a tensor, a tuple or list of arguments, or a mapping
            of keyword arguments. Labels do not belong to it.
        orthogonal: whether weights become orthogonal, and biases 0, before they are scaled.
        tol: largest distance of a variance from 1, > 0.
        max_iter: largest number of tries a layer, at least 1.
        generator: the source of random numbers of the orthogonal weights; None means torch's.

    Returns:
        A record of each layer: those that were scaled in their order, then those left alone.

    Raises:
        TypeError: model is no module, or an argument has a wrong type.
        ValueError: an argument is out of its range; the model has no such layer, or lazy ones
            without a shape; the output of a layer has variance 0, or one that is not finite. The
            weights are then as they were, as they are if the model itself raises.

    Source: Mishkin and Matas, All you need is a good init, arXiv 1511.06422.
    """
    tol = _check.real("lsuv_", "tol", tol)
    if tol <= 0:
        raise ValueError(f"lsuv_: tol must be positive, got {tol}")
    if _check.integer("lsuv_", "max_iter", max_iter) < 1:
        raise ValueError(f"lsuv_: max_iter must be at least 1, got {max_iter}")
    layers = found("lsuv_", model)
    reasons = {name: reason for name, (_, reason) in layers.items() if reason}
    free = {name: layer for name, (layer, reason) in layers.items() if not reason}
    with torch.no_grad(), _restored_on_error(free):
        order = list(_variances(model, batch, free))
        if orthogonal:
            for name in order:
                _orthogonal(free[name], generator)
        records = [_scale(model, batch, name, free[name], tol, max_iter) for name in order]
    reasons |= {name: "the batch does not reach it" for name in free if name not in order}
    alone = [
        Scaled(n, None, None, 1.0, 0, f"left alone: {reasons[n]}") for n in layers if n in reasons
    ]
    return records + alone


def _scale(
    model: torch.nn.Module,
    batch: Any,
    name: str,
    layer: Layer,
    tol: float,
    max_iter: int,
) -> Scaled:
    start = [(p, p.clone()) for p in (layer.weight, layer.bias) if p is not None]
    factor, tries = 1.0, 0
    before = variance = _variance(model, batch, name, layer)
    while abs(variance - 1) > tol and tries < max_iter:
        factor /= math.sqrt(variance)
        for parameter, first in start:
            parameter.copy_(first * factor)
        tries += 1
        variance = _variance(model, batch, name, layer)
    missed = f"not within {tol} of 1 after {tries} tries" if abs(variance - 1) > tol else ""
    return Scaled(name, before, variance, factor, tries, missed)


def _variance(model: torch.nn.Module, batch: Any, name: str, layer: Layer) -> float:
    variance = _variances(model, batch, {name: layer}).get(name, math.nan)
    if not 0 < variance < math.inf:
        raise ValueError(
            f"lsuv_: the output of layer {name!r} has variance {variance} on this batch, which no "
            f"factor brings to 1; give a larger batch of finite, differing inputs, or in 16 bits "
            f"smaller ones"
        )
    return variance


def _variances(model: torch.nn.Module, batch: Any, layers: Mapping[str, Layer]) -> dict[str, float]:
    """Mean variance of each layer's outputs in one run of the model, by first use."""
    seen: dict[str, list[Tensor]] = {}

    def hook(name: str) -> Any:
        def record(_module: Any, _inputs: Any, output: Tensor) -> None:
            seen.setdefault(name, []).append(output.double().var(correction=0))

        return record

    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        run_unchanged(model, batch)
    finally:
        for handle in handles:
            handle.remove()
    return {name: float(torch.stack(each).mean()) for name, each in seen.items()}


def _orthogonal(layer: Layer, generator: torch.Generator | None) -> None:
    wide = torch.promote_types(layer.weight.dtype, torch.float32)  # QR has no 16-bit form
    weight = torch.empty_like(layer.weight, dtype=wide, memory_format=torch.contiguous_format)
    layer.weight.copy_(torch.nn.init.orthogonal_(weight, generator=generator))
    if layer.bias is not None:
        layer.bias.zero_()


@contextmanager
def _restored_on_error(layers: Mapping[str, Layer]) -> Iterator[None]:
    kept = [(p, p.clone()) for m in layers.values() for p in (m.weight, m.bias) if p is not None]
    try:
        yield
    except BaseException:
        for parameter, value in kept:
            parameter.copy_(value)
        raise
