"""These tests compile kernels, so Triton's interpreter must be off."""

import pytest
from support import fake_gpu

from triton_acts import _triton


def pytest_collection_modifyitems(items):
    """The interpreter here is a mistake of whoever called, not a reason to skip."""
    if _triton.INTERPRETED and any("compiled" in item.path.parts for item in items):
        raise pytest.UsageError("tests/compiled needs TRITON_INTERPRET unset; see the Makefile")


@pytest.fixture
def gpu(monkeypatch):
    """A fake sm_90 GPU, active for one test."""
    return fake_gpu.install(monkeypatch)
