"""Fast Gaussian gridding: D Gaussians on a uniform grid for three exponentials and D multiply-adds.

Greengard, Lee: Accelerating the Nonuniform Fast Fourier Transform, SIAM Review 46(3), 2004. With an
anchor m among the nodes, `tau = rate (s - m)` and node m + j delta:

    exp(-gamma (s - m - j delta)^2) = e * t^j * w_j
    e = 2^(-bend tau^2),  t = 2^tau,  w_j = 2^(-j^2 / (4 bend))

`rate = 2 gamma delta / ln 2` and `bend = ln 2 / (4 gamma delta^2)`. Folded into the weights,
`beta_j = alpha_j w_j` leaves two polynomials, in t for j >= 0 and in r = 1/t for j < 0. Two-sided
on purpose: one shift to powers >= 0 overflows beyond the range of the dictionary.

Rounding. e and t come from the same rounded tau, so that its error is a displacement of s, and w_j
from the rounded bend; what is left are the roundings of bend tau^2 and of the polynomials. Beyond
|tau| = limit, where e has vanished, t and r stand still: nothing overflows, and +-inf gives 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["Grid", "Gridding", "cut", "float32", "gridding"]

LN2 = math.log(2)
SINGLE = 40  # nodes that one anchor serves at most: as many moments fit a thread's registers
SHARED = 20  # nodes that one of several anchors serves at most: two of them fit


def float32(value: float) -> float:
    """A number rounded to 24 bits, as float32 does: Veltkamp's splitting, which Dynamo can fold."""
    scaled = value * (2.0**29 + 1)
    return scaled - (scaled - value)


@dataclass(frozen=True)
class Grid:
    """A uniform dictionary of Gaussians.

    Attributes:
        lo: first node.
        hi: last node.
        num_nodes: D >= 2.
        gamma: bandwidth of `exp(-gamma (s - d)^2)`.
    """

    lo: float
    hi: float
    num_nodes: int
    gamma: float

    @property
    def delta(self) -> float:
        """The distance of two nodes."""
        return (self.hi - self.lo) / (self.num_nodes - 1)

    def node(self, index: int) -> float:
        """Node `index`; beyond num_nodes - 1 the grid goes on."""
        return self.lo + index * (self.hi - self.lo) / (self.num_nodes - 1)


@dataclass(frozen=True)
class Gridding:
    """Constants of the factored form.

    Nodes are served in groups of equal size, each with its own anchor, its node `left`. The last
    group may have nodes beyond the dictionary; their weights are zero.

    Attributes:
        left: nodes on the left of an anchor.
        size: nodes of a group.
        anchors: each as (hi, lo): hi is rounded to the arithmetic's precision and lo the rest.
        rate: tau by distance.
        bend: -log2 of e by tau^2.
        limit: |tau| at which t stands still.
        folds: w_j for the nodes of a group.
    """

    left: int
    size: int
    anchors: tuple[tuple[float, float], ...]
    rate: float
    bend: float
    limit: float
    folds: tuple[float, ...]

    @property
    def gain(self) -> float:
        """What turns the derivative by tau into the one by s, and 2^tau into e^tau."""
        return self.rate * LN2


def cut(grid: Grid, single: bool = True) -> Gridding:
    """Cuts a grid into groups; `gridding` is the same, and remembers (which Dynamo dislikes).

    Args:
        grid: the dictionary.
        single: constants for float32 arithmetic, else for float64.
    """
    ln2 = math.log(2)  # a global would become an input of a compiled graph
    nodes = grid.num_nodes
    stretch = math.sqrt(grid.gamma) * grid.delta
    # |j| stretch <= 4.62 for the node farthest from an anchor: beyond it, the powers of t would
    # have to stop growing before e has vanished, at (s - m) sqrt(gamma) = 9.4 (27.4 in float64)
    half = int(4.62 / stretch)
    limit = min(9.4 * 2 * stretch / ln2, 125.0) if single else min(27.4 * 2 * stretch / ln2, 1000.0)
    size = min(nodes, 2 * half + 1)
    if nodes > min(size, SINGLE):
        size = min(size, SHARED)
    groups = -(-nodes // size)
    size = -(-nodes // groups)
    left = size // 2
    rounded = float32 if single else float
    bend = rounded(ln2 / (4 * stretch * stretch))
    anchors = []
    for group in range(groups):
        anchor = grid.node(group * size + left)
        anchors.append((rounded(anchor), anchor - rounded(anchor)))
    return Gridding(
        left=left,
        size=size,
        anchors=tuple(anchors),
        rate=rounded(2 * grid.gamma * grid.delta / ln2),
        bend=bend,
        limit=rounded(limit),
        folds=tuple(2.0 ** (-((j - left) ** 2) / (4 * bend)) for j in range(size)),
    )


gridding = lru_cache(maxsize=1024)(cut)
