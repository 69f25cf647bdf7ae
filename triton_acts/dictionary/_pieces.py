"""KAF on a CPU in eager mode: pieces that stay in cache, every operator in place.

A dense tensor is seen as [outer, channels, inner] and cut into pieces. The two polynomials lie side
by side in one buffer [2, ...], the one in t with the one in r, so that an operator serves both.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ._composite import Dictionary, Nodes, listed
from ._gridding import LN2, Grid, gridding

__all__ = ["backward", "forward"]

_PIECE = 1 << 18  # elements, 1 MiB a buffer of float32: smaller ones pay by the operator
_DEVICE_PIECE = 1 << 24  # elsewhere (float64 on a GPU) only memory bounds them


def forward(dictionary: Dictionary, alpha: Tensor, x: Tensor, y: Tensor) -> None:
    """Writes KAF of x into y.

    Args:
        dictionary: grid or nodes.
        alpha: [channels, D].
        x: [outer, channels, inner], contiguous.
        y: like x.
    """
    work = _work(x, alpha, dictionary)
    for piece in _pieces(x):
        work.value(x[piece], y[piece], piece[1])


def backward(
    dictionary: Dictionary,
    needs: tuple[bool, bool],
    alpha: Tensor,
    x: Tensor,
    g: Tensor,
    dx: Tensor,
) -> Tensor:
    """Writes g * dy/dx into dx, and returns alpha's gradient, each if `needs` says so."""
    work = _work(x, alpha, dictionary)
    for piece in _pieces(x):
        work.gradients(x[piece], g[piece], dx[piece], piece[1], needs)
    return work.dalpha()


