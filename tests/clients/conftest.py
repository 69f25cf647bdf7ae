"""Clients run in a plain process, as users run them, so CPU tensors take the composites."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
