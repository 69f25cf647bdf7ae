"""What to expect of candidates on a GPU of the table: the static filter and the model together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from triton_acts.gpus import GPU

from .config import Config
from .predict import Prediction, predict
from .registry import RULES, Hardware, Variant
from .screening import Known, screen

__all__ = ["TIE", "Outlook", "candidates_for", "choose", "closest", "outlook"]

TIE = 0.05  # predictions closer than this are the same: nothing measured has confirmed the model


@dataclass(frozen=True)
class Outlook:
    """A candidate on a GPU.

    Attributes:
        config: the candidate.
        dropped: why it would not be timed, "" if it would.
        prediction: of its time; None where dropped, or where its machine code is unknown.
    """

    config: Config
    dropped: str
    prediction: Prediction | None


def candidates_for(
    op: str, variant: Variant, dtype: torch.dtype, hardware: Hardware
) -> tuple[Config, tuple[Config, ...]]:
    """The analytic config of a variant on some hardware, and all candidates."""
    rule = RULES[op, variant.direction, variant.dims.layout]
    default = rule.default(dtype, hardware, variant.dims)
    return default, rule.candidates(dtype, hardware, variant.dims)


def outlook(
    variant: Variant,
    dtype: torch.dtype,
    gpu: GPU,
    numel: int,
    default: Config,
    counts: Known,
    fill: bool = True,
) -> list[Outlook]:
    """Every candidate that there are counts of, filtered and predicted; tensors are aligned.

    `fill` says whether those that cannot fill the machine are dropped.
    """
    num_bytes = variant.tensors * dtype.itemsize * numel
    # other kernels cap their programs, which loop over rows
    to_fill = gpu.sm_count if fill and variant.layout == "flat" else 1
    return [
        Outlook(
            s.config,
            s.dropped,
            predict(gpu, s.counts, num_bytes, numel, s.config.num_warps)
            if s.counts is not None and not s.dropped
            else None,
        )
        for s in screen(tuple(counts), default, counts, numel, to_fill, True)
    ]


def choose(found: Sequence[Outlook], default: Config) -> Config:
    """The fastest by prediction, or as fast and nearer to the default; that if nothing is known."""
    times = {o.config: o.prediction.ms for o in found if o.prediction is not None}
    if not times:
        return default
    return closest(times, default)


def closest(costs: Mapping[Config, float], default: Config) -> Config:
    """Of the configs within 5 % of the cheapest, the one that differs least from the default."""
    limit = min(costs.values()) * (1 + TIE)
    tied = [config for config, cost in costs.items() if cost <= limit]
    return min(tied, key=lambda config: (_distance(config, default), costs[config], str(config)))


def _distance(config: Config, other: Config) -> int:
    """How many halvings and doublings lead from one config to the other."""
    pairs = (
        (config.elements_per_thread, other.elements_per_thread),
        (config.num_warps, other.num_warps),
        (config.unroll, other.unroll),
    )
    return sum(abs(a.bit_length() - b.bit_length()) for a, b in pairs)
