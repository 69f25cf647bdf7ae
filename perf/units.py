"""What errors are counted in: `TOLERANCE` units are allowed before a result is called wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["TOLERANCE", "Documented", "Rounding", "Sums", "Units"]

TOLERANCE = 8.0  # the worst eager spelling of a pointwise activation needs 3


@dataclass(frozen=True)
class Sums:
    """The gradient of a weight, in float64: sums over the elements of a channel.

    Attributes:
        terms: how many elements.
        gradient: of g dy/dw  # [C, *row].
        magnitude: of |g dy/dw|  # [C, *row].
        incoming: of |g|  # [C].
    """

    terms: int
    gradient: Tensor
    magnitude: Tensor
    incoming: Tensor


class Units(Protocol):
    """The units of an op's errors, eps being that of x's dtype."""

    def scale(self, *weights: Tensor) -> Tensor:
        """The magnitude by channel that errors are relative to, or one for all  # [C] or [1]."""

    def value(self, right: Tensor, scale: Tensor, eps: float, /) -> Tensor:
        """Of y, whose values in float64 are `right`; scale broadcasts along it."""

    def slope(self, right: Tensor, g: Tensor, scale: Tensor, eps: float, /) -> Tensor:
        """Of dx, likewise, for the incoming gradient g."""

    def weight(self, sums: Sums, eps: float, /) -> Tensor:
        """Of the weight's gradient."""


class Rounding:
    """eps(dtype) x max(1, |value|).

    A weight's gradient is a sum; its unit is eps(dtype) + sqrt(n) eps(float32), times the magnitude
    of the sum of its n terms, which do not cancel.
    """

    def scale(self, *_weights: Tensor) -> Tensor:
        """No op of this kind has a scale."""
        return torch.ones(1, dtype=torch.float64)

    def value(self, right: Tensor, _scale: Tensor, eps: float, /) -> Tensor:
        """See `Units`."""
        return right.abs().clamp_(min=1).mul_(eps)

    def slope(self, right: Tensor, _g: Tensor, scale: Tensor, eps: float, /) -> Tensor:
        """See `Units`."""
        return self.value(right, scale, eps)

    def weight(self, sums: Sums, eps: float) -> Tensor:
        """See `Units`."""
        share = eps + math.sqrt(sums.terms) * torch.finfo(torch.float32).eps
        return share * sums.gradient.abs()


@dataclass(frozen=True)
class Documented:
    """An eighth of what KAF's documentation allows; for 16-bit types eps |value| where larger.

    1e-5 of a channel's largest `sum_i |alpha_i| kappa_i` for y; that times 2 sqrt(gamma) |g| for
    dx; 1e-5 of `sum_n |g| kappa` and 1e-7 of `sum_n |g|` for alpha's gradient.

    Attributes:
        nodes: of the dictionary, in float64  # [D].
        gamma: bandwidth of its Gaussians.
    """

    nodes: Tensor
    gamma: float

    def scale(self, *weights: Tensor) -> Tensor:
        """The largest sum by channel; 20 points a node find it to 1e-4."""
        (alpha,) = weights  # [C, D]
        points = torch.linspace(
            float(self.nodes.min()),
            float(self.nodes.max()),
            20 * len(self.nodes),
            dtype=alpha.dtype,
            device=alpha.device,
        )
        kappa = torch.exp(-self.gamma * (points.unsqueeze(-1) - self.nodes.to(alpha)) ** 2)
        return (kappa @ alpha.abs().T).amax(0)

    def value(self, right: Tensor, scale: Tensor, eps: float) -> Tensor:
        """See `Units`."""
        return torch.maximum(right.abs() * eps, scale * (1e-5 / TOLERANCE))

    def slope(self, right: Tensor, g: Tensor, scale: Tensor, eps: float) -> Tensor:
        """See `Units`."""
        steepest = scale * (2 * math.sqrt(self.gamma)) * g.double().abs()
        unit = self.value(right, steepest, eps)
        return unit.clamp_(min=torch.finfo(torch.float64).tiny)  # 0 / 0 where g is 0

    def weight(self, sums: Sums, _eps: float, /) -> Tensor:
        """See `Units`."""
        allowed = 1e-5 * sums.magnitude + 1e-7 * sums.incoming.unsqueeze(-1)
        return allowed / TOLERANCE
