"""Which kernel functions evaluate a dictionary, and the constants that they take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from . import _groups
from ._composite import Dictionary, Nodes, listed
from ._gridding import LN2, SHARED, SINGLE, Grid, float32, gridding

__all__ = ["Basis", "basis"]

_FEWEST = 4  # nodes an anchor has to serve: it costs three exponentials


@dataclass(frozen=True, eq=False)
class Basis:
    """How kernels evaluate a dictionary, in groups of `size` nodes.

    Attributes:
        value: device function, the sum over a group.
        gradients: device function, dx and moments of a group.
        left: nodes left of an anchor; 0 for the direct functions.
        size: nodes of a group; those of the last may lie beyond the dictionary.
        groups: how many.
        points: (position, shift) pairs a group.
        coefs: (rate, bend, limit, gain).
        folds: what weights and moments are multiplied by, or None for 1.
        locate: makes the points on a device  # [groups, 2 * points], float32.
    """

    value: Any
    gradients: Any
    left: int
    size: int
    groups: int
    points: int
    coefs: tuple[float, float, float, float]
    folds: tuple[float, ...] | None
    locate: Callable[[torch.device], Tensor]

    @property
    def num_nodes(self) -> int:
        """Nodes of all groups."""
        return self.groups * self.size

    @property
    def free(self) -> bool:
        """True for the direct functions."""
        return self.points > 1

    @property
    def own(self) -> int:
        """Groups whose moments one pass collects."""
        return min(self.groups, max(1, SINGLE // self.size))

    def kept(self, backward: bool) -> bool:
        """True if the weights of all groups stay in registers."""
        return self.groups <= (self.own if backward else 1)


def basis(dictionary: Dictionary) -> Basis:
    """Factored where an anchor serves four nodes or more, else direct.

    Triton 3.7.1, sm_90, bfloat16, a lane a channel, instructions an element: 34 for 20 factored
    nodes, 43 for 16 of one of several anchors, 105 for 20 direct ones, with as many special
    functions as nodes instead of three an anchor (`python -m triton_acts.tuning inspect --arch
    sm_90 --op kaf`: d20, d64, nodes20).
    """
    if isinstance(dictionary, Nodes):
        nodes = dictionary.positions
        return _direct(dictionary.gamma, nodes.shape[0], lambda _: nodes)
    return _grid(dictionary)


@lru_cache(maxsize=1024)
def _grid(grid: Grid) -> Basis:
    g = gridding(grid)
    if g.size < _FEWEST:
        return _direct(grid.gamma, grid.num_nodes, lambda device: listed(grid, device).positions)
    rows = [(hi, -lo * g.rate) for hi, lo in g.anchors]
    return Basis(
        value=_groups.factored_value,
        gradients=_groups.factored_gradients,
        left=g.left,
        size=g.size,
        groups=len(g.anchors),
        points=1,
        coefs=(g.rate, g.bend, g.limit, g.gain),
        folds=g.folds * len(g.anchors),
        locate=lambda device: torch.tensor(rows, dtype=torch.float32, device=device),
    )


def _direct(gamma: float, num_nodes: int, positions: Callable[[torch.device], Tensor]) -> Basis:
    """`kappa = 2^(-tau^2)`, `tau = rate (x - d)`, cut at |tau| = 16 where kappa is 0."""
    groups = -(-num_nodes // SHARED)
    size = -(-num_nodes // groups)
    rate = float32(math.sqrt(gamma / LN2))

    def locate(device: torch.device) -> Tensor:
        exact = positions(device).detach().double()
        rounded = exact.float()
        points = torch.stack((rounded, ((rounded - exact) * rate).float()), 1)
        beyond = groups * size - num_nodes
        return torch.cat((points, points[:1].expand(beyond, 2))) if beyond else points

    return Basis(
        value=_groups.direct_value,
        gradients=_groups.direct_gradients,
        left=0,
        size=size,
        groups=groups,
        points=size,
        coefs=(rate, 1.0, 16.0, -2 * LN2 * rate),
        folds=None,
        locate=locate,
    )
