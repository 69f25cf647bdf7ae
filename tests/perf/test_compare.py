"""`perf compare`: verdicts at their thresholds, which rows meet, and what the command says."""

import math

import pytest
from support.perf_rows import OTHERS, result_row, run_of, run_row

from perf.history import Run
from perf.timed import Timed
from perf.training import TRAINING
from perf.verdicts import (
    ALIKE,
    BETWEEN_RUNS,
    MATTERS,
    RULED_OUT,
    SAMPLES,
    Line,
    Ratio,
    compare,
    ratio,
    verdict,
)

OVER = 1 + 1e-6
SURE = MATTERS * math.exp(BETWEEN_RUNS)  # a quiet ratio beyond it is a change in ms


def verdicts(base, head):
    return {line.provider: line.verdict for line in compare(base, head).lines}


def quiet(ms):
    return Timed(ms, ms, ms)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, "SAME"),
        (math.exp(BETWEEN_RUNS) / OVER, "SAME"),
        (math.exp(BETWEEN_RUNS) * OVER, "UNCLEAR"),
        (SURE / OVER, "UNCLEAR"),
        (SURE * OVER, "SLOW"),
        (1.15, "SLOW"),
    ],
)
def test_quiet_times_at_both_sides_of_each_threshold(value, expected):
    assert verdict(ratio([quiet(value)], [quiet(1.0)])) == expected
    faster = {"SLOW": "FAST"}.get(expected, expected)
    assert verdict(ratio([quiet(1.0)], [quiet(value)])) == faster


@pytest.mark.parametrize(
    ("raw", "shared", "expected"),
    [
        (Ratio(1.1, MATTERS * OVER, 1.2), Ratio(1.1, MATTERS * OVER, 1.2), "SLOW"),
        (Ratio(1.1, MATTERS * OVER, 1.2), Ratio(1.1, MATTERS, 1.2), "UNCLEAR"),
        (Ratio(1.1, MATTERS, 1.2), Ratio(1.1, MATTERS * OVER, 1.2), "UNCLEAR"),
        (Ratio(0.9, 0.8, 1 / MATTERS / OVER), Ratio(0.9, 0.8, 1 / MATTERS / OVER), "FAST"),
        (Ratio(0.9, 0.8, 1 / MATTERS / OVER), Ratio(0.9, 0.8, 1 / MATTERS), "UNCLEAR"),
        (Ratio(0.9, 0.8, 1 / MATTERS), Ratio(0.9, 0.8, 1 / MATTERS / OVER), "UNCLEAR"),
        (Ratio(1.2, 1.1, 1.3), Ratio(0.8, 0.7, 0.9), "UNCLEAR"),
        (Ratio(1.0, 1.0, RULED_OUT / OVER), None, "SAME"),
        (Ratio(1.0, 1.0, RULED_OUT), None, "UNCLEAR"),
        (Ratio(1.0, OVER / RULED_OUT, 1.0), None, "SAME"),
        (Ratio(1.0, 1 / RULED_OUT, 1.0), None, "UNCLEAR"),
        (Ratio(1.0, OVER, 1.01), None, "UNCLEAR"),
        (Ratio(1.0, 0.99, 1 / OVER), None, "UNCLEAR"),
        (Ratio(1.0, 0.99, 1.01), Ratio(1.2, 1.0, 1.4), "SAME"),
        (Ratio(1.0, 0.99, 1.01), Ratio(1.2, OVER, 1.4), "UNCLEAR"),
        (Ratio(1.0, 0.99, 1.01), Ratio(0.8, 0.7, 1 / OVER), "UNCLEAR"),
    ],
)
def test_a_verdict_needs_both_views(raw, shared, expected):
    assert verdict(raw, shared) == expected


def test_the_interval_adds_what_each_side_spreads_towards_it():
    found = ratio([Timed(0.9, 1.1, 1.2)], [Timed(0.95, 1.0, 1.3)])
    up = math.hypot(BETWEEN_RUNS, math.log(1.2 / 1.1), math.log(1 / 0.95))
    down = math.hypot(BETWEEN_RUNS, math.log(1.1 / 0.9), math.log(1.3))
    assert found.value == pytest.approx(1.1)
    assert found.high == pytest.approx(1.1 * math.exp(up))
    assert found.low == pytest.approx(1.1 / math.exp(down))
    both = ratio([quiet(2.0), quiet(3.0)], [quiet(1.0), quiet(4.0)])
    assert both.value == pytest.approx(1.5)
    assert both.high == pytest.approx(1.5 * math.exp(math.sqrt(2) * BETWEEN_RUNS))


