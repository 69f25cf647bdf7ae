"""What tests of training steps share."""

import pytest
import torch

from perf.models import Step
from triton_acts.tuning.device import Device

CPU = Device(torch.device("cpu"), "cpu", "a CPU", None, 0)
MLP = Step("mlp", "eager", 8, 16)
CNN = Step("cnn", "eager", 4, 2)
NAMES = ["relu", "penalized_tanh", "kaf", "kaf as published"]


@pytest.fixture(autouse=True)
def one_thread():
    """On a busy machine threads that wait for each other turn milliseconds into seconds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class InOrder:
    """A clock: the calls of a round take 1, 2, 3, ... ms in their order."""

    warmup_s, min_batch_ms = 0.0, 0.0

    def __init__(self):
        self.seconds = 0.0

    def now(self):
        return self.seconds

    def round(self, calls, repeats):
        self.seconds += 1
        for call in calls:
            call()
        return [float(i + 1) for i, _ in enumerate(calls)]


def raising(problem, calls=0):
    """An activation whose forward raises after so many calls; a step of the MLP makes two."""

    class Raising(torch.nn.ReLU):
        left = calls

        def forward(self, x):
            Raising.left -= 1
            if Raising.left < 0:
                raise problem
            return super().forward(x)

    return lambda _channels: Raising()
