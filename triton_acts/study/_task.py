"""What a study trains: data, a model that takes any activation, a metric and a budget."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ._metrics import METRICS, Metric
from ._variants import VARIANTS, Activation, Variant

__all__ = ["Data", "Pair", "Task", "checked_data", "fingerprint", "split"]

MakeModel = Callable[[Activation], nn.Module]


class Pair(NamedTuple):
    """Inputs and targets, with the examples along dimension 0."""

    x: Tensor
    y: Tensor


class Data(NamedTuple):
    """Three sets of examples that have none in common.

    Everything is chosen on `validation`; `test` is looked at once, at the end of each run.
    """

    train: Pair
    validation: Pair
    test: Pair


@dataclass(frozen=True)
class Task:
    """One comparison on the same data, model and budget.

    Attributes:
        name: what records and reports call it.
        make_model: returns a fresh model from an Activation.
        data: returns the Data, the same at every call; each process calls it.
        metric: how good the outputs are on the test set.
        epochs: the budget, the same for all activations.
        batch_size: examples a step.
        optimizer: "sgd" (momentum 0.9) or "adam".
        learning_rates, inits: what is chosen on the validation set, see `_training.initialise`.
        search: what proposes the activations' own options, "grid" or "optuna".
        clip: largest norm of the gradient, or None.
        baseline: name of the variant that the others are compared with.
        variants: those compared.
        also: further metrics that are reported.
        about: a sentence for the report.
    """

    name: str
    make_model: MakeModel
    data: Callable[[], Data]
    metric: Metric
    epochs: int
    batch_size: int = 64
    optimizer: str = "sgd"
    learning_rates: Sequence[float] = (0.01, 0.03, 0.1)
    inits: Sequence[str] = ("xavier", "gain")
    search: str = "grid"
    clip: float | None = None
    baseline: str = "relu"
    variants: Sequence[Variant] = tuple(VARIANTS.values())
    also: Mapping[str, Metric] = field(default_factory=dict)
    about: str = ""


def split(
    x: Tensor, y: Tensor, shares: tuple[float, float, float] = (0.6, 0.2, 0.2), seed: int = 0
) -> Data:
    """Shuffles examples and divides them.

    Args:
        x: inputs, examples along dimension 0.
        y: targets, as many.
        shares: of training, validation and test set; positive, sum 1.
        seed: of the shuffle, which leaves PyTorch's own random state alone.

    Raises:
        ValueError: other shares, x and y of different length, or a set that would be empty.
    """
    if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise ValueError(f"split: shares must be three positive numbers of sum 1, got {shares}")
    if len(x) != len(y):
        raise ValueError(f"split: x has {len(x)} examples and y {len(y)}")
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    first, second = round(shares[0] * len(x)), round((shares[0] + shares[1]) * len(x))
    parts = order[:first], order[first:second], order[second:]
    if not all(len(part) for part in parts):
        raise ValueError(f"split: {len(x)} examples are too few for shares {shares}")
    return Data(*(Pair(x[part], y[part]) for part in parts))


def fingerprint(data: Data) -> str:
    """A digest of all numbers, by which processes and later runs know that they have the same."""
    digest = hashlib.sha256()
    for tensor in (t for pair in data for t in pair):
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().flatten().contiguous()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def checked_data(data: object) -> Data:
    """`(train, validation, test)`, each `(x, y)`, as Data.

    Raises:
        TypeError: anything else.
        ValueError: a set is empty, or x and y differ in length.
    """
    pairs = data if isinstance(data, Sequence) and len(data) == 3 else ()
    if pairs and all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in pairs):
        train, validation, test = (Pair(*pair) for pair in pairs)
    else:
        raise TypeError(
            f"data must be three pairs (x, y), for training, validation and test, got "
            f"{type(data).__name__}; triton_acts.study.split(x, y) makes them"
        )
    for name, (x, y) in (("train", train), ("validation", validation), ("test", test)):
        if not isinstance(x, Tensor) or not isinstance(y, Tensor):
            raise TypeError(
                f"data: {name} must be a pair of tensors, got {type(x).__name__} and "
                f"{type(y).__name__}"
            )
        if not x.ndim or not y.ndim:
            raise ValueError(f"data: {name} is one number; examples run along dimension 0")
        if len(x) != len(y) or not len(x):
            raise ValueError(f"data: {name} has {len(x)} inputs and {len(y)} targets")
    return Data(train, validation, test)


def checked_metric(metric: str | Metric) -> Metric:
    """A metric by its name.

    Raises:
        ValueError: an unknown name.
    """
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(
            f"metric: {metric!r} is unknown; there are {[*METRICS]}, or give a "
            f"triton_acts.study.Metric"
        )
    return METRICS[metric]
