"""Activations that are sums over a dictionary: KAF, with Gaussians on a uniform grid."""

from triton_acts.tuning.registry import register

from ._frozen import FrozenKAF
from ._gridding import Grid
from ._kaf import compile_as, kaf
from ._module import KAF
from ._variants import kaf_spec

__all__ = ["KAF", "FrozenKAF", "Grid", "compile_as", "kaf"]

register(kaf_spec())