def test_the_yardstick_of_the_case_is_the_canary():
    base = run_of("r1", yardstick=1.0, triton_acts=2.0)
    steady = run_of("r2", yardstick=1.0, triton_acts=2.3)
    drifted = run_of("r2", yardstick=1.15, triton_acts=2.3)
    hidden = run_of("r2", yardstick=0.87, triton_acts=2.0)
    assert verdicts(base, steady) == {"triton_acts": "SLOW"}
    assert verdicts(steady, base) == {"triton_acts": "FAST"}
    assert verdicts(base, drifted) == {"triton_acts": "UNCLEAR"}
    assert verdicts(base, hidden) == {"triton_acts": "UNCLEAR"}


def test_without_a_yardstick_in_both_runs_no_change_is_believed():
    with_one = {"yardstick": 1.0, "triton_acts": 2.3}
    for old, new in (({}, {}), ({"yardstick": 1.0}, {}), ({}, {"yardstick": 1.0})):
        base = run_of("r1", canary=100.0, triton_acts=2.0, **old)
        (line,) = compare(base, run_of("r2", canary=100.0, triton_acts=2.3, **new)).lines
        assert line.verdict == "UNCLEAR"
        assert "no yardstick" in line.remark
    base = run_of("r1", triton_acts=2.0)
    assert verdicts(base, base) == {"triton_acts": "SAME"}
    assert verdicts(run_of("r1", yardstick=1.0, triton_acts=2.0), run_of("r2", **with_one)) == {
        "triton_acts": "SLOW"
    }


@pytest.mark.parametrize("who", ["base", "head", "its yardstick"])
def test_a_change_needs_enough_samples_on_both_sides(who):
    runs = {
        name: run_of(name, yardstick=1.0, triton_acts=ms) for name, ms in (("r1", 2.0), ("r2", 2.6))
    }
    run = runs["r1" if who == "base" else "r2"]
    row = run.rows[0 if who == "its yardstick" else 1]
    for samples, expected in ((SAMPLES, "SLOW"), (SAMPLES - 1, "UNCLEAR"), (None, "UNCLEAR")):
        row["samples"] = samples
        (line,) = compare(runs["r1"], runs["r2"]).lines
        assert line.verdict == expected
        assert ("samples" in line.remark) == (expected == "UNCLEAR")
        (line,) = compare(runs["r2"], runs["r1"]).lines
        assert line.verdict == expected.replace("SLOW", "FAST")
        assert verdicts(runs["r1"], runs["r1"])["triton_acts"] == "SAME"


def test_a_training_step_needs_a_witness():
    """Its yardstick only copies, and says nothing about a lower clock."""

    def step(name, **ms):
        rows = [result_row(name, who, value, op=TRAINING) for who, value in ms.items()]
        return Run(run_row(name), rows)

    base = step("r1", yardstick=1.0, relu=10.0, kaf=20.0)
    (line, _) = compare(base, step("r2", yardstick=1.0, relu=13.0)).lines
    assert (line.provider, line.verdict) == ("relu", "UNCLEAR")
    assert "no other" in line.remark
    head = step("r2", yardstick=1.0, relu=13.0, kaf=20.0)
    assert verdicts(base, head) == {"relu": "SLOW", "kaf": "SAME"}


def test_what_all_providers_of_a_case_do_is_not_of_their_making():
    base = run_of("r1", yardstick=1.0, triton_acts=1.0, eager=1.0)
    lines = compare(base, run_of("r2", yardstick=1.0, triton_acts=1.2, eager=1.2)).lines
    assert [line.verdict for line in lines] == ["UNCLEAR", "UNCLEAR"]
    assert "all providers" in lines[0].remark
    steady = [result_row(name, "eager", shape="4x4") for name in ("r1", "r2")]  # another case
    head = run_of("r2", yardstick=1.0, triton_acts=1.2, eager=1.2)
    found = compare(
        Run(base.meta, [*base.rows, steady[0]]), Run(head.meta, [*head.rows, steady[1]])
    )
    assert [line.verdict for line in found.lines] == ["UNCLEAR", "UNCLEAR", "SAME"]
    half = 1.2**ALIKE
    for other, expected in ((half * OVER, "UNCLEAR"), (half / OVER, "SLOW"), (1 / 1.2, "SLOW")):
        head = run_of("r2", yardstick=1.0, triton_acts=1.2, eager=other)
        assert verdicts(base, head)["triton_acts"] == expected
    steady = run_of("r1", yardstick=1.0, triton_acts=1.0, eager=1.0, compiled=1.0)
    head = run_of("r2", yardstick=1.0, triton_acts=1.2, eager=1.2, compiled=1.0)
    assert verdicts(steady, head) == {"triton_acts": "SLOW", "eager": "SLOW", "compiled": "SAME"}


