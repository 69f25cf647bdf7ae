"""The battery runs in every process: on kernels in Triton's interpreter or on a GPU, and without.

Where kernels run, fresh memory is NaN, so that an element that nobody wrote shows.
"""

import pytest
import torch
from support.kernels import fresh_memory_is_nan, launches  # noqa: F401 - fixtures
from support.subjects import BRANCHES, SUBJECTS

from triton_acts import _triton

DEVICE = "cuda" if torch.cuda.is_available() and not _triton.INTERPRETED else "cpu"
KERNELS = _triton.INTERPRETED or DEVICE == "cuda"


def pytest_generate_tests(metafunc):
    """A test that takes `subject` gets every one of them, marked `branches` the branches too."""
    if "subject" in metafunc.fixturenames:
        more = BRANCHES if metafunc.definition.get_closest_marker("branches") else []
        metafunc.parametrize("subject", SUBJECTS + more, ids=lambda subject: subject.name)


def pytest_collection_modifyitems(items):
    """On a GPU, those that put tensors on it are marked `gpu`."""
    if DEVICE == "cuda":
        for item in items:
            if "battery" in item.path.parts and "device" in item.fixturenames:
                item.add_marker(pytest.mark.gpu)


@pytest.fixture
def device():
    """Where tensors lie."""
    return torch.device(DEVICE)


@pytest.fixture
def runs_kernels():
    """Whether plain tensors on `device` run kernels in this process."""
    return KERNELS
