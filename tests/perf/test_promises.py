"""What KAF promises on a CPU: the table, and the memory that is measured for it."""

import dataclasses

import pytest
import torch

from perf import memory, report, static
from perf import run as runner
from perf.cases import COMPARED, PEAK_MEMORY, Case, Shape
from perf.measure import identity
from perf.ops import kaf_op
from perf.promises import TITLE, promises
from perf.run import Budget
from triton_acts.tuning.records import RESULTS, read

KAF = kaf_op()
ROWS = Shape("8 MiB N x C", 8, 512, form="NC")  # 4096 x 512
PEAK = Case(KAF, "forward+backward", torch.float32, ROWS, PEAK_MEMORY, COMPARED[:2])
MS = {  # forward, backward
    "triton_acts": (4.0, 6.0),
    "eager": (100.0, 150.0),
    "torch.compile": (10.0, 30.0),
    "triton_acts compiled": (10.0, 5.0),
}
X = 4 * 4096 * 512


def row(case, provider, **cells):
    return dict.fromkeys(RESULTS.columns) | identity(case, "r") | {"provider": provider} | cells


def measured(**changes):
    """A run's rows; `changes` are times of a provider."""
    rows = [
        row(Case(KAF, "forward", torch.float32, Shape("1", 1)), "eager", ms_p50=1.0, status="ok")
    ]
    for provider, times in (MS | changes).items():
        for direction, ms in zip(("forward", "backward"), times, strict=True):
            case = Case(KAF, direction, torch.float32, ROWS)
            status = "wrong" if ms is None else "ok"
            rows.append(row(case, provider, ms_p50=ms, status=status))
    rows.append(row(PEAK, "triton_acts", bytes=4 * X, status="ok"))
    rows.append(row(PEAK, "eager", bytes=60 * X, status="ok"))
    return rows


def verdicts(rows):
    return [line["verdict"] for line in promises(rows)]


def test_the_table():
    table = promises(measured())
    assert [
        (line["triton_acts"], line["formula"], line["ratio"], line["promised"]) for line in table
    ] == [
        ("10 ms", "250 ms", 25.0, "at least 25"),
        ("15 ms", "40 ms", 40 / 15, "at least 4"),
        ("10 ms", "10 ms", 1.0, "at least 1"),
        ("32 MiB", "", 4.0, "at most 4"),
        ("", "480 MiB", 60.0, ""),
    ]
    assert [line["verdict"] for line in table] == ["met", "not met", "met", "met", ""]
    assert "forward + backward, eager" in table[0]["quantity"]
    assert "memory" in table[3]["quantity"]


def test_a_promise_is_missed_by_little():
    assert verdicts(measured(triton_acts=(4.0, 6.01)))[0] == "not met"
    assert verdicts(measured(**{"triton_acts compiled": (10.01, 0.0)}))[1:3] == [
        "not met",
        "not met",
    ]
    assert verdicts(measured(**{"triton_acts compiled": (5.0, 5.0)}))[1:3] == ["met", "met"]
    rows = measured()
    rows[-2]["bytes"] += 1
    assert verdicts(rows)[3] == "not met"


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert verdicts(measured(triton_acts=(4.0, None)))[:2] == ["not measured", "not met"]
    assert verdicts(measured(**{"torch.compile": (10.0, None)}))[:3] == [
        "met",
        "not measured",
        "met",
    ]
    rows = measured()
    rows[-2:] = [row(PEAK, "triton_acts", status="left out: out of time")]
    assert verdicts(rows)[3:] == ["not measured"] * 2
    assert (
        verdicts([row(PEAK, "triton_acts", status="left out: out of time")]) == ["not measured"] * 5
    )
    assert promises(measured()[:1]) == []
    other = [cells | {"dtype": "bfloat16"} for cells in measured()]
    assert promises(other) == []


