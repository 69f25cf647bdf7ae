"""What a kernel does with a group of nodes: device functions, factored and direct.

A group's `points` are (position, shift) of its anchor, or of each of its nodes; `tau = rate (x -
position) + shift`, the shift being what float32 rounded off the position. `coefs` are (rate, bend,
limit, gain) of `_gridding`. FORM is (mode, nodes left of the anchor, nodes, points, kept: whether
the weights of all groups stay in registers).
"""

from triton_acts._triton import jit, tl

__all__ = [
    "direct_gradients",
    "direct_value",
    "factored_gradients",
    "factored_value",
    "load_points",
    "load_weights",
]


@jit
def load_weights(source, group, FORM: tl.constexpr, LANES: tl.constexpr):
    """The weights of a group: each [LANES], or a scalar where a program has one channel."""
    MODE: tl.constexpr = FORM[0]
    NODES: tl.constexpr = FORM[2]
    w_ptr, _, w_stride, first, _ = source
    weights = ()
    for j in tl.static_range(NODES):
        row = w_ptr + (group * NODES + j) * w_stride
        if MODE == "lanes":
            weights = weights + (tl.load(row + first + tl.arange(0, LANES)),)
        elif MODE == "plane":
            weights = weights + (tl.load(row + tl.program_id(0)),)
        else:
            weights = weights + (tl.load(row),)
    return weights


@jit
def load_points(source, group, FORM: tl.constexpr):
    """Position and shift of a group's anchor or nodes, scalars."""
    POINTS: tl.constexpr = FORM[3]
    points = ()
    for j in tl.static_range(2 * POINTS):
        points = points + (tl.load(source[1] + group * (2 * POINTS) + j),)
    return points


@jit
def _powers(x, points, coefs):
    """(tau, e, t, r) of `_gridding`, tau cut at the limit; e, of the uncut tau, carries NaN."""
    rate, bend, limit, _ = coefs
    tau = tl.fma(x - points[0], rate, points[1])
    bounded = tl.minimum(tl.maximum(tau, -limit), limit)
    e = tl.exp2(tau * tau * -bend)
    return bounded, e, tl.exp2(bounded), tl.exp2(-bounded)


@jit
def _horner(weights, u, FIRST: tl.constexpr, STEP: tl.constexpr, COUNT: tl.constexpr):
    """The polynomial in u with coefficients weights[FIRST - k STEP], and its derivative."""
    value = tl.broadcast_to(weights[FIRST], u.shape)
    slope = tl.zeros_like(u)
    for k in tl.static_range(1, COUNT):
        slope = value if k == 1 else tl.fma(slope, u, value)
        value = tl.fma(value, u, tl.broadcast_to(weights[FIRST - k * STEP], u.shape))
    return value, slope


@jit
def factored_value(x, points, weights, coefs, FORM: tl.constexpr):
    """The sum over a group: `e (P(t) + R(r))`, by Horner's rule from both ends; R = r q."""
    LEFT: tl.constexpr = FORM[1]
    NODES: tl.constexpr = FORM[2]
    _, e, t, r = _powers(x, points, coefs)
    p, _ = _horner(weights, t, NODES - 1, 1, NODES - LEFT)
    q, _ = _horner(weights, r, 0, -1, LEFT)
    return e * tl.fma(q, r, p)


@jit
def _series(term, u, sums, FIRST: tl.constexpr, STEP: tl.constexpr, COUNT: tl.constexpr):
    """sums[FIRST + k STEP] + term u^k for k < COUNT: 1.25 multiplications a term."""
    u2 = u * u
    u3 = u2 * u
    u4 = u2 * u2
    found = ()
    for k in tl.static_range(COUNT):
        if k % 4 == 0:
            if k > 0:
                term = term * u4
            found = found + (sums[FIRST + k * STEP] + term,)
        elif k % 4 == 1:
            found = found + (tl.fma(term, u, sums[FIRST + k * STEP]),)
        elif k % 4 == 2:
            found = found + (tl.fma(term, u2, sums[FIRST + k * STEP]),)
        else:
            found = found + (tl.fma(term, u3, sums[FIRST + k * STEP]),)
    return found


@jit
def factored_gradients(
    x,
    g,
    points,
    weights,
    sums,
    coefs,
    NEED_DX: tl.constexpr,
    NEED_DW: tl.constexpr,
    FORM: tl.constexpr,
):
    """(g dy/dx over the gain, sums with `g e t^j` added).

    dy/dtau over e ln 2 is `t P' - r R' - 2 bend tau (P + R)`.
    """
    LEFT: tl.constexpr = FORM[1]
    NODES: tl.constexpr = FORM[2]
    tau, e, t, r = _powers(x, points, coefs)
    weighted = g * e
    dx = weighted
    if NEED_DX:
        p, dp = _horner(weights, t, NODES - 1, 1, NODES - LEFT)
        q, dq = _horner(weights, r, 0, -1, LEFT)
        falling = r * tl.fma(dq, r, q)
        slope = tl.fma(dp, t, -falling)
        dx = weighted * tl.fma(tau * (-2.0 * coefs[1]), tl.fma(q, r, p), slope)
    if NEED_DW:
        falling_sums = _series(weighted * r, r, sums, LEFT - 1, -1, LEFT)
        rising_sums = _series(weighted, t, sums, LEFT, 1, NODES - LEFT)
        sums = ()
        for k in tl.static_range(LEFT - 1, -1, -1):
            sums = sums + (falling_sums[k],)
        sums = sums + rising_sums
    return dx, sums


@jit
def direct_value(x, points, weights, coefs, FORM: tl.constexpr):
    """The sum over a group, one Gaussian `2^(-tau^2)` after another."""
    NODES: tl.constexpr = FORM[2]
    y = tl.zeros_like(x)
    for j in tl.static_range(NODES):
        tau = tl.fma(x - points[2 * j], coefs[0], points[2 * j + 1])
        y = tl.fma(tl.exp2(-(tau * tau)), tl.broadcast_to(weights[j], x.shape), y)
    return y


@jit
def direct_gradients(
    x,
    g,
    points,
    weights,
    sums,
    coefs,
    NEED_DX: tl.constexpr,
    NEED_DW: tl.constexpr,
    FORM: tl.constexpr,
):
    """(g dy/dx over the gain, sums with `g kappa` added)."""
    NODES: tl.constexpr = FORM[2]
    rate, _, limit, _ = coefs
    dx = tl.zeros_like(x)
    found = ()
    for j in tl.static_range(NODES):
        tau = tl.fma(x - points[2 * j], rate, points[2 * j + 1])
        weighted = g * tl.exp2(-(tau * tau))
        if NEED_DX:
            bounded = tl.minimum(tl.maximum(tau, -limit), limit)  # 0 * inf would be NaN
            dx = tl.fma(weighted * weights[j], bounded, dx)
        if NEED_DW:
            found = found + (sums[j] + weighted,)
    return dx, found
