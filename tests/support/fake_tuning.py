"""A clock, a bench and a device for the search: no kernel, no time and no GPU is needed."""

import random

import torch

from triton_acts import gpus
from triton_acts.tuning.bench import Scratch
from triton_acts.tuning.device import Device


class FakeClock:
    """Says how long a config takes; what ran in a round is what benches noted in `ran`.

    `ms` maps a config, or None for the yardstick, and the round's number to ms. Rounds are real
    calls. A round lasts `round_s` of the clock's seconds.
    """

    min_batch_ms = 0.0
    warmup_s = 0.0

    def __init__(self, ms, round_s=0.001):
        self.ms, self.round_s = ms, round_s
        self.seconds = 0.0
        self.ran = None
        self.rounds = []  # what ran, in order

    def now(self):
        return self.seconds

    def round(self, calls, repeats):
        self.seconds += self.round_s
        ran = []
        for call in calls:
            self.ran = None
            call()
            ran.append(self.ran)
        self.rounds.append(ran)
        return [self.ms(config, len(self.rounds)) for config in ran]


class FakeBench:
    """Notes what runs; `faults` say what a call raises, `wrong` what a check finds, by config."""

    def __init__(self, clock, faults=None, wrong=None, reads=1):
        self.x, self.reads = torch.zeros(4), reads
        self.clock, self.faults, self.wrong = clock, faults or {}, wrong or {}
        self.calls, self.checked = {}, []

    def run(self, config):
        self.clock.ran = config
        self.calls[config] = self.calls.get(config, 0) + 1
        first, error = self.faults.get(config, (0, None))
        if error is not None and self.calls[config] >= first:
            raise error

    def check(self, config):
        self.checked.append(config)
        fault = self.wrong.get(config, "")
        if isinstance(fault, Exception):
            raise fault
        return fault


def jittered(ms, share, seed):
    """Times by config with normal noise, the yardstick at 1 ms."""
    noise = random.Random(seed)
    return lambda config, _: (1.0 if config is None else ms[config]) * noise.gauss(1.0, share)


def steady(ms):
    """Times by config without noise, the yardstick at 1 ms."""
    return lambda config, _: 1.0 if config is None else ms[config]


def note_runs(monkeypatch, clock, faults=None):
    """Real benches note their configs for the clock; a kernel runs once for each config."""
    seen = set()

    def run(self, config):
        clock.ran = config
        if faults and config in faults:
            raise faults[config]
        if (id(self.x), config) not in seen:
            seen.add((id(self.x), config))
            self.launch(config)

    monkeypatch.setattr(Scratch, "run", run)


def toy_device(slug="toy-gpu", gpu="h200"):
    """The CPU, under another name and with the constants of a GPU."""
    return Device(torch.device("cpu"), slug, "Toy GPU", gpus.constants(gpu), 0)


def only(todo, *directions, aligned=True):
    """The jobs of some directions that are aligned, or not."""
    return [job for job in todo if job.aligned == aligned and job.variant.direction in directions]
