"""The clock's method, with a clock that needs no time."""

import math
from collections.abc import Callable, Sequence
from itertools import count, cycle

import pytest
import torch

from triton_acts.tuning.clocks import HostClock
from triton_acts.tuning.timing import (
    MIN_ROUNDS,
    YARDSTICK,
    Rounds,
    canary,
    measure,
    quantile,
    summarise,
    yardstick,
)


class FakeClock:
    """Runs each call once a round and lets it say how many ms it takes; a round lasts 1 s."""

    def __init__(self, warmup_s: float = 2.0, min_batch_ms: float = 0.0) -> None:
        self.warmup_s, self.min_batch_ms = warmup_s, min_batch_ms
        self.seconds = 0.0
        self.repeats: list[list[int]] = []

    def now(self) -> float:
        return self.seconds

    def round(self, calls: Sequence[Callable[[], object]], repeats: Sequence[int]) -> list[float]:
        self.seconds += 1.0
        self.repeats.append(list(repeats))
        return [float(call()) for call in calls]


def steady(ms: float) -> Callable[[], float]:
    return lambda: ms


def test_rounds_are_interleaved_with_the_yardstick_first():
    order = []

    def named(name: str) -> Callable[[], float]:
        return lambda: order.append(name) or 1.0

    clock = FakeClock()
    measure({"a": named("a"), "b": named("b")}, named("y"), clock, 100.0)
    assert order == ["y", "a", "b"] * len(clock.repeats)
    assert len(clock.repeats) > 20


def test_stops_at_twenty_quiet_samples():
    times = measure({"a": steady(2.0)}, steady(1.0), FakeClock(), 1000.0)
    assert times["a"].samples == times[YARDSTICK].samples == 20
    assert (times["a"].ms_p20, times["a"].ms_p50, times["a"].ms_p80) == (2.0, 2.0, 2.0)


def test_warm_up_is_not_sampled():
    slow_start = count()
    times = measure(
        {"a": lambda: 1000.0 if next(slow_start) < 9 else 1.0}, steady(1.0), FakeClock(9.0), 1000.0
    )
    assert times["a"].ms_p80 == 1.0


def test_a_noisy_provider_runs_to_the_budget_and_says_so():
    wave = cycle([1.0, 2.0])
    times = measure({"a": lambda: next(wave)}, steady(1.0), FakeClock(), 50.0)
    assert times["a"].samples == 50
    assert times["a"].noise == pytest.approx(1 / 1.5)


def test_a_small_budget_still_makes_some_rounds():
    times = measure({"a": steady(1.0)}, steady(1.0), FakeClock(), 1e-9)
    assert times["a"].samples == MIN_ROUNDS


def test_a_provider_that_raises_leaves_and_the_others_go_on():
    def broken() -> float:
        raise RuntimeError("no\nluck")

    times = measure({"bad": broken, "a": steady(3.0)}, steady(1.0), FakeClock(), 1000.0)
    assert times["bad"].error == "RuntimeError: no"
    assert times["bad"].samples == 0
    assert math.isnan(times["bad"].ms_p50)
    assert (times["a"].ms_p50, times["a"].samples, times["a"].error) == (3.0, 20, "")


def test_a_provider_that_breaks_late_has_no_time():
    calls = count()

    def late() -> float:
        if next(calls) >= 10:
            raise ValueError("late")
        return 1.0

    times = measure({"late": late, "a": steady(3.0)}, steady(1.0), FakeClock(), 1000.0)
    assert times["late"].error == "ValueError: late"
    assert math.isnan(times["late"].ms_p50)
    assert times["a"].samples == 20


def test_short_calls_are_repeated_until_the_clock_resolves_them():
    clock = FakeClock(min_batch_ms=1.0)
    times = measure({"short": steady(0.01), "long": steady(5.0)}, steady(0.5), clock, 100.0)
    assert times["short"].repeats >= 100
    assert times["long"].repeats == 1
    assert 2 <= times[YARDSTICK].repeats <= 4
    assert times["short"].ms_p50 == 0.01


