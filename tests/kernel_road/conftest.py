"""Runs the real kernels: in Triton's interpreter on the CPU, or compiled on a GPU.

Every test here fails if it launched no kernel, so that none can silently run the composite.
"""

import pytest
import torch

from triton_acts import _launch, _triton

DEVICE = "cpu" if _triton.INTERPRETED else "cuda"


def pytest_collection_modifyitems(items):
    """Marks these tests `gpu` unless the interpreter runs them."""
    if not _triton.INTERPRETED:
        for item in items:
            if "kernel_road" in item.path.parts:
                item.add_marker(pytest.mark.gpu)


@pytest.fixture
def device():
    return DEVICE


@pytest.fixture(autouse=True)
def launches(monkeypatch, request):
    """Counts kernel launches; a test without one fails unless it is marked `composite`."""
    counted = []
    real = _launch.Launcher.__call__

    def call(self, *args):
        counted.append(self.kernel)
        return real(self, *args)

    monkeypatch.setattr(_launch.Launcher, "__call__", call)
    yield counted
    if not request.node.get_closest_marker("composite"):
        assert counted, "this test launched no kernel"


@pytest.fixture(autouse=True)
def fresh_memory_is_nan(monkeypatch):
    """torch.empty_like and torch.empty return NaN, so that an element nobody wrote shows."""
    for name in ("empty_like", "empty"):
        real = getattr(torch, name)

        def poisoned(*args, real=real, **kwargs):
            result = real(*args, **kwargs)
            return result.fill_(torch.nan) if result.is_floating_point() else result

        monkeypatch.setattr(torch, name, poisoned)
