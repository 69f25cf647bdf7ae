"""Grids from data, while the functions stay."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from triton_acts import _check
from triton_acts.dictionary import KAF

from ._observe import Samples, kaf_layers, sample
from ._shapes import errors_at, fit_seen, kept_bandwidth

__all__ = ["Calibration", "calibrate"]

_NARROWEST = 1e-6  # a range by the largest bound: closer numbers are a constant, rounded


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` did to a layer. Errors and shares are those of the batch's pre-activations.

    Attributes:
        old_range: first and last node before.
        new_range: first and last node now.
        old_gamma: bandwidth before.
        new_gamma: bandwidth now.
        old_coverage: share outside the old range.
        new_coverage: share outside the new range.
        max_error: largest change of the output.
        rms_error: root of the mean square of that change.
    """

    old_range: tuple[float, float]
    new_range: tuple[float, float]
    old_gamma: float
    new_gamma: float
    old_coverage: float
    new_coverage: float
    max_error: float
    rms_error: float


def calibrate(
    model: torch.nn.Module, batch: Any, *, quantile: float = 1e-3, margin: float = 0.1
) -> dict[str, Calibration]:
    """Sets the grid of each KAF layer from data and refits alpha, so that the function stays.

    The new range reaches from the `quantile` of all pre-activations of the layer to their
    `1 - quantile`, and `margin` times that distance further at both ends. gamma delta^2 stays, and
    so does the number of nodes. alpha minimises the squared change over the new range in float64,
    half of the weight equal and half where the batch has its numbers, with a ridge of 1e-10; beyond
    that range the new function fades as Gaussians do. Where an old function has faded beyond its
    grid, the new one is as flat, but can now learn; for a layer with a fitted `init`,
    `reset_parameters()` fits that function to the new range instead.

    The model runs once. Later layers are fitted to what the old model fed them, since the earlier
    functions stay; where an error is large, calibrate again. The parameters remain the same objects
    (an optimizer's momentum is that of the old alpha). A layer that nothing reached, or that always
    gets the same number, stays as it is.

    Args:
        model: a module with KAF layers, or one such layer.
        batch: a tensor, a tuple or list of positional arguments, or a mapping of named ones.
        quantile: share left out at each end, from 0 to less than 0.5.
        margin: >= 0.

    Returns:
        What changed, by qualified name; errors and shares are NaN where nothing came.

    Raises:
        TypeError: model is no module, or a number is none.
        ValueError: no KAF layer; a number out of its range; NaN or infinities reach a layer; two
            layers share alpha. Nothing has changed then.
    """
    quantile = _check.real("calibrate", "quantile", quantile)
    if not 0 <= quantile < 0.5:
        raise ValueError(f"calibrate: quantile must be from 0 to below 0.5, got {quantile}")
    margin = _check.real("calibrate", "margin", margin)
    if margin < 0:
        raise ValueError(f"calibrate: margin must be at least 0, got {margin}")
    layers = kaf_layers("calibrate", model)
    _check_own_weights(layers)
    samples = sample("calibrate", model, batch)
    new = {name: _fitted(kaf, samples[name], quantile, margin) for name, kaf in layers.items()}
    report = {name: _compared(kaf, new[name], samples[name]) for name, kaf in layers.items()}
    for name, kaf in layers.items():
        if new[name] is not kaf:
            kaf.load_state_dict(new[name].state_dict())
    return report


def _check_own_weights(layers: Mapping[str, KAF]) -> None:
    owners: dict[int, str] = {}
    for name, kaf in layers.items():
        other = owners.setdefault(id(kaf.alpha), name)
        if other != name:
            raise ValueError(
                f"calibrate: the layers {other!r} and {name!r} share alpha, so that they cannot "
                f"have a grid each; share the layer, or give each its own alpha"
            )


def _fitted(kaf: KAF, samples: Samples, quantile: float, margin: float) -> KAF:
    """The layer on its new grid, or the layer itself where there is no range."""
    if not len(samples.x):
        return kaf
    ends = torch.tensor((quantile, 1 - quantile), dtype=torch.float64, device="cpu")
    lo, hi = torch.quantile(samples.x, ends).tolist()
    if not hi - lo > _NARROWEST * max(abs(lo), abs(hi)):
        return kaf
    lo, hi = lo - margin * (hi - lo), hi + margin * (hi - lo)
    d = kaf.dictionary
    gamma = kept_bandwidth(d, lo, hi, d.num_nodes)
    new = kaf.with_dictionary(kaf.alpha, (lo, hi), gamma)
    return fit_seen(kaf, new.dictionary, samples.x, lo, hi)


def _compared(old: KAF, new: KAF, samples: Samples) -> Calibration:
    one, two = old.dictionary, new.dictionary
    x = samples.x
    reached = len(x) > 0
    away = errors_at(old, new, x, samples.channel)
    outside = [((x < d.lo) | (x > d.hi)).double().mean().item() for d in (one, two)]
    return Calibration(
        old_range=(one.lo, one.hi),
        new_range=(two.lo, two.hi),
        old_gamma=one.gamma,
        new_gamma=two.gamma,
        old_coverage=outside[0],
        new_coverage=outside[1],
        max_error=away.abs().max().item() if reached else math.nan,
        rms_error=away.square().mean().sqrt().item(),
    )