def test_a_disturbed_sample_does_not_end_the_search_for_repeats():
    """The third round looks long enough at 20 calls a sample, and is the last of the warm-up."""
    disturbed = iter([0.01, 0.01, 5.0])
    times = measure(
        {"short": lambda: next(disturbed, 0.01)},
        steady(9.0),
        FakeClock(warmup_s=3.0, min_batch_ms=1.0),
        100.0,
    )
    assert 100 <= times["short"].repeats < 200


def test_a_call_that_the_clock_does_not_see_is_repeated_until_it_does():
    seen = iter([0.0, 0.0, 0.0])
    clock = FakeClock(warmup_s=0.0, min_batch_ms=1.0)
    times = measure({"short": lambda: next(seen, 0.1)}, steady(9.0), clock, 100.0)
    assert 10 <= times["short"].repeats < 1000


def test_percentiles():
    values = [5.0, 1.0, 3.0, 2.0, 4.0]
    assert [quantile(values, share) for share in (0, 0.2, 0.5, 0.8, 1)] == [1, 1.8, 3, 4.2, 5]
    timing = summarise(values)
    assert (timing.ms_p20, timing.ms_p50, timing.ms_p80) == (1.8, 3.0, 4.2)
    assert timing.noise == pytest.approx(2 / 3)
    assert timing.per(2).ms_p50 == 1.5


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="yardstick"):
        measure({YARDSTICK: steady(1.0)}, steady(1.0), FakeClock(), 1.0)
    with pytest.raises(ValueError, match="budget_s and samples"):
        measure({}, steady(1.0), FakeClock(), 0.0)
    with pytest.raises(ValueError, match="reads must be 1"):
        yardstick(torch.zeros(1), 3)


@pytest.mark.parametrize(("reads", "name", "offset"), [(1, "copy", 0), (2, "add", 1)])
def test_yardsticks_do_what_their_names_say(reads, name, offset):
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    found, call = yardstick(x, reads)
    result = call()
    assert found == name
    assert torch.equal(result, x + offset)
    assert result.stride() == x.stride()


def test_the_canary_is_the_rate_of_a_copy_of_64_mib():
    class Told(FakeClock):
        def round(self, calls, repeats):
            super().round([], repeats)
            return [0.5] * len(calls)

    assert canary(torch.device("cpu"), Told()) == pytest.approx(2 * 2**26 / 0.5e-3 / 1e9)


def test_the_host_clock_times_what_it_runs_and_syncs_inside():
    calls, syncs = [], []
    clock = HostClock(sync=lambda: syncs.append(len(calls)))
    times = clock.round([lambda: calls.append("a"), lambda: calls.append("b")], [3, 2])
    assert calls == ["a", "a", "a", "b", "b"]
    assert syncs == [3, 5]
    assert all(0 < ms < 100 for ms in times)


def test_the_host_clock_measures_milliseconds_per_call():
    started = HostClock().now()
    (ms,) = HostClock().round([lambda: sum(range(20000))], [20])
    elapsed = HostClock().now() - started
    assert 0 < 20 * ms / 1e3 <= elapsed


def test_rounds_in_stays():
    clock, values = FakeClock(warmup_s=0.0), iter(range(1, 99))
    rounds = Rounds({"a": lambda: float(next(values))}, steady(1.0), clock, budget_s=6.0)
    stays = []
    while not rounds.done:
        before = rounds.result()["a"].samples
        rounds.go_on(2.0)
        stays.append(rounds.result()["a"].samples - before)
        clock.seconds += 100  # others' work is not counted
    assert stays == [2, 2, 2]
    rounds.go_on(2.0)
    assert rounds.result()["a"].samples == 6


def test_a_stay_ends_when_the_rounds_are_settled():
    rounds = Rounds({"a": steady(2.0)}, steady(1.0), FakeClock(), budget_s=99.0, samples=5)
    rounds.go_on(50.0)
    assert rounds.done
    assert rounds.result()["a"].samples == 5
