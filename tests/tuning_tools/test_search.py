"""The search, with a clock that is told what everything takes: no kernel and no waiting."""

import math

import pytest
import torch
from support.fake_tuning import FakeBench, FakeClock, jittered, steady
from triton.runtime.errors import OutOfResources

from triton_acts.tuning.config import Config
from triton_acts.tuning.search import COARSE_SAMPLES, measure_all, search

C = [Config(elements, warps) for elements in (4, 8, 16) for warps in (1, 2, 4)]
DEFAULT = C[4]
OTHER = Config(32, 8)  # no candidate


def times(**changed):
    """1 ms for all but those named, such as c3=0.5."""
    known = dict.fromkeys([*C, OTHER], 1.0)
    return known | {C[int(name[1:])]: ms for name, ms in changed.items()}


def hunt(ms, incumbent=None, candidates=C, budget_s=100.0, round_s=0.001, **bench):
    """What the search finds, the bench, and the clock; `ms` are times, or says them."""
    clock = FakeClock(steady(ms) if isinstance(ms, dict) else ms, round_s)
    made = FakeBench(clock, **bench)
    found = search(made, candidates, DEFAULT, incumbent, clock, budget_s)
    return found, made, clock


def statuses(found):
    return {trial.config: trial.status for trial in found.trials}


@pytest.mark.parametrize("fastest", range(len(C)))
def test_the_fastest_wins_wherever_it_stands(fastest):
    ms = {config: 1.0 + 0.1 * i for i, config in enumerate(C)} | {C[fastest]: 0.5}
    found, bench, _ = hunt(ms)
    assert found.winner == C[fastest]
    assert bench.checked == [C[fastest]], "the winner alone is checked"
    assert [trial.config for trial in found.trials] == C
    assert set(statuses(found).values()) == {"ok"}
    timing = {trial.config: trial.timing.ms_p50 for trial in found.trials}
    assert timing == ms


def test_the_finals_decide_not_a_lucky_start():
    def ms(config, number):
        lucky = config == C[0] and number <= COARSE_SAMPLES + 2
        return 0.1 if lucky else steady(times(c1=0.8))(config, number)

    found, _, _ = hunt(ms)
    assert found.winner == C[1]
    assert next(trial.timing.ms_p50 for trial in found.trials if trial.config == C[0]) == 1.0


def test_finalists_are_the_best_four_with_the_incumbent_and_the_default():
    ms = {config: 1.0 + 0.1 * i for i, config in enumerate(reversed(C))}
    found, _, clock = hunt(ms, incumbent=C[0])
    finals = {trial.config for trial in found.trials if trial.final}
    assert finals == {*C[-4:], C[0], DEFAULT}
    assert [(t.timing.samples, t.final) for t in found.trials] == [
        (20, True) if config in finals else (COARSE_SAMPLES, False) for config in C
    ]
    assert set(clock.rounds[-1]) == {None, *finals}


def test_rounds_are_interleaved_and_each_has_the_yardstick():
    found, _, clock = hunt(times(c0=0.5), reads=2)
    coarse = [ran for ran in clock.rounds if len(ran) == len(C) + 1]
    assert len(coarse) == COARSE_SAMPLES + 2  # and the warm-up's two
    assert coarse == [[None, *C]] * len(coarse)
    assert all(ran[0] is None and None not in ran[1:] for ran in clock.rounds)
    assert len({tuple(ran) for ran in clock.rounds}) == 2
    assert (found.yardstick_name, found.yardstick.ms_p50) == ("add", 1.0)
    assert hunt(times())[0].yardstick_name == "copy"


@pytest.mark.parametrize("seed", range(20))
def test_noise_changes_no_choice(seed):
    """Candidates that differ by less than the noise: what is in use stays, run after run."""
    ms = {config: 1.0 + 0.0005 * i for i, config in enumerate(C)}
    kept, _, _ = hunt(jittered(ms, 0.02, seed), budget_s=0.1)
    assert kept.winner == DEFAULT
    ms[C[2]] = 0.8
    first, _, _ = hunt(jittered(ms, 0.02, seed + 100), budget_s=0.1)
    assert first.winner == C[2]
    second, _, _ = hunt(jittered(ms, 0.02, seed + 200), first.winner, budget_s=0.1)
    assert second.winner == C[2]
    ms[C[2]] = 1.0  # what was measured once as the fastest no longer is, but not clearly
    third, _, _ = hunt(jittered(ms, 0.02, seed + 300), second.winner, budget_s=0.1)
    assert third.winner == C[2]


@pytest.mark.parametrize(("gain", "replaced"), [(0.0095, False), (0.0109, True)])
@pytest.mark.parametrize("incumbent", [None, C[7], OTHER])
def test_one_percent_is_the_margin_of_quiet_measurements(gain, replaced, incumbent):
    present = incumbent or DEFAULT
    found, _, _ = hunt(times(c0=1.0 - gain), incumbent)
    assert found.winner == (C[0] if replaced else present)
    assert found.reason == (
        "1.1% faster than what was in use" if replaced else "none was over 1.0% faster"
    )


WAVE = (-0.0098, -0.0098, 0.0, 0.0098, 0.0098)  # its interquartile range is 0.0196


@pytest.mark.parametrize("noisy", [C[0], DEFAULT])
@pytest.mark.parametrize(("gain", "replaced"), [(0.0385, False), (0.0399, True)])
def test_twice_the_interquartile_range_is_the_margin_of_noisy_ones(noisy, gain, replaced):
    def ms(config, number):
        flat = steady(times(c0=1.0 - gain))(config, number)
        return flat * (1 + WAVE[number % 5]) if config == noisy else flat

    found, _, _ = hunt(ms)
    assert found.winner == (C[0] if replaced else DEFAULT)


