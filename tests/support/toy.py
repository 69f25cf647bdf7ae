"""A toy activation, `a tanh(x)`: what `pointwise.ALL` asks for, and nothing else.

As a pytest plugin (`-p support.toy`) it joins `ALL` before tests are collected.
"""

import torch

from triton_acts import math as _math
from triton_acts._triton import jit, tl
from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import Pointwise
from triton_acts.pointwise._variants import pointwise_spec
from triton_acts.tuning.registry import register


@jit
def _toy(x, a, one):
    return a * _math.tanh(x, one)


@jit
def _toy_slope(x, a, one):
    return _math.logistic_density(x, 4.0 * a, 2.0)


@jit
def _toy_slope_from_output(y, a, one):
    slope = a - y * y * (1.0 / a)
    return tl.where(slope < 0, 0.0, slope)


TOY = Pointwise(
    name="toy",
    fn=_toy,
    slope=_toy_slope,
    slope_from_output=_toy_slope_from_output,
    composite=lambda x, a: a * x.tanh(),
    derivative=lambda x, a: 4 * a * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x),
    derivative_from_output=lambda y, a: (a - y * y / a).clamp_min(0),
    parameters={"a": 1.0},
    output_needs=("a real number a > 0", lambda a: a > 0),
    examples=((1.0,), (0.5,)),
)
ALL.append(TOY)
register(pointwise_spec(TOY))
