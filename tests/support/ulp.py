"""Errors in units in the last place, measured against float64."""

import numpy as np
import torch

# (mantissa bits with the hidden one, smallest normal exponent)
_FORMATS = {
    torch.float16: (11, -14),
    torch.bfloat16: (8, -126),
    torch.float32: (24, -126),
}
FLUSH = 2.0**-123  # ex2.approx.ftz flushes: below it, 0 or an error of FLUSH is allowed


def unit(reference, dtype):
    """The ULP of `dtype` at |reference|; that of a subnormal is the smallest subnormal."""
    bits, minimum = _FORMATS[dtype]
    _, exponent = np.frexp(np.abs(reference))
    return np.ldexp(1.0, np.maximum(exponent - 1, minimum) - (bits - 1))


def error(value, reference, dtype, floor=0.0):
    """|value - reference| in ULPs of max(|reference|, floor); value and reference as float64.

    Raises AssertionError where exactly one of the two is NaN or infinite.
    """
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    np.testing.assert_array_equal(np.isnan(value), np.isnan(reference))
    finite = np.isfinite(reference)
    np.testing.assert_array_equal(
        value[~finite & ~np.isnan(reference)], reference[np.isinf(reference)]
    )
    value, reference = value[finite], reference[finite]
    assert np.isfinite(value).all()
    distance = np.abs(value - reference)
    ulps = distance / unit(np.maximum(np.abs(reference), floor), dtype)
    return np.where((np.abs(reference) < FLUSH) & (distance <= FLUSH), 0.0, ulps)


def rounded(reference, dtype):
    """The float64 reference rounded once, to nearest even, to `dtype` (as float64)."""
    step = unit(reference, dtype)
    result = np.rint(reference / step) * step
    return np.where(np.abs(result) > torch.finfo(dtype).max, np.inf * np.sign(result), result)


def misrounded(value, reference, dtype):
    """Which float32 (or wider) values, stored in `dtype`, are not the rounded reference.

    Where float64 cannot tell the reference from a tie, both neighbours pass.
    """
    stored = rounded(np.asarray(value, np.float64), dtype)
    step = unit(reference, dtype)
    tie = (reference / step) % 1 == 0.5
    near = np.abs(stored - reference) == step / 2
    flushed = (np.abs(reference) < FLUSH) & (np.abs(stored - reference) <= FLUSH)
    return (stored != rounded(reference, dtype)) & ~(tie & near) & ~flushed


def all_values(dtype):
    """All 65,536 bit patterns of a 16-bit type that are finite."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    x = bits.view(dtype)
    return x[torch.isfinite(x)]


def sweep(per_binade=2**14, lowest=-126, highest=127, seed=0):
    """Random float32 values, `per_binade` in each binade and sign, and both zeros."""
    rng = np.random.default_rng(seed)
    exponents = np.repeat(np.arange(lowest, highest + 1), per_binade)
    magnitude = np.ldexp(rng.uniform(1, 2, exponents.size), exponents).astype(np.float32)
    return torch.from_numpy(np.concatenate([magnitude, -magnitude, [0.0, -0.0]]).astype(np.float32))


def neighbourhood(points, steps=64):
    """The `steps` float32 neighbours on both sides of each point and of its negative."""
    points = np.asarray(points, np.float32)
    bits = points.view(np.int32)[:, None] + np.arange(-steps, steps + 1, dtype=np.int32)
    near = bits.reshape(-1).view(np.float32)
    return torch.from_numpy(np.concatenate([near, -near]))
