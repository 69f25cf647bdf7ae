"""Scalar device functions shared by the kernels: float32 in, float32 out, no pointers, no masks.

Spelling decides cost and accuracy here. `tl.exp2` is one MUFU instruction, `tl.exp` and `/` carry
range guards; `rsqrt(d * d)` is `1 / d` at 2^-22.9 in one FMUL and one MUFU, without the guard of a
division, and d lies in [1, 2] so the square cannot overflow. Sums that would cancel are written so
that they do not. NaN goes through every function: comparisons choose, `minimum` is told to keep it.
"""

from ._triton import jit, tl

__all__ = ["logistic_density", "reciprocal_tail", "signed", "tanh", "tanh_and_density"]


@jit
def signed(magnitude, x):
    """`magnitude` (>= 0) with the sign bit of x: one logical instruction; keeps -0.0."""
    sign = x.to(tl.int32, bitcast=True) & -2147483648
    return (magnitude.to(tl.int32, bitcast=True) | sign).to(tl.float32, bitcast=True)


@jit
def reciprocal_tail(u):
    """`e / (1 + e)` with `e = exp(-u)`, u >= 0: the logistic of -u, without cancellation."""
    e = tl.exp2(u * -1.4426950408889634)
    d = 1.0 + e
    return e * tl.rsqrt(d * d)


@jit
def _tanh_pieces(x, u, large, one):
    """tanh(x) from u = |x| and its magnitude for u >= 0.55; below, an odd polynomial.

    Written `x * (one + p(t) t)` so that -0.0 stays -0.0.
    """
    t = x * x
    p = tl.fma(0.016458705299437475, t, -0.052684111270772445)
    p = tl.fma(p, t, 0.13320941294923666)
    p = tl.fma(p, t, -0.3333295746352775)
    return tl.where(u < 0.55, x * tl.fma(p, t, one), signed(large, x))


@jit
def tanh(x, one):
    """Hyperbolic tangent, at most 4 ULP of float32; `one` is 1.0, or as `tie_breaker` says.

    That holds with the documented errors of ex2.approx (2^-22.5) and rsqrt.approx (2^-22.9).
    Away from zero it is `1 - 2 e / (1 + e)`, e = exp(-2 |x|), which is exactly 1 once e vanishes;
    `(1 - e) / (1 + e)` is no better near 0.55 and needs the division to be exact in saturation.
    """
    u = tl.abs(x)
    return _tanh_pieces(x, u, tl.fma(reciprocal_tail(2.0 * u), -2.0, 1.0), one)


@jit
def _root_exponential(u, RATE: tl.constexpr):
    """`exp(-RATE u / 2)` for u >= 0, its argument's rounding put back to first order.

    The square root of `exp(-RATE u)`: squared, it reaches the smallest subnormal, where one
    exponential of the whole argument would be flushed below 2^-126. u is cut at 512, where the
    result is 0, so that the residual of an infinite argument is not inf - inf.
    """
    u = tl.minimum(u, 512.0, propagate_nan=tl.PropagateNan.ALL)
    argument = u * (0.7213475204444817 * RATE)
    residual = tl.fma(u, -0.7213475204444817 * RATE, argument)
    h = tl.exp2(-argument)
    return tl.fma(h * 0.6931471805599453, residual, h)


@jit
def logistic_density(x, height, RATE: tl.constexpr):
    """`height * e / (1 + e)^2` with `e = exp(-RATE |x|)`: height times the logistic density.

    The derivative of the sigmoid (RATE 1, height 1) and of tanh (RATE 2, height 4), with full
    relative accuracy in the tails, where `s (1 - s)` and `1 - t^2` lose every digit.
    """
    h = _root_exponential(tl.abs(x), RATE)
    d = tl.fma(h, h, 1.0)
    d2 = d * d
    return (height * h) * tl.rsqrt(d2 * d2) * h


@jit
def tanh_and_density(x):
    """tanh(x) and a quarter of its derivative, from one exponential."""
    u = tl.abs(x)
    h = _root_exponential(u, 2.0)
    d = tl.fma(h, h, 1.0)
    d2 = d * d
    density = h * tl.rsqrt(d2 * d2) * h
    large = tl.fma(density * d, -2.0, 1.0)
    return _tanh_pieces(x, u, large, 1.0), density
