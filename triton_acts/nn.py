"""The activations as modules."""

from .pointwise import PenalizedTanh, ScaledSigmoid

__all__ = ["PenalizedTanh", "ScaledSigmoid"]
