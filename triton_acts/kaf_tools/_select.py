"""Dictionaries by validation: the smallest that can say what the present ones say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from triton_acts import _check
from triton_acts.dictionary import KAF, Grid

from ._observe import Samples, kaf_layers, sample
from ._shapes import errors_at, fit_seen, parts, weights

__all__ = ["Choice", "select_nodes"]

_QUANTILES = (0.001, 0.999)
_MARGINS = (0.0, 0.1, 0.25)  # of the data's range, at both ends


@dataclass(frozen=True)
class Choice:
    """The dictionary that `select_nodes` chose for a layer.

    Attributes:
        num_nodes: D.
        grid: first and last node.
        gamma: bandwidth.
        error: rms change of the output on held-out pre-activations by its rms; NaN if none came.
        kaf: a new layer with this dictionary, fitted to the functions of the old one.
    """

    num_nodes: int
    grid: tuple[float, float]
    gamma: float
    error: float
    kaf: KAF


def select_nodes(
    model: torch.nn.Module,
    batch: Any,
    *,
    tol: float = 0.01,
    num_nodes: Sequence[int] = (4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64),
    curvatures: Sequence[float] = (1 / 8, 1 / 6, 1 / 3, 2 / 3),
) -> dict[str, Choice]:
    """Chooses number of nodes, range and bandwidth for each KAF layer, and changes nothing.

    The question is how small a dictionary can be and still hold the functions that the model has
    now; whether it would learn better ones with more nodes is for a study with targets to say. Half
    of the pre-activations of the batch, drawn at random, fit each candidate; its error is that on
    the other half. Candidates have fewer nodes than the layer, span its present range or that of
    0.1 to 99.9 % of the data, plus 0, 10 or 25 % at both ends, and gamma = curvature / delta^2. The
    fewest nodes within tol win, then the smallest error; if none are within it, the present
    dictionary stays.

    To apply a choice: `model.set_submodule(name, choice.kaf)`.

    Args:
        model: a module with KAF layers, or one such layer.
        batch: a tensor, a tuple or list of positional arguments, or a mapping of named ones.
        tol: largest rms error, by the rms of the layer's output, >= 0.
        num_nodes: numbers to try, >= 2 each.
        curvatures: values of gamma delta^2 to try, > 0 each.

    Returns:
        Choices by qualified name. A layer that nothing reached, or that always gets the same
        number, keeps its dictionary.

    Raises:
        TypeError: model is no module, or a number is none.
        ValueError: no KAF layer; a number out of its range; NaN or infinities reach a layer.
    """
    tol = _check.real("select_nodes", "tol", tol)
    if tol < 0:
        raise ValueError(f"select_nodes: tol must be at least 0, got {tol}")
    sizes = sorted({_check.integer("select_nodes", "num_nodes", n) for n in num_nodes})
    bends = [_check.real("select_nodes", "curvatures", c) for c in curvatures]
    if min(sizes, default=2) < 2:
        raise ValueError(f"select_nodes: num_nodes must be at least 2 each, got {sizes}")
    if min(bends, default=1) <= 0:
        raise ValueError(f"select_nodes: curvatures must be positive, got {bends}")
    layers = kaf_layers("select_nodes", model)
    samples = sample("select_nodes", model, batch, limit=1 << 13)
    return {name: _chosen(kaf, samples[name], tol, sizes, bends) for name, kaf in layers.items()}


def _chosen(
    kaf: KAF, samples: Samples, tol: float, sizes: Sequence[int], curvatures: Sequence[float]
) -> Choice:
    seen, held = _halves(samples)
    ranges = list(_ranges(kaf.dictionary, seen))
    for size in sizes:
        if size >= kaf.dictionary.num_nodes:
            break
        tried = [
            _candidate(kaf, Grid(*ends, size, _gamma(ends, size, c)), seen, held)
            for ends in ranges
            for c in curvatures
        ]
        best = min(tried, key=lambda choice: choice.error, default=None)
        if best is not None and best.error <= tol:
            return best
    same = kaf.dictionary
    twin = kaf.with_dictionary(kaf.alpha, (same.lo, same.hi), same.gamma)
    return _choice(twin, 0.0 if len(held.x) else math.nan)


def _halves(samples: Samples) -> tuple[Samples, Samples]:
    order = torch.randperm(
        len(samples.x), generator=torch.Generator("cpu").manual_seed(0), device="cpu"
    )
    middle = len(order) // 2
    one, two = (Samples(samples.x[i], samples.channel[i]) for i in (order[:middle], order[middle:]))
    return one, two


def _ranges(d: Grid, seen: Samples) -> Iterator[tuple[float, float]]:
    """Ranges to try; none without data, or with data that have no range."""
    if not len(seen.x):
        return
    ends = torch.tensor(_QUANTILES, dtype=torch.float64, device="cpu")
    lo, hi = torch.quantile(seen.x, ends).tolist()
    if not hi - lo > 1e-6 * max(abs(lo), abs(hi)):
        return
    yield d.lo, d.hi
    for margin in _MARGINS:
        yield lo - margin * (hi - lo), hi + margin * (hi - lo)


def _gamma(ends: tuple[float, float], size: int, curvature: float) -> float:
    return curvature * ((size - 1) / (ends[1] - ends[0])) ** 2


def _candidate(kaf: KAF, grid: Grid, seen: Samples, held: Samples) -> Choice:
    """Fitted where the data are, tested on those held out."""
    lo, hi = seen.x.min().item(), seen.x.max().item()
    other = fit_seen(kaf, grid, seen.x, lo, hi)
    away = errors_at(kaf, other, *held).square().mean().sqrt()
    size = (parts(held.x, kaf.dictionary) * weights(kaf)[held.channel]).sum(1)
    size = size.square().mean().sqrt()
    return _choice(other, (away / size).item() if size else away.item())


def _choice(kaf: KAF, error: float) -> Choice:
    d = kaf.dictionary
    return Choice(d.num_nodes, (d.lo, d.hi), d.gamma, error, kaf)
