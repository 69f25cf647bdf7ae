"""Activations that map each element on its own; tests, inspection and perf run over `ALL`."""

from triton_acts.tuning.registry import register

from ._define import Pointwise
from ._penalized_tanh import (
    PENALIZED_TANH,
    PENALIZED_TANH_PER_CHANNEL,
    PenalizedTanh,
    penalized_tanh,
)
from ._per_channel import PerChannel
from ._scaled_sigmoid import SCALED_SIGMOID, ScaledSigmoid, scaled_sigmoid
from ._variants import per_channel_spec, pointwise_spec

__all__ = [
    "ALL",
    "ALL_PER_CHANNEL",
    "PenalizedTanh",
    "PerChannel",
    "Pointwise",
    "ScaledSigmoid",
    "penalized_tanh",
    "scaled_sigmoid",
]

ALL: list[Pointwise] = [SCALED_SIGMOID, PENALIZED_TANH]
ALL_PER_CHANNEL: list[PerChannel] = [PENALIZED_TANH_PER_CHANNEL]

for _op in ALL:
    register(pointwise_spec(_op))
for _learned in ALL_PER_CHANNEL:
    register(per_channel_spec(_learned))
