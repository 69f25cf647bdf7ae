"""What every test process shares."""

import gc
import os

import pytest
import torch
from hypothesis import HealthCheck, settings
from support import accuracy
from torch.utils._device import _device_constructors

gc.disable()  # until all is imported and collected
torch.manual_seed(0)
_device_constructors()  # remembers torch.empty at first use, which some tests replace for a while

_ANY = {"deadline": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("fixed", max_examples=20, derandomize=True, database=None, **_ANY)
settings.register_profile("long", max_examples=2000, print_blob=True, **_ANY)  # `make fuzz`
settings.load_profile("fixed")


def pytest_report_header(config):
    """Says which road the kernels take in this process."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        return "kernels: Triton's interpreter on the CPU"
    if torch.cuda.is_available():
        return f"kernels: compiled, on {torch.cuda.get_device_name()}"
    return "kernels: compiled but not run (no GPU)"


def pytest_collection_modifyitems(items):
    """Tests marked `gpu` are skipped, with the reason printed, where there is no GPU."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="no GPU")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


def pytest_collection_finish():
    """What is there before the first test stays; to look through it again and again takes long."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def accuracy_table(request):
    """Collects errors for the table that `--accuracy-table docs/accuracy.md` writes."""

    def add(op, arithmetic, what, dtype, errors, misrounded=None):
        row = (op, what, str(dtype).removeprefix("torch."), arithmetic)
        request.config.accuracy_rows[row] = (float(errors.max()), misrounded)

    return add


@pytest.fixture
def kaf_accuracy_table(request):
    """Collects KAF's largest errors by number of nodes, for the second table."""

    def add(nodes, arithmetic, errors):
        rows = request.config.kaf_accuracy_rows
        known = rows.get((nodes, arithmetic), errors)
        rows[nodes, arithmetic] = tuple(map(max, zip(known, errors, strict=True)))

    return add


def pytest_addoption(parser):
    """`--accuracy-table FILE`: where the measured accuracy is written."""
    parser.addoption("--accuracy-table", metavar="FILE", help="write the measured accuracy to FILE")


def pytest_configure(config):
    """The rows that tests add."""
    config.accuracy_rows, config.kaf_accuracy_rows = {}, {}


def pytest_sessionfinish(session):
    """Writes the accuracy table."""
    target = session.config.getoption("--accuracy-table")
    if target:
        accuracy.write(target, session.config.accuracy_rows, session.config.kaf_accuracy_rows)
