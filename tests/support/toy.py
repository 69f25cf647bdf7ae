"""A toy activation, softsign `a x / (1 + |x|)`: what `pointwise.ALL` asks for, and nothing else.

As a pytest plugin (`-p support.toy`) it joins `ALL` before tests are collected.
"""

from triton_acts._triton import jit, tl
from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import Pointwise
from triton_acts.pointwise._variants import pointwise_spec
from triton_acts.tuning.registry import register


@jit
def _toy(x, a, one):
    return a * x / (1.0 + tl.abs(x))


@jit
def _toy_slope(x, a, one):
    d = 1.0 + tl.abs(x)
    return a / d / d


@jit
def _toy_slope_from_output(y, a, one):
    d = 1.0 - tl.abs(y) / a
    return a * d * d


TOY = Pointwise(
    name="toy",
    fn=_toy,
    slope=_toy_slope,
    slope_from_output=_toy_slope_from_output,
    composite=lambda x, a: a * x / (1 + x.abs()),
    derivative=lambda x, a: a / (1 + x.abs()) ** 2,
    derivative_from_output=lambda y, a: a * (1 - y.abs() / a) ** 2,
    parameters={"a": 1.0},
    examples=((1.0,), (0.5,)),
)
ALL.append(TOY)
register(pointwise_spec(TOY))
