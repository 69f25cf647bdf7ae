"""These tests compile kernels, so Triton's interpreter must be off."""

import pytest
from support import fake_gpu

from triton_acts import _launch, _triton


def pytest_collection_modifyitems(items):
    """The interpreter here is a mistake of whoever called, not a reason to skip."""
    if _triton.INTERPRETED and any("compiled" in item.path.parts for item in items):
        raise pytest.UsageError("tests/compiled needs TRITON_INTERPRET unset; see the Makefile")


@pytest.fixture
def gpu(monkeypatch):
    """A fake sm_90 GPU, active for one test."""
    return fake_gpu.install(monkeypatch)


@pytest.fixture
def binder_agrees(monkeypatch):
    """At every launch asks Triton's own binder too: it must name the same compiled kernel."""
    real = _launch.Launcher.__call__

    def call(self, device, grid, key, args, num_warps):
        known = self._variants.get((device, key))
        real(self, device, grid, key, args, num_warps)
        if _triton.driver.active.get_current_device() == device:
            bound = self.kernel.warmup(*args, grid=grid, num_warps=num_warps)
            assert known is None or known is bound, f"{key} launched a variant compiled for others"
            assert self._variants[device, key] is bound

    monkeypatch.setattr(_launch.Launcher, "__call__", call)
