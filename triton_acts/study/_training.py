"""One run: a model trained with one activation, one choice and one seed, and what is seen on it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from triton_acts import init as initialisation

from ._metrics import Metric, loss
from ._observe import Observer, Used, saved_bytes
from ._task import Data, Pair, Task
from ._variants import Activation, Variant

__all__ = ["Choice", "Run", "train"]

_CHUNK = 1024  # examples that are evaluated at once
INITS = ("xavier", "gain", "default")


@dataclass(frozen=True)
class Choice:
    """What is chosen for an activation on the validation set.

    Attributes:
        learning_rate: of the optimizer, before its cosine decay to 0.
        init: "xavier" (normal, gain 1, biases 0), "gain" (the same with the activation's own
            backward gain) or "default" (what the layers do by themselves).
        options: of the activation.
    """

    learning_rate: float
    init: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Run:
    """A trained model's figures.

    Attributes:
        test: the metric on the test set; of a diverged run that of a constant answer.
        validation: the same on the validation set.
        also: the task's further metrics, on the test set, by name.
        diverged: whether a loss was not finite, which ends a run.
        parameters: how many numbers are trained.
        epoch_s: median time of a whole epoch in s, without evaluation; NaN if there is none.
        inference_us: time of a test example in us.
        saved_mib: what the forward pass of a batch keeps for backward, without parameters.
        curve: a row an epoch, the untrained model first.
        layers: gradient norms after clipping, a row per epoch and layer.
    """

    test: float
    validation: float
    also: dict[str, float]
    diverged: bool
    parameters: int
    epoch_s: float
    inference_us: float
    saved_mib: float
    curve: list[dict[str, float]]
    layers: list[dict[str, float | str]]


def train(task: Task, variant: Variant, choice: Choice, seed: int, data: Data) -> Run:
    """Trains a fresh model for the task's budget; the same seed gives the same batches to all."""
    used = Used(Activation(variant, choice.options))
    with torch.random.fork_rng(devices=[]):  # a GPU's own state is seeded, and not put back
        torch.manual_seed(seed)
        model = task.make_model(used)
        torch.manual_seed(seed)  # the same draws for all, whatever the activation itself has drawn
        initialise(model, choice.init, used)
        return _train(task, model, choice, seed, data, Observer(model, used, data.validation.x))


def initialise(model: nn.Module, scheme: str, used: Used) -> None:
    """Draws the weights of linear and convolution layers anew, but for scheme "default".

    Layers that are frozen stay as they are.
    """
    if scheme == "default":
        return
    if scheme == "gain":
        initialisation.initialize_(model, "xavier_normal", used.example(), mode="backward")
        return
    for layer in model.modules():
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)) and layer.weight.requires_grad:
            initialisation.xavier_normal_(layer.weight, "linear")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _train(
    task: Task, model: nn.Module, choice: Choice, seed: int, data: Data, observer: Observer
) -> Run:
    steps = math.ceil(len(data.train.x) / task.batch_size) * task.epochs
    optimizer = _optimizer(task, model, choice.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    order = torch.Generator().manual_seed(seed)
    saved_mib = saved_bytes(model, data.train.x[: task.batch_size]) / 2**20
    curve = [{"epoch": 0, "step": 0, "loss": math.nan} | _seen(task, model, data, observer)]
    layers, seconds, step, diverged = list[dict[str, float | str]](), list[float](), 0, False
    for epoch in range(1, task.epochs + 1):
        begin, total = time.perf_counter(), 0.0
        model.train()
        for batch in torch.randperm(len(data.train.x), generator=order).split(task.batch_size):
            value = _step(task, model, optimizer, Pair(data.train.x[batch], data.train.y[batch]))
            diverged = not math.isfinite(value)
            if diverged:
                break
            schedule.step()
            step, total = step + 1, total + value * len(batch)
        if diverged:
            break
        seconds.append(time.perf_counter() - begin)
        layers += [{"epoch": epoch, **row} for row in observer.gradient_norms()]
        mean = total / len(data.train.x)
        curve.append({"epoch": epoch, "step": step, "loss": mean})
        curve[-1] |= _seen(task, model, data, observer)
    begin = time.perf_counter()
    outputs = _outputs(model, data.test.x)
    inference = (time.perf_counter() - begin) / len(data.test.x)
    validation = _outputs(model, data.validation.x)
    diverged = diverged or not all(bool(o.isfinite().all()) for o in (outputs, validation))
    return Run(
        test=_score(task.metric, outputs, data, data.test, diverged),
        validation=_score(task.metric, validation, data, data.validation, diverged),
        also={
            name: _score(metric, outputs, data, data.test, diverged)
            for name, metric in task.also.items()
        },
        diverged=diverged,
        parameters=sum(p.numel() for p in model.parameters()),
        epoch_s=sorted(seconds)[len(seconds) // 2] if seconds else math.nan,
        inference_us=inference * 1e6,
        saved_mib=saved_mib,
        curve=curve,
        layers=layers,
    )


def _optimizer(task: Task, model: nn.Module, learning_rate: float) -> torch.optim.Optimizer:
    if task.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), lr=learning_rate)
    if task.optimizer == "sgd":
        return torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=0.9)
    raise ValueError(f"optimizer must be 'sgd' or 'adam', got {task.optimizer!r}")


def _step(task: Task, model: nn.Module, optimizer: torch.optim.Optimizer, batch: Pair) -> float:
    optimizer.zero_grad()
    value = loss(model(batch.x), batch.y)
    value.backward()
    if task.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), task.clip)
    optimizer.step()
    return value.item()


def _seen(task: Task, model: nn.Module, data: Data, observer: Observer) -> dict[str, float]:
    outputs = _outputs(model, data.validation.x)
    finite = bool(outputs.isfinite().all())  # a metric need not take anything else
    validation = task.metric(outputs, data.validation.y) if finite else math.nan
    return {"validation": validation} | observer.observe()


def _outputs(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    with torch.no_grad():
        return torch.cat([model(part) for part in x.split(_CHUNK)])


def _score(metric: Metric, outputs: Tensor, data: Data, pair: Pair, diverged: bool) -> float:
    """The metric; where there is no finite output, that of the best constant answer."""
    if diverged:
        outputs = _constant(data.train.y, outputs, len(pair.y))
    return _finite(metric, outputs, pair.y)


def _finite(metric: Metric, outputs: Tensor, targets: Tensor) -> float:
    value = metric(outputs, targets)
    if not math.isfinite(value):
        raise ValueError(
            f"metric {metric.name!r} is {value} for finite outputs and {len(targets)} targets; it "
            f"must be a finite number, also where a set holds one class only"
        )
    return value


def _constant(targets: Tensor, like: Tensor, n: int) -> Tensor:
    if targets.is_floating_point():
        same = targets.mean(0, keepdim=True).expand(n, *targets.shape[1:])
        return same.reshape(n, *like.shape[1:])  # as a metric for this model's outputs expects
    row = like.new_zeros(like.shape[1:])
    row[targets.flatten().mode().values] = 1.0
    return row.expand(n, *like.shape[1:])
