"""A run without waiting: a clock that only counts, and nothing compiled. A report of its like."""

from collections.abc import Callable, Sequence

import pytest
import torch
from support import fake_records
from support.report_page import PREDICTED, Page

from perf import measure, providers, report
from perf.run import Budget, run
from triton_acts.tuning.device import Device

CPU = Device(torch.device("cpu"), "cpu", "a CPU", None, 0)
BUDGET = Budget(total_s=60, static_s=0, case_s=0.01)


class FakeClock:
    """Runs each call once; each round lasts a second, calls take 1, 2, 3, ... ms in their order."""

    warmup_s, min_batch_ms = 0.0, 0.0

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> float:
        return self.seconds

    def round(self, calls: Sequence[Callable[[], object]], repeats: Sequence[int]) -> list[float]:
        self.seconds += 1
        for call in calls:
            call()
        return [float(i + 1) for i, _ in enumerate(repeats)]


@pytest.fixture(autouse=True)
def no_compile(monkeypatch):
    """torch.compile takes seconds a case; its place is taken by what it would compile."""
    monkeypatch.setitem(providers.PROVIDERS, "torch.compile", lambda case: case.op.eager)
    monkeypatch.setitem(providers.PROVIDERS, "triton_acts compiled", lambda case: case.op.ours)


@pytest.fixture
def rows_of():
    """The rows of a case."""

    def rows_of(case):
        session = measure.Session(case, CPU, FakeClock(), budget_s=1.0)
        measure.take_turns([session], lambda _: None)
        return session.rows("r", [])

    return rows_of


@pytest.fixture
def perform(tmp_path):
    """A run of selected cases, its files in tmp_path."""

    def perform(selected, **changes):
        arguments = {
            "quick": True,
            "records_dir": tmp_path / "records",
            "report_dir": tmp_path / "report",
            "selected": selected,
            "architectures": ["sm_90"],
            "budget": BUDGET,
            "device": CPU,
            "clock": FakeClock(),
        }
        return run(**arguments | changes)

    return perform


@pytest.fixture(scope="session")
def records(tmp_path_factory):
    return fake_records.write(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="session")
def book(records):
    return report.load([records])


@pytest.fixture(scope="session")
def paths(book, tmp_path_factory):
    return report.write(tmp_path_factory.mktemp("report"), book, PREDICTED)


@pytest.fixture(scope="session")
def full(paths):
    return Page(paths[1].read_text(encoding="utf-8"))


@pytest.fixture
def small(tmp_path):
    """Records of a CPU alone, which draw quickly."""
    return fake_records.write(tmp_path / "records", ["cpu"])