def test_the_report_and_the_terminal_show_it(monkeypatch, perform, tmp_path):
    monkeypatch.setattr(static, "kernels", lambda *_: [])
    monkeypatch.setattr(runner, "measure_memory", lambda *_: measured())
    outcome = perform([PEAK])
    kept = read(tmp_path / "records" / "cpu.csv", RESULTS)
    assert kept.problems == []
    assert verdicts(kept.rows) == verdicts(outcome.rows) == ["met", "not met", "met", "met", ""]
    text = (tmp_path / "report" / "report.md").read_text()
    assert f"## {TITLE}" in text
    (line,) = (line for line in text.splitlines() if "eager mode | 10 ms" in line)
    assert line.endswith("| 10 ms | 250 ms | 25 | at least 25 | met |")
    assert PEAK_MEMORY not in text  # no line without a time among the times
    terminal = report.promises_table(outcome.rows)
    assert "4096 x 512" in terminal
    assert terminal.count("not met") == 1
    assert report.promises_table(measured()[:1]) == ""
    times = report.measured_table(outcome.rows)
    assert times["both compiled"].tolist() == [1.0, 6.0]


def test_memory_that_the_budget_does_not_reach_is_a_row(monkeypatch, perform):
    monkeypatch.setattr(static, "kernels", lambda *_: [])
    outcome = perform([PEAK], budget=Budget(0, 0, 0.01))
    assert [cells["status"] for cells in outcome.rows] == ["left out: out of time"]
    assert verdicts(outcome.rows) == ["not measured"] * 5


@pytest.fixture
def linux():
    if not memory.STATUS.exists():
        pytest.skip(f"there is no {memory.STATUS} here")


@pytest.mark.usefixtures("linux")
def test_memory_is_that_of_a_fresh_process():
    """Whatever this one holds: `ru_maxrss` of a child starts with its parent's."""
    large = torch.ones(2**26)
    shape = dataclasses.replace(ROWS, mib=2)
    three = ("triton_acts", "eager", "nonsense")
    case = dataclasses.replace(PEAK, shape=shape, providers=three)
    ours, eager, failed = memory.measure_memory(case, "r", torch.device("cpu"))
    del large
    assert (ours["provider"], eager["provider"], failed["provider"]) == three
    assert ours["status"] == eager["status"] == "ok"
    x = 2 * 2**20
    assert 40 * x < eager["bytes"] < 160 * x  # kappa, its square, products: each 20 times x
    assert 2 * x <= ours["bytes"] + 2**17  # y and dx
    assert ours["bytes"] < eager["bytes"] / 4
    assert ours["ms_p50"] is None
    assert failed["status"] == "failed: KeyError: 'nonsense'"
    assert failed["bytes"] is None
    RESULTS.encode(failed)


def test_growth_counts_from_the_inputs_on(monkeypatch):
    """And a first call on a small shape is not counted."""
    events = []
    make = memory.make_inputs

    def make_inputs(case, *rest):
        events.append(f"inputs of {case.sizes[0]} rows")
        return make(case, *rest)

    def formula(x, alpha):
        events.append(f"{len(x)} rows")
        return KAF.eager(x, alpha)

    def resident(entry):
        events.append(entry)
        return {"VmRSS": 1000, "VmHWM": 1700}[entry]

    monkeypatch.setattr(memory, "make_inputs", make_inputs)
    monkeypatch.setattr(memory, "resident", resident)
    case = dataclasses.replace(PEAK, shape=Shape("rows", 0.001, 32, form="NC"))
    assert memory.growth(case, formula) == 700
    first, then = ["inputs of 1 rows", "1 rows"], ["inputs of 8 rows", "VmRSS", "8 rows", "VmHWM"]
    assert events == first + then


def test_a_machine_that_does_not_tell_is_no_failure(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    rows = memory.measure_memory(PEAK, "r", torch.device("cpu"))
    assert [cells["provider"] for cells in rows] == ["triton_acts", "eager"]
    assert all(cells["status"].startswith("not available: there is no") for cells in rows)
    assert report.our_failures(rows) == []
    assert verdicts(rows) == ["not measured"] * 5
