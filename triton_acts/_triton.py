"""Triton, or stand-ins that let the package import and run its composites where Triton is absent.

Exports `triton`, `tl`, `jit`, `driver`, `knobs` and two facts: `INSTALLED`, and `INTERPRETED` (the
kernels run in Triton's interpreter on the CPU, which `TRITON_INTERPRET=1` selects when this module
is imported).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

__all__ = ["INSTALLED", "INTERPRETED", "driver", "jit", "knobs", "tl", "triton"]

triton: Any
tl: Any
driver: Any
knobs: Any
jit: Callable[..., Any]

try:
    triton = importlib.import_module("triton")
except ImportError:
    INSTALLED = False

    class _Absent:
        """Answers every attribute with itself: annotations such as `tl.constexpr` evaluate."""

        def __getattr__(self, name: str) -> _Absent:
            return self

    def _identity(fn: Callable[..., Any] | None = None, **_options: object) -> Any:
        """Stand-in for `triton.jit`, bare or with options: the function itself."""
        return fn if fn is not None else lambda function: function

    triton = tl = driver = knobs = _Absent()
    jit = _identity
else:
    INSTALLED = True
    tl = importlib.import_module("triton.language")
    jit = triton.jit
    driver = importlib.import_module("triton.runtime").driver
    knobs = triton.knobs.runtime

INTERPRETED = INSTALLED and bool(triton.knobs.runtime.interpret)
