"""Looking into KAF layers, fitting their dictionaries to data, and making them smaller.

Functions that take a batch run the model on it as it is, in its mode, without gradients, and leave
no trace. A batch is a tensor, a tuple or list of positional arguments, or a mapping of named ones.
Layers go by their qualified name; that of a bare layer is "".
"""

from ._calibrate import Calibration, calibrate
from ._freeze import freeze
from ._inspect import coverage, summary
from ._penalties import l1, l2, param_groups, smoothness
from ._plot import plot
from ._select import Choice, select_nodes
from ._shrink import prune, refit

__all__ = [
    "Calibration",
    "Choice",
    "calibrate",
    "coverage",
    "freeze",
    "l1",
    "l2",
    "param_groups",
    "plot",
    "prune",
    "refit",
    "select_nodes",
    "smoothness",
    "summary",
]
