"""The battery runs in every process: on kernels in Triton's interpreter or on a GPU, and without.

Where kernels run, fresh memory is NaN, so that an element that nobody wrote shows.
"""

import pytest
import torch
from support.subjects import SUBJECTS

from triton_acts import _launch, _triton

DEVICE = "cuda" if torch.cuda.is_available() and not _triton.INTERPRETED else "cpu"
KERNELS = _triton.INTERPRETED or DEVICE == "cuda"


def pytest_generate_tests(metafunc):
    """A test that takes `subject` gets every one of them."""
    if "subject" in metafunc.fixturenames:
        metafunc.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)


@pytest.fixture
def device():
    """Where tensors lie."""
    return torch.device(DEVICE)


@pytest.fixture
def launches(monkeypatch):
    """The kernels that were launched; stays empty where none can be (`runs_kernels`)."""
    counted = []
    real = _launch.Launcher.__call__

    def call(self, *args):
        counted.append(self.kernel)
        return real(self, *args)

    monkeypatch.setattr(_launch.Launcher, "__call__", call)
    return counted


@pytest.fixture
def runs_kernels():
    """Whether plain tensors on `device` run kernels in this process."""
    return KERNELS


@pytest.fixture(autouse=True)
def fresh_memory_is_nan(monkeypatch):
    """torch.empty_like and torch.empty return NaN."""
    for name in ("empty_like", "empty"):
        real = getattr(torch, name)

        def poisoned(*args, real=real, **kwargs):
            result = real(*args, **kwargs)
            return result.fill_(torch.nan) if result.is_floating_point() else result

        monkeypatch.setattr(torch, name, poisoned)
