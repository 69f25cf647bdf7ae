"""Penalties on what KAF layers learn, and which parameters weight decay leaves alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from triton_acts import _check
from triton_acts.dictionary import KAF, Grid

from ._observe import kaf_layers

__all__ = ["l1", "l2", "param_groups", "smoothness"]

_NORMS = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.GroupNorm,
    torch.nn.LayerNorm,
    torch.nn.RMSNorm,
)


def l1(model: torch.nn.Module) -> Tensor:
    """`sum |alpha|` over the model's KAF layers, or of one; differentiable, of shape ().

    Raises:
        TypeError: model is no module.
        ValueError: model has no KAF layer.
    """
    return _summed("l1", model, lambda kaf: kaf.alpha.abs().sum())


def l2(model: torch.nn.Module) -> Tensor:
    """`sum alpha^2` over the model's KAF layers, or of one; differentiable, of shape ().

    It pulls a fit apart, whose large weights cancel; `smoothness` does not.

    Raises:
        TypeError: model is no module.
        ValueError: model has no KAF layer.
    """
    return _summed("l2", model, lambda kaf: kaf.alpha.square().sum())


def smoothness(model: torch.nn.Module) -> Tensor:
    """`sum_c integral g_c''(s)^2 ds` over the model's KAF layers, or of one; of shape ().

    The integral runs over all numbers, tails included, and is `alpha_c^T Q alpha_c` with
    `Q_ij = sqrt(pi / (2 gamma)) gamma^2 (3 - 6 u + u^2) exp(-u / 2)`, `u = gamma (d_i - d_j)^2`.
    Differentiable; summed in float64, as weights of a fit cancel.

    Raises:
        TypeError: model is no module.
        ValueError: model has no KAF layer.
    """
    return _summed("smoothness", model, _roughness)


def _summed(op: str, model: torch.nn.Module, penalty: Callable[[KAF], Tensor]) -> Tensor:
    found = [penalty(kaf) for kaf in kaf_layers(op, model).values()]
    return torch.stack([value.to(found[0].device) for value in found]).sum()


def _roughness(kaf: KAF) -> Tensor:
    alpha = kaf.alpha.double()
    form = _quadratic_form(kaf.dictionary, alpha.device)
    return ((alpha @ form) * alpha).sum().to(kaf.alpha.dtype)


def _quadratic_form(grid: Grid, device: torch.device) -> Tensor:
    """Q of `smoothness`  # [D, D]."""
    steps = torch.arange(grid.num_nodes, dtype=torch.float64, device=device)
    u = (steps[:, None] - steps).square() * (grid.gamma * grid.delta**2)
    factor = math.sqrt(math.pi / (2 * grid.gamma)) * grid.gamma**2
    return factor * (3 - 6 * u + u * u) * torch.exp(-u / 2)


def param_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two parameter groups for an optimizer: with weight decay, and without.

    Without: alpha of KAF layers (decay pulls a fit apart), all of normalisation layers, and every
    tensor with at most one dimension, which biases, scales and learned slopes are. With: all
    others. Each parameter is in one of them, once, also if it is shared or does not require grad.
    A model without KAF layers is fine, so that a comparison can treat all models alike.

    Args:
        model: any module.
        weight_decay: of the first group, >= 0.

    Returns:
        For example `torch.optim.AdamW(param_groups(model, 0.01))`. A group may be empty.

    Raises:
        TypeError: model is no module, or weight_decay no number.
        ValueError: weight_decay is negative or not finite.
    """
    if not isinstance(model, torch.nn.Module):
        raise TypeError(
            f"param_groups: model must be a torch.nn.Module, got {type(model).__name__}"
        )
    decay = _check.real("param_groups", "weight_decay", weight_decay)
    if decay < 0:
        raise ValueError(f"param_groups: weight_decay must be at least 0, got {decay}")
    kept = {
        id(p)
        for module in model.modules()
        if isinstance(module, (KAF, *_NORMS))
        for p in module.parameters()
    }
    groups: tuple[list[Tensor], list[Tensor]] = [], []
    for p in model.parameters():
        groups[p.dim() < 2 or id(p) in kept].append(p)
    return [
        {"params": groups[0], "weight_decay": decay},
        {"params": groups[1], "weight_decay": 0.0},
    ]
