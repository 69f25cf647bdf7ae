"""Cases of a group take turns; what goes wrong with one, or an interruption, costs no other."""

import dataclasses

import pytest
import torch

from perf import measure, static
from perf import run as runner
from perf.cases import PEAK_MEMORY, Case, Shape
from perf.ops import ops
from perf.run import Budget
from triton_acts.tuning.records import RESULTS, read
from triton_acts.tuning.timing import MIN_ROUNDS

TINY = Shape("tiny", 0.0, channels=4, side=4)
SIGMOID = next(op for op in ops() if op.variant == "scalar")
FORWARD = Case(SIGMOID, "forward", torch.float32, TINY)
BACKWARD = dataclasses.replace(FORWARD, direction="backward")
HALF = dataclasses.replace(FORWARD, dtype=torch.bfloat16)
THREE = [FORWARD, BACKWARD, HALF]


@pytest.fixture(autouse=True)
def no_static(monkeypatch):
    monkeypatch.setattr(static, "kernels", lambda *_: [])


@pytest.fixture
def at_stay(monkeypatch):
    """Lets something happen when a case begins a stay, the first being stay 1."""

    def at_stay(act):
        stays = {}

        class Watched(measure.Session):
            def __init__(self, case, *rest):
                super().__init__(case, *rest)
                watched = self._rounds.go_on

                def go_on(seconds):
                    stays[case] = stays.get(case, 0) + 1
                    act(case, stays[case])
                    watched(seconds)

                self._rounds.go_on = go_on

        monkeypatch.setattr(runner, "Session", Watched)

    return at_stay


def written(tmp_path):
    table = read(tmp_path / "records" / "cpu.csv", RESULTS)
    assert table.problems == []
    return table.rows


def ways(rows):
    return list(dict.fromkeys((row["direction"], row["dtype"]) for row in rows))


def test_cases_of_a_group_take_turns(perform, at_stay):
    """Each stays an eighth of its time."""
    order = []
    at_stay(lambda case, stay: order.append((case, stay)))
    perform(THREE, budget=Budget(60, 0, 8.0))
    assert order == [(case, i + 1) for i in range(measure.VISITS) for case in THREE]


def test_rows_are_in_the_order_of_the_cases_whoever_is_done_first(perform, at_stay, tmp_path):
    def act(case, stay):
        if (case, stay) in ((HALF, 1), (BACKWARD, 2)):
            raise RuntimeError

    at_stay(act)
    outcome = perform(THREE, budget=Budget(60, 0, 8.0))
    assert ways(outcome.rows) == ways(written(tmp_path))
    assert ways(outcome.rows) == [
        ("forward", "float32"),
        ("backward", "float32"),
        ("forward", "bfloat16"),
    ]


@pytest.mark.parametrize("when", ["prepared", "timed", "read"])
def test_a_case_that_raises_is_a_row_and_costs_no_other(
    perform, at_stay, monkeypatch, tmp_path, when
):
    def fail(case):
        if case is BACKWARD:
            raise RuntimeError("an illegal\naccess")

    if when == "timed":
        at_stay(lambda case, stay: fail(case) if stay == 3 else None)
    elif when == "prepared":
        opened = measure.make_inputs
        monkeypatch.setattr(
            measure, "make_inputs", lambda case, *rest: fail(case) or opened(case, *rest)
        )
    else:
        kept = measure._row
        monkeypatch.setattr(measure, "_row", lambda case, *rest: fail(case) or kept(case, *rest))
    outcome = perform(THREE, budget=Budget(60, 0, 8.0))
    rows = written(tmp_path)
    assert [row["status"] for row in rows] == [
        *["ok"] * 4,
        "failed: RuntimeError: an illegal ... access",
        *["ok"] * 4,
    ]
    assert rows[4]["provider"] == "triton_acts"
    assert not outcome.interrupted
    assert (tmp_path / "report" / "report.md").exists()


def test_an_interruption_keeps_what_has_enough_rounds(perform, at_stay, tmp_path):
    """The last case has two rounds of one second each then: too few to mean anything."""

    def act(case, stay):
        if case is HALF and stay == MIN_ROUNDS:
            raise KeyboardInterrupt

    at_stay(act)
    outcome = perform(THREE, budget=Budget(60, 0, 8.0))
    assert outcome.interrupted
    rows = written(tmp_path)
    assert ways(rows) == [("forward", "float32"), ("backward", "float32")]
    assert {row["samples"] for row in rows} == {MIN_ROUNDS}
    assert ways(outcome.rows) == ways(rows)
    assert (tmp_path / "report" / "report.md").exists()


def test_an_interruption_while_cases_are_prepared_keeps_those_before(
    perform, monkeypatch, tmp_path
):
    """A case is timed for a first stay as soon as it is there."""
    opened = runner.Session

    def interrupted(case, *rest):
        if case is HALF:
            raise KeyboardInterrupt
        return opened(case, *rest)

    monkeypatch.setattr(runner, "Session", interrupted)
    outcome = perform(THREE, budget=Budget(60, 0, 8.0 * MIN_ROUNDS))
    assert outcome.interrupted
    assert ways(written(tmp_path)) == [("forward", "float32"), ("backward", "float32")]


def test_an_interruption_before_anything_is_measured_names_files_that_exist(
    perform, monkeypatch, tmp_path
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "Session", interrupted)
    outcome = perform(THREE)
    assert outcome.interrupted
    assert outcome.files
    assert all(path.exists() for path in outcome.files)


@pytest.mark.parametrize("limit", ["GROUP_BYTES", "GROUP_CASES"])
def test_groups_are_limited(monkeypatch, limit):
    most = 2 * (FORWARD.footprint if limit == "GROUP_BYTES" else 1)
    monkeypatch.setattr(measure, limit, most)
    assert [len(group) for group in measure.groups([FORWARD] * 5)] == [2, 2, 1]


def test_a_group_has_one_clock():
    named = ("device", "launch-inclusive", PEAK_MEMORY, "device", "device")
    modes = [dataclasses.replace(FORWARD, mode=mode) for mode in named]
    assert [len(group) for group in measure.groups(modes)] == [1, 1, 1, 2]
    assert list(measure.groups([])) == []
