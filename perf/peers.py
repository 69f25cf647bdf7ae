"""Kernels of other packages that do the nearest work, where they are installed.

Nobody else has these activations, so nothing here is a contest of equals: a row says what its peer
computes instead. On an offline machine `WHEELS=dir` is where their wheels are looked for.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from perf.cases import Case
from perf.check import Inputs
from perf.ops import Formula, Op

__all__ = ["PEERS", "Peer", "peer_error", "peers_of"]


@dataclass(frozen=True)
class Peer:
    """A kernel of another package.

    Attributes:
        name: the provider's name in records.
        package: what to install.
        formula: what it computes.
        op: name and variant of the op of ours that is nearest.
        load: imports it, as a function of (x, *weights).
        weights: its learned weights for an x.
        reference: its formula in plain PyTorch, of (x, *weights).
    """

    name: str
    package: str
    formula: str
    op: tuple[str, str]
    load: Callable[[], Formula]
    weights: Callable[[Tensor], tuple[Tensor, ...]]
    reference: Formula


def peers_of(op: Op) -> list[Peer]:
    """The peers of an op."""
    return [peer for peer in PEERS if peer.op == (op.name, op.variant)]


def peer_error(peer: Peer, case: Case, inputs: Inputs, results: tuple[Tensor, ...]) -> float:
    """The largest deviation from its own formula in float64, in eps max(1, |value|).

    Of the weights' gradients, which are long sums, relative to the largest.
    """
    wide = [t.detach().double().requires_grad_() for t in (inputs.x, *inputs.weights)]
    with torch.enable_grad():
        y = peer.reference(*wide)
        expected = (
            (y,) if case.direction == "forward" else torch.autograd.grad(y, wide, inputs.g.double())
        )
    eps = torch.finfo(case.dtype).eps
    found, right = results[0].double(), expected[0].detach()
    errors = [((found - right).abs() / right.abs().clamp(min=1)).max() / eps]
    for result, sums in zip(results[1:], expected[1:], strict=True):
        errors.append((result.double() - sums).abs().max() / sums.abs().max() / eps)
    worst = torch.stack(errors).max().item()
    return worst if worst == worst else float("inf")


def _from(module: str, name: str) -> Any:
    _use_wheels()
    return getattr(importlib.import_module(module), name)


@cache
def _use_wheels() -> None:
    """Makes the wheels in $WHEELS importable: a wheel of pure Python is a zip archive."""
    folder = os.environ.get("WHEELS")
    if folder:
        sys.path += [str(wheel) for wheel in sorted(Path(folder).glob("*.whl"))]


def _function(module: str, name: str) -> Callable[[], Formula]:
    """Loads an autograd.Function's `apply`."""

    def load() -> Formula:
        formula: Formula = _from(module, name).apply
        return formula

    return load


def _dyt_weights(x: Tensor) -> tuple[Tensor, ...]:
    size = x.shape[-1]
    one, zero = torch.ones(size, device=x.device), torch.zeros(size, device=x.device)
    return torch.full((1,), 0.5, device=x.device), one, zero


PEERS = (
    Peer(
        "liger relu^2",
        "liger-kernel",
        "relu(x)^2",
        ("scaled_sigmoid", "scalar"),
        _function("liger_kernel.ops.relu_squared", "LigerReLUSquaredFunction"),
        lambda _: (),
        lambda x: torch.relu(x) ** 2,
    ),
    Peer(
        "fla sigmoid",
        "flash-linear-attention",
        "sigmoid(x)",
        ("scaled_sigmoid", "scalar"),
        lambda: _from("fla.modules.activations", "sigmoid"),
        lambda _: (),
        torch.sigmoid,
    ),
    Peer(
        "liger DyT",
        "liger-kernel",
        "gamma tanh(alpha x) + beta over the last dimension",
        ("penalized_tanh", "per_channel"),
        _function("liger_kernel.ops.dyt", "LigerDyTFunction"),
        _dyt_weights,
        lambda x, alpha, gamma, beta: gamma * torch.tanh(alpha * x) + beta,
    ),
)
