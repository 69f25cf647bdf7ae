"""Reports of a model's KAF layers: what misses the grid, and what the functions look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from triton_acts.dictionary import KAF, Grid

from ._observe import kaf_layers, observe
from ._shapes import bends, between, values, weights

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["coverage", "initial_shape", "summary"]


def coverage(model: torch.nn.Module, batch: Any) -> dict[str, float]:
    """The share of pre-activations outside the grid, `x < lo` or `x > hi`, for each KAF layer.

    There the function fades to 0 within about two units, and so do gradients; NaN counts as
    outside. All calls of a layer count, also where it is used in several places. The model runs
    once, in the mode it is in: in eval mode for what a trained model does, in train mode for what
    training does (BatchNorm then takes the batch's statistics).

    Args:
        model: a module with KAF layers, or one such layer.
        batch: a tensor, a tuple or list of positional arguments, or a mapping of named ones.

    Returns:
        Shares from 0 to 1 by qualified name; NaN for a layer that no number reached.

    Raises:
        TypeError: model is no module.
        ValueError: model has no KAF layer.
    """
    outside: dict[str, int] = {}
    total: dict[str, int] = {}

    def see(name: str, kaf: KAF, x: Tensor) -> None:
        d = kaf.dictionary
        s = x.to(torch.promote_types(x.dtype, torch.float32))  # which can hold the bounds
        missed = ~((s >= d.lo) & (s <= d.hi))  # NaN, too
        outside[name] = outside.get(name, 0) + int(missed.sum())
        total[name] = total.get(name, 0) + x.numel()

    observe("coverage", model, batch, see)
    return {
        name: outside[name] / total[name] if total.get(name) else math.nan
        for name in kaf_layers("coverage", model)
    }


def summary(
    model: torch.nn.Module, batch: Any = None, *, reference: Mapping[str, Tensor] | None = None
) -> pd.DataFrame:
    """A table of the KAF layers, one row each, with the qualified name as index.

    Columns:
        channels, nodes: C and D.
        lo, hi: first and last node.
        gamma: bandwidth.
        coverage: share of pre-activations outside the grid, as of `coverage`; NaN without a batch.
        roughness: mean of g''^2 over grid and channels.
        distance: from the initial shape g_0, `sqrt(mean (g - g_0)^2)` over grid and channels. g_0
            is the layer's part of `reference`, with the dictionary found there. Without one it is
            what `init` fits to the present dictionary, and NaN for init="normal", since nobody has
            kept those weights. Layers of `from_official` start from "zeros".

    Args:
        model: a module with KAF layers, or one such layer.
        batch: as of `coverage`, or None.
        reference: an earlier state dict of the model, for example a deepcopy of the one before
            training.

    Raises:
        TypeError: model is no module.
        ValueError: model has no KAF layer; reference lacks one, or has other channels.
        ImportError: pandas is not installed; it comes with `pip install 'triton_acts[tools]'`.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "summary: pandas is not installed; it comes with pip install 'triton_acts[tools]'"
        ) from error
    found = kaf_layers("summary", model)
    shares = {} if batch is None else coverage(model, batch)
    rows = [_row(name, kaf, shares.get(name, math.nan), reference) for name, kaf in found.items()]
    return pd.DataFrame(rows, index=pd.Index(found, name="layer"))


def _row(
    name: str, kaf: KAF, outside: float, reference: Mapping[str, Tensor] | None
) -> dict[str, float]:
    d, alpha = kaf.dictionary, weights(kaf)
    s = between(d.lo, d.hi, d)
    distance = math.nan
    initial = initial_shape(kaf) if reference is None else _earlier(name, kaf, reference)
    if initial is not None:
        away = values(s, alpha, d) - values(s, *initial)
        distance = math.sqrt(_mean(away.square()))
    return {
        "channels": alpha.shape[0],
        "nodes": d.num_nodes,
        "lo": d.lo,
        "hi": d.hi,
        "gamma": d.gamma,
        "coverage": outside,
        "roughness": _mean(bends(s, alpha, d).square()),
        "distance": distance,
    }


def _mean(at_points: Tensor) -> float:
    """The mean over channels and over the range that equal steps cover, by Simpson's rule."""
    rule = torch.ones(len(at_points), dtype=torch.float64, device="cpu")
    rule[1:-1:2], rule[2:-1:2] = 4, 2
    return (rule @ at_points / rule.sum()).mean().item()


def initial_shape(kaf: KAF) -> tuple[Tensor, Grid] | None:
    """Weights [1, D] that `init` fits to the present dictionary, and it; None for "normal"."""
    fitted = kaf.initial_weights()
    # rounded as alpha is, so that a fresh layer has a distance of 0
    return None if fitted is None else (fitted.to(kaf.alpha.dtype).double()[None], kaf.dictionary)


def _earlier(name: str, kaf: KAF, reference: Mapping[str, Tensor]) -> tuple[Tensor, Grid]:
    """Weights and dictionary of a layer in a state dict."""
    prefix = f"{name}." if name else ""
    missing = [key for key in ("alpha", "grid", "gamma") if prefix + key not in reference]
    if missing:
        raise ValueError(
            f"summary: reference has no {prefix + missing[0]!r}; it must be a state dict of this "
            f"model"
        )
    alpha = reference[prefix + "alpha"].detach()
    channels = kaf.alpha.shape[0]
    if alpha.dim() != 2 or alpha.shape[0] != channels:
        raise ValueError(
            f"summary: {prefix}alpha in reference is {tuple(alpha.shape)}, but the layer has "
            f"{channels} channels"
        )
    lo, hi = reference[prefix + "grid"].tolist()
    earlier = KAF(
        *alpha.shape,
        grid=(lo, hi),
        gamma=reference[prefix + "gamma"].item(),
        init="zeros",
        device="meta",
    )
    return alpha.to("cpu", torch.float64), earlier.dictionary