@pytest.mark.parametrize(
    ("raw", "shared", "expected"),
    [(1.3, 1.05, 1.05), (0.7, 0.9, 0.9), (0.9, 0.7, 0.9), (1.3, 0.9, 1.0), (1.3, None, 1.3)],
)
def test_a_provider_moved_as_far_as_both_views_say(raw, shared, expected):
    views = [ratio and Ratio(ratio, ratio, ratio) for ratio in (raw, shared)]
    line = Line((), "eager", "h200", "UNCLEAR", 1.0, 1.0, *views)
    assert line.move == pytest.approx(math.log(expected))


@pytest.mark.parametrize("other", OTHERS)
def test_rows_that_differ_do_not_meet(other):
    base, head = run_of("r1", triton_acts=1.0), run_of("r2")
    head.rows.append(result_row("r2", **other))
    assert [x.verdict for x in compare(base, head).lines] == ["only in base", "only in head"]


def test_another_gpu_does_not_meet():
    base, head = run_of("r1", "h200", triton_acts=1.0), run_of("r2", "l4", triton_acts=1.0)
    assert [x.verdict for x in compare(base, head).lines] == ["only in base", "only in head"]


@pytest.mark.parametrize(
    "other", [{"op": "penalized_tanh"}, {"direction": "backward"}, {"aligned": False}]
)
def test_the_yardstick_of_another_case_is_none(other):
    """All cases have their own: here that of another one tells a drift that is not ours."""
    base = run_of("r1", yardstick=1.0, triton_acts=1.0)
    head = run_of("r2", yardstick=1.0, triton_acts=1.2)
    for run, ms in ((base, 1.0), (head, 1.2)):
        run.rows.append(result_row(run.run_id, "yardstick", ms, **other))
    assert verdicts(base, head) == {"triton_acts": "SLOW"}


@pytest.mark.parametrize("source", ["tune: candidate", "tune: default", "exhaustive"])
def test_trials_of_the_tuner_are_left_out(source):
    base = run_of("r1", yardstick=1.0, triton_acts=1.0)
    head = run_of("r2", yardstick=1.0, triton_acts=1.0)
    head.rows.append(result_row("r2", ms=2.0, config_source=source))
    base.rows.append(result_row("r1", ms=2.0, config_source=source, shape="8x8"))
    assert [x.verdict for x in compare(base, head).lines] == ["SAME"]
    head.rows[-1]["config_source"] = "shipped file"
    assert [x.verdict for x in compare(base, head).lines] == ["SLOW"]


@pytest.mark.parametrize(
    "broken",
    [
        {"status": "wrong"},
        {"status": "okay"},
        {"ms_p50": None},
        {"ms_p20": None},
        {"ms_p80": None},
        {"ms_p50": math.nan},
        {"ms_p80": math.inf},
        {"ms_p20": 0.0},
        {"ms_p20": 1.1},
        {"ms_p80": 0.9},
    ],
)
def test_a_row_without_a_time_has_no_verdict_and_says_why(broken):
    base, head = run_of("r1", triton_acts=1.0), run_of("r2", triton_acts=1.0)
    head.rows[0] |= broken
    (line,) = compare(base, head).lines
    assert (line.verdict, line.base_ms, line.head_ms) == ("only in base", 1.0, None)
    assert line.remark == head.rows[0]["status"]
    (line,) = compare(head, base).lines
    assert (line.verdict, line.base_ms, line.head_ms) == ("only in head", None, 1.0)


def test_a_case_that_was_left_out_is_found_though_its_alignment_is_unknown():
    base, head = run_of("r1", triton_acts=1.0), run_of("r2", triton_acts=1.0)
    head.rows[0] |= {"status": "left out: out of time", "aligned": None, "ms_p50": None}
    assert compare(base, head).lines[0].remark == "left out: out of time"


def test_launch_bound_is_a_time_and_memory_is_none():
    base, head = run_of("r1", triton_acts=1.0), run_of("r2", triton_acts=1.0)
    head.rows[0]["status"] = "ok: launch-bound"
    for run in (base, head):
        none = dict.fromkeys(("ms_p20", "ms_p50", "ms_p80"))
        run.rows.append(result_row(run.run_id, variant="d20/peak-memory", **none))
    assert [x.verdict for x in compare(base, head).lines] == ["SAME"]


def test_a_run_whose_own_row_is_lost_is_compared():
    lost = Run(run_row("r1") | {"canary_gbps": None, "utc_time": ""}, run_of("r1", eager=1.0).rows)
    assert verdicts(lost, run_of("r2", eager=1.0)) == {"eager": "SAME"}
