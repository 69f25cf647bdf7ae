"""KAF's reference in float64, and the units in which its errors are stated."""

import torch

from triton_acts.dictionary._gridding import Grid


def grid(num_nodes, curvature, lo=-3.0, hi=3.0):
    """A grid whose gamma delta^2 is `curvature`."""
    delta = (hi - lo) / (num_nodes - 1)
    return Grid(lo, hi, num_nodes, curvature / delta**2)


def positions(dictionary):
    """The nodes in float64."""
    if isinstance(dictionary, Grid):
        nodes = [dictionary.node(i) for i in range(dictionary.num_nodes)]
        return torch.tensor(nodes, dtype=torch.float64)
    return dictionary.positions.double().cpu()


def kappas(x, dictionary):
    """(exp(-gamma (x - d)^2), x - d), 0 and finite at +-inf  # [*x, D]."""
    away = x.double().cpu().clamp(-1e6, 1e6).unsqueeze(-1) - positions(dictionary)
    return torch.exp(-dictionary.gamma * away**2), away


class Reference:
    """y, dx and dalpha in float64 for x [N, C], alpha [C, D] and g [N, C], with their units.

    Attributes:
        y, dx, dalpha: the values.
        own: sum_i |alpha_i| kappa_i at x  # [N, C].
        largest: its largest value over s, by channel  # [C].
    """

    def __init__(self, x, alpha, g, dictionary):
        kappa, away = kappas(x, dictionary)
        weights, g = alpha.double().cpu(), g.double().cpu()
        self.gamma = dictionary.gamma
        self.y = (kappa * weights).sum(-1)
        self.dx = g * (kappa * weights * (-2 * self.gamma) * away).sum(-1)
        self.dalpha = (g.unsqueeze(-1) * kappa).sum(0)
        self.own = (kappa * weights.abs()).sum(-1)
        nodes = positions(dictionary)
        lo, hi = nodes.min().item(), nodes.max().item()
        self.inside = ((x >= lo) & (x <= hi)).cpu()
        everywhere, _ = kappas(torch.linspace(lo, hi, 4001, dtype=torch.float64), dictionary)
        self.largest = (everywhere @ weights.abs().T).max(0).values
        self._kappa, self._g = kappa, g.abs()

    def error_y(self, y):
        """(largest error within the grid by own weight, anywhere by the largest weight)."""
        error = (y.double().cpu() - self.y).abs()
        inside = error[self.inside] / self.own[self.inside]
        return inside.max().item(), (error / self.largest).max().item()

    def error_dx(self, dx):
        """As `error_y`, in units of 2 sqrt(gamma) |g| times those."""
        unit = 2 * self.gamma**0.5 * self._g
        error = (dx.double().cpu() - self.dx).abs()
        error, unit = error[self._g > 0], unit[self._g > 0]
        inside, own = self.inside[self._g > 0], self.own[self._g > 0]
        largest = self.largest.expand_as(self._g)[self._g > 0]
        near = (error / unit / own)[inside]
        return near.max().item(), (error / unit / largest).max().item()

    def excess_dalpha(self, dalpha):
        """Error over `1e-5 sum |g| kappa + 1e-7 sum |g|`: at most 1 is allowed."""
        allowed = 1e-5 * (self._g.unsqueeze(-1) * self._kappa).sum(0)
        allowed = allowed + 1e-7 * self._g.sum(0).unsqueeze(-1)
        return ((dalpha.double().cpu() - self.dalpha).abs() / allowed).max().item()

    def error_dalpha(self, dalpha):
        """Largest error by `sum |g| kappa + 0.01 sum |g|`, which is what the bound allows."""
        return 1e-5 * self.excess_dalpha(dalpha)
