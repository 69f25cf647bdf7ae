"""How good outputs are: metrics, and the loss that trains for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["METRICS", "Metric", "loss"]


@dataclass(frozen=True)
class Metric:
    """A figure of merit.

    Attributes:
        name: what reports call it.
        function: from outputs and targets of a whole set to a float.
        higher_is_better: which way is good.
    """

    name: str
    function: Callable[[Tensor, Tensor], float]
    higher_is_better: bool = True

    def __call__(self, outputs: Tensor, targets: Tensor) -> float:
        """The figure."""
        return self.function(outputs, targets)


def loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy for classes (integer targets), the mean squared error for numbers."""
    if targets.is_floating_point():
        return functional.mse_loss(outputs.reshape(targets.shape), targets)
    return functional.cross_entropy(outputs, targets)


def _accuracy(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(1) == targets).double().mean())


def _balanced_accuracy(outputs: Tensor, targets: Tensor) -> float:
    right = (outputs.argmax(1) == targets).double()
    return float(torch.stack([right[targets == c].mean() for c in targets.unique()]).mean())


def _rmse(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.reshape(targets.shape) - targets).double().square().mean().sqrt())


def _r2(outputs: Tensor, targets: Tensor) -> float:
    residual = (outputs.reshape(targets.shape) - targets).double().square().sum()
    return float(1 - residual / (targets - targets.mean()).double().square().sum())


def _false_alarms(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(1)[targets == 0] != 0).double().mean())


def _misses(outputs: Tensor, targets: Tensor) -> float:
    return float((outputs.argmax(1)[targets != 0] == 0).double().mean())


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _accuracy),
        Metric("balanced accuracy", _balanced_accuracy),
        Metric("rmse", _rmse, higher_is_better=False),
        Metric("r2", _r2),
        # of two classes, 0 good and anything else defective
        Metric("false-alarm rate", _false_alarms, higher_is_better=False),
        Metric("miss rate", _misses, higher_is_better=False),
    )
}
