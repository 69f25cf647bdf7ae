"""An honest comparison of activations on anybody's model (extra `study`)."""

from ._compare import compare, run_study
from ._metrics import METRICS, Metric
from ._study import Study
from ._task import Data, Pair, Task, split
from ._variants import VARIANTS, Activation, Variant

__all__ = [
    "METRICS",
    "VARIANTS",
    "Activation",
    "Data",
    "Metric",
    "Pair",
    "Study",
    "Task",
    "Variant",
    "compare",
    "run_study",
    "split",
]
