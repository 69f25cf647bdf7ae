"""Small models with an activation to choose, and the training step of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import triton_acts
from perf import SEED

__all__ = ["ACTIVATIONS", "CLASSES", "Published", "Step", "Training", "steps"]

CLASSES = 10
SIDE = 32  # of an image
RATE = 0.003  # KAF's loss overshoots within five steps at 0.01


@dataclass(frozen=True)
class Step:
    """A training step to measure with every activation.

    Attributes:
        model: "cnn" or "mlp".
        mode: "eager" or "compiled", which is torch.compile of the model; loss and optimizer stay
            eager.
        batch: images, or rows of the MLP.
        width: channels of the CNN's first block, or features of the MLP.
        dtype: float32, or the dtype of autocast; weights are float32 in any case.
        memory: whether the step's peak of memory is measured as well.
        left_out: why it is not measured at all, or "".
    """

    model: str
    mode: str
    batch: int
    width: int
    dtype: torch.dtype = torch.float32
    memory: bool = False
    left_out: str = ""

    @property
    def variant(self) -> str:
        """Its name in the records: "cnn/eager"."""
        return f"{self.model}/{self.mode}"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Of the input  # [N, 3, H, W] or [N, C]."""
        entry = (3, SIDE, SIDE) if self.model == "cnn" else (self.width,)
        return self.batch, *entry


def steps(kind: str, quick: bool) -> list[Step]:
    """The training steps for a "cpu" or a "gpu", the most telling first.

    On a CPU memory is measured in eager mode alone.

    Raises:
        ValueError: another kind.
    """
    if kind not in ("cpu", "gpu"):
        raise ValueError(f"steps: kind must be 'cpu' or 'gpu', got {kind!r}")
    if quick:
        return [Step("mlp", "eager", 256, 256)]
    if kind == "cpu":
        slow = "on a CPU the MLP alone is compiled, which takes long enough"
        return [
            Step("cnn", "eager", 32, 16, memory=True),
            Step("mlp", "eager", 512, 512, memory=True),
            Step("mlp", "compiled", 512, 512),
            Step("cnn", "compiled", 32, 16, left_out=slow),
        ]
    return [
        Step(model, mode, batch, width, torch.bfloat16, memory=True)
        for model, batch, width in (("cnn", 512, 64), ("mlp", 16384, 1024))
        for mode in ("eager", "compiled")
    ]


class Published(nn.Module):
    """KAF as its authors' code computes it: D times x, several times over.

    Source: github.com/ispamm/kernel-activation-functions, the Gaussian kernel.

    Args:
        kaf: the layer whose dictionary and initial weights it takes.
    """

    nodes: Tensor
    gamma: Tensor

    def __init__(self, kaf: triton_acts.KAF) -> None:
        super().__init__()
        self.alpha = nn.Parameter(kaf.alpha.detach().clone())
        lo, hi = kaf.grid.tolist()
        self.register_buffer("nodes", torch.linspace(lo, hi, kaf.alpha.shape[1]))
        self.register_buffer("gamma", kaf.gamma.clone())

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation to x, with the channels in dimension 1."""
        alpha = self.alpha.view(-1, *(1,) * (x.dim() - 2), self.alpha.shape[1])
        kappa = torch.exp(-((x.unsqueeze(-1) - self.nodes) ** 2) * self.gamma)  # [*x, D]
        return (kappa * alpha).sum(-1)


ACTIVATIONS: dict[str, Callable[[int], nn.Module]] = {  # of so many channels
    "relu": lambda _channels: nn.ReLU(),
    "penalized_tanh": lambda _channels: triton_acts.PenalizedTanh(),
    "kaf": lambda channels: triton_acts.KAF(channels),
    "kaf as published": lambda channels: Published(triton_acts.KAF(channels)),
}


class Training:
    """A model that learns one batch by heart, step by step; inputs are N(mean of the class, 1).

    Weights, inputs and labels are the same for all activations, and alpha for both forms of KAF.

    Args:
        step: which model, and how large.
        activation: a key of `ACTIVATIONS`.
        device: where.
    """

    def __init__(self, step: Step, activation: str, device: torch.device) -> None:
        layer = ACTIVATIONS[activation]
        count, *entry = step.sizes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            labels = torch.randint(CLASSES, (count,))
            means = torch.randn(CLASSES, entry[0], *(1,) * len(entry[1:])).mul_(0.3)
            x = torch.randn(step.sizes).add_(means[labels])
            model = _cnn(step.width, layer) if step.model == "cnn" else _mlp(step.width, layer)
        self._x, self._labels = x.to(device), labels.to(device)
        self._model = model.to(device)
        self._forward: Callable[[Tensor], Tensor] = self._model
        if step.mode == "compiled":
            self._forward = torch.compile(self._model, fullgraph=True, dynamic=False)
        self._dtype = step.dtype
        self._optimizer = torch.optim.SGD(
            self._model.parameters(), lr=RATE, momentum=0.9, foreach=True
        )

    @property
    def x(self) -> Tensor:
        """The inputs."""
        return self._x

    def __call__(self, count: int | None = None) -> Tensor:
        """One step: forward, cross entropy, backward, SGD with momentum.

        Args:
            count: how many of the inputs to learn, all by default.

        Returns:
            The loss before the step.
        """
        narrow = self._dtype is not torch.float32
        with torch.autocast(self._x.device.type, self._dtype, enabled=narrow):
            y = self._forward(self._x[:count])
            loss = nn.functional.cross_entropy(y, self._labels[:count])
        loss.backward()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return loss.detach()


def _cnn(width: int, activation: Callable[[int], nn.Module]) -> nn.Module:
    """Three blocks of convolution, BatchNorm, activation and pooling.

    Normalised before the activation, as is usual, and as KAF's dictionary wants it.
    """
    layers: list[nn.Module] = []
    inputs = 3
    for outputs in (width, 2 * width, 4 * width):
        layers += [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            activation(outputs),
            nn.MaxPool2d(2),
        ]
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


def _mlp(width: int, activation: Callable[[int], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Linear(width, width),
        activation(width),
        nn.Linear(width, width),
        activation(width),
        nn.Linear(width, CLASSES),
    )
