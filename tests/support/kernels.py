"""Fixtures of tests that run kernels; a conftest.py that imports them offers them."""

import os

import pytest
import torch

from triton_acts import _launch

__all__ = ["AS_IT_IS", "fresh_memory_is_nan", "launches"]

AS_IT_IS = "TESTS_LEAVE_FRESH_MEMORY"  # set by sanitize.py, whose initcheck looks for reads of it


@pytest.fixture
def launches(monkeypatch):
    """The kernels that were launched; stays empty where none can be."""
    counted = []
    real = _launch.Launcher.__call__

    def call(self, *args):
        counted.append(self.kernel)
        return real(self, *args)

    monkeypatch.setattr(_launch.Launcher, "__call__", call)
    return counted


@pytest.fixture(autouse=True)
def fresh_memory_is_nan(monkeypatch):
    """torch.empty_like and torch.empty return NaN, so that an element nobody wrote shows."""
    if os.environ.get(AS_IT_IS):
        return
    for name in ("empty_like", "empty"):
        real = getattr(torch, name)

        def poisoned(*args, real=real, **kwargs):
            result = real(*args, **kwargs)
            return result.fill_(torch.nan) if result.is_floating_point() else result

        monkeypatch.setattr(torch, name, poisoned)
