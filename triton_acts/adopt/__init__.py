"""Bringing the activations into a model that exists."""

from ._report import Replaced, SwapReport, Unreplaced
from ._swap import swap
from ._transformers import register_transformers

__all__ = ["Replaced", "SwapReport", "Unreplaced", "register_transformers", "swap"]
