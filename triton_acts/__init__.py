"""GPU activations as fast as memory: scaled sigmoid, penalized tanh and learned ones (KAF)."""

from . import init, kaf_tools, nn
from ._version import __version__
from ._warmup import warmup
from .adopt import SwapReport, register_transformers, swap
from .dictionary import KAF, kaf
from .pointwise import PenalizedTanh, ScaledSigmoid, penalized_tanh, scaled_sigmoid

__all__ = [
    "KAF",
    "PenalizedTanh",
    "ScaledSigmoid",
    "SwapReport",
    "__version__",
    "init",
    "kaf",
    "kaf_tools",
    "nn",
    "penalized_tanh",
    "register_transformers",
    "scaled_sigmoid",
    "swap",
    "warmup",
]