def _pieces(x: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    """Parts of limited size, whole rows and channels where they fit."""
    outer, channels, inner = x.shape
    limit = _PIECE if x.is_cpu else _DEVICE_PIECE
    columns = max(1, min(inner, limit))
    width = max(1, min(channels, limit // columns))
    rows = max(1, limit // (columns * width))
    for o in range(0, outer, rows):
        for c in range(0, channels, width):
            for i in range(0, inner, columns):
                yield slice(o, o + rows), slice(c, c + width), slice(i, i + columns)


def _work(x: Tensor, alpha: Tensor, dictionary: Dictionary) -> _Factored | _Direct:
    weights = alpha.detach().to(torch.promote_types(x.dtype, torch.float32))
    if isinstance(dictionary, Nodes):
        return _Direct(weights, dictionary)
    if gridding(dictionary).size == 1:
        return _Direct(weights, listed(dictionary, x.device))
    return _Factored(weights, dictionary)


class _Buffers:
    """Scratch tensors by name, kept from piece to piece."""

    def __init__(self, like: Tensor) -> None:
        self.dtype, self._device = like.dtype, like.device
        self._kept: dict[str, Tensor] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        found = self._kept.get(name)
        if found is None or found.shape != shape:
            found = self._kept[name] = torch.empty(shape, dtype=self.dtype, device=self._device)
        return found


class _Factored:
    """The polynomials of `_gridding` on one piece after another."""

    def __init__(self, alpha: Tensor, grid: Grid) -> None:
        self._grid = g = gridding(grid, alpha.dtype is torch.float32)
        groups, right = len(g.anchors), g.size - g.left
        self._nodes, channels = alpha.shape[1], alpha.shape[0]
        self._folds = torch.tensor(g.folds, dtype=alpha.dtype, device=alpha.device)
        betas = torch.nn.functional.pad(alpha, (0, groups * g.size - self._nodes))
        betas = betas.view(-1, groups, g.size) * self._folds
        # [groups, degree + 1, 2, 1, channels, 1], the constant term first; r's polynomial is that
        # of the left nodes divided by r, and one shorter where the sizes differ
        steps = max(right, g.left)
        polynomials = alpha.new_zeros(groups, steps, 2, 1, channels, 1)
        polynomials[:, :right, 0, 0, :, 0] = betas[:, :, g.left :].permute(1, 2, 0)
        polynomials[:, : g.left, 1, 0, :, 0] = betas[:, :, : g.left].flip(2).permute(1, 2, 0)
        self._polynomials = [list(group.unbind(0)) for group in polynomials.unbind(0)]
        self._moments = alpha.new_zeros(groups, steps, 2, channels)
        self._buffer = _Buffers(alpha)

    def value(self, x: Tensor, y: Tensor, channels: slice) -> None:
        total = y if y.dtype is self._buffer.dtype else self._buffer("total", x.shape)
        for group, anchor in enumerate(self._grid.anchors):
            e, powers = self._basis(x, anchor)
            rows = [row[:, :, channels] for row in self._polynomials[group]]
            p = self._first(rows, powers)
            for row in reversed(rows[:-2]):
                torch.addcmul(row, p, powers, out=p)
            both = p[0].addcmul_(p[1], powers[1])
            if group:
                total.addcmul_(e, both)
            else:
                torch.mul(e, both, out=total)
        if total is not y:
            y.copy_(total)

    def gradients(
        self, x: Tensor, g: Tensor, dx: Tensor, channels: slice, needs: tuple[bool, bool]
    ) -> None:
        total = dx if dx.dtype is self._buffer.dtype else self._buffer("total", x.shape)
        for group, anchor in enumerate(self._grid.anchors):
            e, powers = self._basis(x, anchor)
            e.mul_(g)
            if needs[0]:
                rows = [row[:, :, channels] for row in self._polynomials[group]]
                slope = self._slope(powers, rows)
                if group:
                    total.addcmul_(e, slope)
                else:
                    torch.mul(e, slope, out=total)
            if needs[1]:
                self._add_moments(e, powers, self._moments[group, :, :, channels])
        if needs[0]:
            torch.mul(total, self._grid.gain, out=total)
            if total is not dx:
                dx.copy_(total)

    def dalpha(self) -> Tensor:
        """The gradient of alpha from the moments of all pieces."""
        moments = self._moments
        right = moments[:, : self._grid.size - self._grid.left, 0]  # [groups, nodes, channels]
        falling = moments[:, : self._grid.left, 1].flip(1)
        both = torch.cat((falling, right), 1).permute(2, 0, 1) * self._folds
        return both.reshape(moments.shape[-1], -1)[:, : self._nodes].contiguous()

    def _basis(self, x: Tensor, anchor: tuple[float, float]) -> tuple[Tensor, Tensor]:
        """(e, [t, r]) of a piece; tau stays in its buffer, cut at the limit."""
        g, (hi, lo) = self._grid, anchor
        tau = self._buffer("tau", x.shape)
        if x.dtype is tau.dtype:
            torch.sub(x, hi, out=tau)
        else:
            tau.copy_(x).sub_(hi)
        tau.mul_(g.rate)
        if lo:
            tau.sub_(lo * g.rate)
        e = torch.mul(tau, tau, out=self._buffer("e", x.shape))
        e.mul_(-g.bend).exp2_()
        powers = self._buffer("powers", (2, *x.shape))
        torch.exp2(tau.clamp_(-g.limit, g.limit), out=powers[0])
        torch.reciprocal(powers[0], out=powers[1])
        return e, powers

    def _first(self, rows: list[Tensor], powers: Tensor) -> Tensor:
        """Horner's rule up to the second coefficient from above."""
        p = self._buffer("p", powers.shape)
        if len(rows) == 1:
            return p.copy_(rows[0])
        return torch.addcmul(rows[-2], rows[-1], powers, out=p)

    def _slope(self, powers: Tensor, rows: list[Tensor]) -> Tensor:
        """The derivative by tau over e ln 2: polynomials and their derivatives by Horner's rule."""
        p, q = self._first(rows, powers), self._buffer("q", powers.shape)
        slope = rows[-1]  # of what `_first` made
        if len(rows) == 1:
            q.zero_()
        elif len(rows) == 2:
            q.copy_(slope)
        for row in reversed(rows[:-2]):
            slope = torch.addcmul(p, slope, powers, out=q)
            torch.addcmul(row, p, powers, out=p)
        q.mul_(powers)  # t p', r q'
        q[1].add_(p[1]).mul_(powers[1])
        both = p[0].addcmul_(p[1], powers[1])
        tau = self._buffer("tau", p.shape[1:])
        return q[0].sub_(q[1]).addcmul_(tau, both, value=-2 * self._grid.bend)

    def _add_moments(self, weighted: Tensor, powers: Tensor, moments: Tensor) -> None:
        """Adds the sums of g e t^j and g e r^k over a piece."""
        p = self._buffer("p", powers.shape)
        p[0].copy_(weighted)
        torch.mul(weighted, powers[1], out=p[1])
        for step, moment in enumerate(moments.unbind(0)):
            if step:
                p.mul_(powers)
            moment += p.sum((1, 3))


class _Direct:
    """One Gaussian after another on one piece after another."""

    def __init__(self, alpha: Tensor, nodes: Nodes) -> None:
        self._rows = alpha.t().contiguous()[:, :, None]  # [D, channels, 1]
        exact = nodes.positions.double()
        rounded = exact.to(alpha.dtype)
        self._positions = torch.stack((rounded, exact - rounded), 1).tolist()
        self._bend, self._gain = -nodes.gamma / LN2, -2 * nodes.gamma
        self._vanished = (1500 / nodes.gamma) ** 0.5
        self._sums = alpha.new_zeros(alpha.shape)
        self._buffer = _Buffers(alpha)

    def value(self, x: Tensor, y: Tensor, channels: slice) -> None:
        total = self._buffer("total", x.shape).zero_()
        for row, position in zip(self._rows, self._positions, strict=True):
            _, kappa = self._kappa(x, position)
            total.addcmul_(kappa, row[channels])
        y.copy_(total)

    def gradients(
        self, x: Tensor, g: Tensor, dx: Tensor, channels: slice, needs: tuple[bool, bool]
    ) -> None:
        total = self._buffer("total", x.shape).zero_()
        for i, (row, position) in enumerate(zip(self._rows, self._positions, strict=True)):
            distance, kappa = self._kappa(x, position)
            kappa.mul_(g)
            if needs[1]:
                self._sums[channels, i] += kappa.sum((0, 2))
            if needs[0]:
                total.addcmul_(kappa.mul_(row[channels]), distance)
        if needs[0]:
            dx.copy_(total.mul_(self._gain))

    def dalpha(self) -> Tensor:
        """The gradient of alpha from the sums of all pieces."""
        return self._sums

    def _kappa(self, x: Tensor, position: list[float]) -> tuple[Tensor, Tensor]:
        """The distance to a node, cut where the Gaussian has vanished, and the Gaussian."""
        distance = self._buffer("distance", x.shape)
        distance.copy_(x).sub_(position[0]).sub_(position[1]).clamp_(
            -self._vanished, self._vanished
        )
        kappa = torch.mul(distance, distance, out=self._buffer("kappa", x.shape))
        return distance, kappa.mul_(self._bend).exp2_()
