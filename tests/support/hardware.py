"""Makes Triton's interpreter compute as a GPU may: fused multiply-add, approximate exp2 and rsqrt.

The interpreter rounds fma twice and has exact elementary functions; a kernel that is accurate only
with those passes there and fails on a GPU. PTX documents ex2.approx.ftz with a relative error of
2^-22.5 and subnormals flushed to zero, rsqrt.approx.ftz with 2^-22.9.
"""

import numpy as np

_EX2, _RSQRT = 2.0**-22.5, 2.0**-22.9


def documented(monkeypatch, seed=0):
    """Patches the interpreter with the documented worst errors, of random sign."""
    from triton.runtime import interpreter

    handle = interpreter.TensorHandle
    rng = np.random.default_rng(seed)

    def worst(exact, bound, dtype):
        sign = rng.integers(0, 2, np.shape(exact)) * 2.0 - 1.0
        return (exact * (1.0 + sign * bound)).astype(dtype)

    def fma(self, x, y, z):
        with np.errstate(invalid="ignore", over="ignore"):
            exact = x.data.astype(np.float64) * y.data.astype(np.float64) + z.data
            return handle(exact.astype(np.result_type(x.data, z.data)), z.dtype.scalar)

    def exp2(self, arg):
        value = worst(np.exp2(arg.data.astype(np.float64)), _EX2, arg.data.dtype)
        value = np.where(np.exp2(arg.data) == 1, value.dtype.type(1), value)  # ex2(-0.0) is exact
        return handle(
            np.where(np.abs(value) < 2.0**-126, value.dtype.type(0), value), arg.dtype.scalar
        )

    def rsqrt(self, arg):
        return handle(
            worst(1 / np.sqrt(arg.data.astype(np.float64)), _RSQRT, arg.data.dtype),
            arg.dtype.scalar,
        )

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_fma", fma)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_exp2", exp2)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_rsqrt", rsqrt)