def test_a_tie_keeps_what_is_in_use():
    for incumbent in (None, C[8], OTHER):
        found, bench, _ = hunt(times(), incumbent)
        assert found.winner == (incumbent or DEFAULT)
        assert bench.checked == [found.winner]


def test_an_incumbent_that_is_no_candidate_any_more_is_timed_beside_them():
    found, _, _ = hunt(times(c0=0.9) | {OTHER: 0.5}, OTHER)
    assert found.winner == OTHER
    assert [trial.config for trial in found.trials] == [*C, OTHER]
    beaten, _, _ = hunt(times(c0=0.9), OTHER)
    assert beaten.winner == C[0]


def test_the_default_is_timed_even_if_it_is_not_named():
    found, _, _ = hunt(times(), candidates=[C[0]])
    assert [trial.config for trial in found.trials] == [C[0], DEFAULT]
    assert found.winner == DEFAULT


ERRORS = {
    "at compile": (1, ValueError("cannot compile\nline 2"), "ValueError: cannot compile"),
    "at launch": (2, RuntimeError("no such launch"), "RuntimeError: no such launch"),
    "at the third call": (3, RuntimeError("late"), "RuntimeError: late"),
    "in the finals": (COARSE_SAMPLES + 4, RuntimeError("later"), "RuntimeError: later"),
    "out of resources": (1, OutOfResources(300, 200, "shared memory"), "OutOfResources: out of"),
    "out of memory": (1, torch.OutOfMemoryError("no memory"), "OutOfMemoryError: no memory"),
}


@pytest.mark.parametrize("crash", ERRORS)
@pytest.mark.parametrize("crashing", [C[0], DEFAULT])
def test_a_candidate_that_crashes_is_a_row_and_the_others_go_on(crash, crashing):
    call, error, text = ERRORS[crash]
    ms = times(c0=0.5, c1=0.6, c2=0.7, c3=0.8, c5=0.9)
    found, bench, _ = hunt(ms, faults={crashing: (call, error)})
    status = statuses(found)
    assert status.pop(crashing).startswith(f"failed: {text}")
    assert set(status.values()) == {"ok"}
    (trial,) = (trial for trial in found.trials if trial.config == crashing)
    assert math.isnan(trial.timing.ms_p50)
    assert found.winner == (C[1] if crashing == C[0] else C[0])
    assert crashing not in bench.checked
    others = sum(trial.final for trial in found.trials if trial.config != crashing)
    in_finals = crash == "in the finals" and crashing == C[0]
    assert others == (4 if crashing == DEFAULT or in_finals else 5), "it takes no place of theirs"
    assert (found.reason == "the fastest; what was in use failed") == (crashing == DEFAULT)


def test_wrong_results_are_struck_out_and_the_next_best_wins():
    wrong = {C[0]: "3 results differ", C[1]: RuntimeError("check\nfailed")}
    found, bench, _ = hunt(times(c0=0.5, c1=0.6, c2=0.7, c3=0.8), wrong=wrong)
    assert found.winner == C[2]
    assert bench.checked == C[:3]
    status = statuses(found)
    assert status.pop(C[0]) == "wrong: 3 results differ"
    assert status.pop(C[1]) == "wrong: RuntimeError: check failed"
    assert set(status.values()) == {"ok"}


def test_after_a_wrong_winner_the_margin_still_holds():
    found, _, _ = hunt(times(c0=0.5, c1=0.995), wrong={C[0]: "wrong"})
    assert found.winner == DEFAULT


def test_what_is_in_use_is_struck_out_too():
    found, bench, _ = hunt(times(c7=1.5), C[7], candidates=[C[7]], wrong={DEFAULT: "wrong"})
    assert bench.checked == [DEFAULT, C[7]]
    assert found.winner == C[7]


def test_if_all_fail_there_is_no_winner():
    fault = (1, RuntimeError("no"))
    found, bench, _ = hunt(times(), faults=dict.fromkeys(C, fault))
    assert (found.winner, found.reason) == (None, "every candidate failed")
    assert set(statuses(found).values()) == {"failed: RuntimeError: no"}
    assert bench.checked == []
    found, bench, _ = hunt(times(), wrong=dict.fromkeys(C, "off"))
    assert found.winner is None
    assert len(bench.checked) == len(set(bench.checked)) == sum(t.final for t in found.trials)
    assert set(statuses(found).values()) == {"ok", "wrong: off"}


def test_no_memory_for_the_check_is_no_fault_of_a_config():
    with pytest.raises(torch.OutOfMemoryError):
        hunt(times(), wrong=dict.fromkeys(C, torch.OutOfMemoryError("full")))


def test_ctrl_c_gets_through():
    def ms(config, number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hunt(ms)


def test_noisy_finals_end_with_the_budget():
    wild = jittered(times(), 0.2, 0)
    _, _, clock = hunt(wild, budget_s=60.0, round_s=1.0)
    warm_up = 4  # two rounds before either measurement
    assert clock.seconds == COARSE_SAMPLES + 30 + warm_up


def test_nothing_to_measure_is_no_error():
    clock = FakeClock(steady({}))
    found, plain, name = measure_all(FakeBench(clock), [], clock, 1.0)
    assert (found, name, clock.rounds) == ({}, "copy", [])
    assert plain.error == "nothing was timed"
