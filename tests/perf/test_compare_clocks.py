"""Two runs of the whole machinery, compared: by a clock that is made up, and by a real one."""

import math
import random
import time
from collections import Counter

import pytest
import torch

from perf import providers, static
from perf.cases import Case, Shape
from perf.history import load
from perf.ops import ops
from perf.run import Budget
from perf.verdicts import compare
from triton_acts.tuning import timing
from triton_acts.tuning.clocks import HostClock

TINY = Shape("tiny", 0.0, channels=4, side=4)
POINTWISE = [op for op in ops() if op.name != "kaf"]
MANY = [
    Case(op, direction, dtype, TINY)
    for op in POINTWISE
    for direction in ("forward", "backward")
    for dtype in (torch.float32, torch.bfloat16)
]
ROUNDS = 20


class NoisyClock:
    """Calls take 1, 2, 3, ... ms, times what drifts for all of a round, times noise.

    A round lasts a second, and nothing is called.
    """

    warmup_s, min_batch_ms = 0.0, 0.0

    def __init__(self, seed, noise, drift, slow=None):
        self.seconds, self.random = 0.0, random.Random(seed)
        self.noise, self.drift, self.slow = noise, drift, slow or {}

    def now(self):
        return self.seconds

    def round(self, calls, repeats):
        self.seconds += 1
        common = 1 + self.drift * math.sin(self.seconds / 70 + self.random.gauss(0, 0.1))
        return [
            (i + 1) * common * self.slow.get(i, 1) * math.exp(self.random.gauss(0, self.noise))
            for i, _ in enumerate(calls)
        ]


@pytest.fixture(autouse=True)
def no_static(monkeypatch):
    monkeypatch.setattr(static, "kernels", lambda *_: [])


@pytest.fixture
def two_runs(perform, tmp_path):
    """The verdicts by provider on a second run, each with its own clock."""

    def two_runs(selected, clocks, case_s):
        budget = Budget(total_s=300, static_s=0, case_s=case_s)
        folder = tmp_path / f"records{random.random()}"
        ids = [
            perform(selected, clock=clock, budget=budget, records_dir=folder).meta["run_id"]
            for clock in clocks
        ]
        history = load([folder])
        found = {}
        for line in compare(*(history.find(name) for name in ids)).lines:
            found.setdefault(line.provider, Counter())[line.verdict] += 1
        return found

    return two_runs


def test_two_runs_of_a_quiet_machine_are_the_same(two_runs):
    clocks = [NoisyClock(seed, noise=0.015, drift=0.01) for seed in (1, 2)]
    found = sum(two_runs(MANY, clocks, ROUNDS).values(), Counter())
    total = found.total()
    assert total == 3 * len(MANY) == 36
    assert found["SAME"] >= 0.7 * total
    assert found["SAME"] + found["UNCLEAR"] >= 0.95 * total


@pytest.mark.parametrize("seed", range(2))
def test_a_slowdown_of_15_percent_is_found_in_noise_and_drift(two_runs, seed):
    base = NoisyClock(2 * seed, noise=0.02, drift=0.03)
    head = NoisyClock(2 * seed + 1, noise=0.02, drift=0.03, slow={1: 1.15})
    found = two_runs(MANY, (base, head), ROUNDS)
    assert found.pop("triton_acts") == {"SLOW": len(MANY)}
    others = sum(found.values(), Counter())
    assert others["SLOW"] == others["FAST"] == 0
    assert others["SAME"] > 0


@pytest.mark.parametrize("slow", [{0: 1.3, 1: 1.3, 2: 1.3, 3: 1.3}, {1: 1.15, 2: 1.15, 3: 1.15}])
def test_a_machine_that_gets_slower_is_not_taken_for_a_provider(two_runs, slow):
    """All of it, or all that computes while the yardstick only copies."""
    base = NoisyClock(1, noise=0.02, drift=0.0)
    head = NoisyClock(2, noise=0.02, drift=0.0, slow=slow)
    found = sum(two_runs(MANY, (base, head), ROUNDS).values(), Counter())
    assert found["SLOW"] == found["FAST"] == 0


class ProcessorClock(HostClock):
    """The thread's own time: what others do on this machine's processors does not count."""

    def round(self, calls, repeats):
        times = []
        for call, count in zip(calls, repeats, strict=True):
            start = time.thread_time_ns()
            for _ in range(count):
                call()
            times.append((time.thread_time_ns() - start) / count / 1e6)
        return times


def spin(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.alone
def test_a_slowdown_is_found_with_a_real_clock(two_runs, monkeypatch):
    """Of work that takes the time it says: what a neighbour does to real work is no slowdown."""
    seconds = {"triton_acts": 0.010, "eager": 0.015}

    def longer(name):
        plain = providers.PROVIDERS[name]

        def build(case):
            formula = plain(case)

            def work(x, *weights):
                spin(seconds[name])
                return formula(x, *weights)

            return work

        return build

    for name in seconds:
        monkeypatch.setitem(providers.PROVIDERS, name, longer(name))
    monkeypatch.setattr(timing, "yardstick", lambda x, reads: ("copy", lambda: spin(0.010)))
    case = Case(POINTWISE[0], "forward", torch.float32, TINY, providers=tuple(seconds))

    def clocks():
        for factor in (1.0, 1.15):
            seconds["triton_acts"] = 0.010 * factor
            yield ProcessorClock()

    expected = {"triton_acts": {"SLOW": 1}, "eager": {"SAME": 1}}
    found = two_runs([case], clocks(), 2.0)
    if found != expected:  # a machine may stand still for a second
        found = two_runs([case], clocks(), 2.0)
    assert found == expected
