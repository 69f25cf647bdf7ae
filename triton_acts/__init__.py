"""GPU activations as fast as memory: scaled sigmoid and penalized tanh."""

from . import nn
from ._version import __version__
from .pointwise import PenalizedTanh, ScaledSigmoid, penalized_tanh, scaled_sigmoid

__all__ = [
    "PenalizedTanh",
    "ScaledSigmoid",
    "__version__",
    "nn",
    "penalized_tanh",
    "scaled_sigmoid",
]
