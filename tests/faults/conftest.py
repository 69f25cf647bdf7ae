"""Faults are those of a plain process; where kernels must run, a process of their own does it."""

import pytest

from triton_acts import _triton


def pytest_collection_modifyitems(items):
    """The interpreter here is a mistake of whoever called, not a reason to skip."""
    if _triton.INTERPRETED and any("faults" in item.path.parts for item in items):
        raise pytest.UsageError("tests/faults needs TRITON_INTERPRET unset; see the Makefile")
