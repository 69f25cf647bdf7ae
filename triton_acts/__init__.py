"""GPU activations as fast as memory: scaled sigmoid, penalized tanh and learned ones (KAF)."""

from . import kaf_tools, nn
from ._version import __version__
from ._warmup import warmup
from .dictionary import KAF, kaf
from .pointwise import PenalizedTanh, ScaledSigmoid, penalized_tanh, scaled_sigmoid

__all__ = [
    "KAF",
    "PenalizedTanh",
    "ScaledSigmoid",
    "__version__",
    "kaf",
    "kaf_tools",
    "nn",
    "penalized_tanh",
    "scaled_sigmoid",
    "warmup",
]
