"""Runs the real kernels: in Triton's interpreter on the CPU, or compiled on a GPU.

Every test here fails if it launched no kernel, so that none can silently run the composite.
"""

import pytest
from support.kernels import fresh_memory_is_nan, launches  # noqa: F401 - fixtures

from triton_acts import _triton

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
def a_kernel_runs(launches, request):  # noqa: F811 - the fixture of that name
    """Unless the test is marked `composite`."""
    yield
    if not request.node.get_closest_marker("composite"):
        assert launches, "this test launched no kernel"
