"""The activations as modules."""

from .dictionary import KAF
from .pointwise import PenalizedTanh, ScaledSigmoid

__all__ = ["KAF", "PenalizedTanh", "ScaledSigmoid"]
