"""A command as a process that signals can reach, on a CPU that is called a GPU.

interruptible.py tune [OPTION ...]    python -m triton_acts.tuning tune; needs TRITON_INTERPRET=1
interruptible.py perf [OPTION ...]    python -m perf run
"""

import signal
import sys
import time
from functools import partial

import pytest
import torch
from support.fake_tuning import FakeClock, note_runs, toy_device
from support.small_run import small_run

from perf import __main__ as perf
from triton_acts.tuning import __main__ as tuning
from triton_acts.tuning import timing
from triton_acts.tuning.commands import tune as command
from triton_acts.tuning.jobs import jobs
from triton_acts.tuning.tuner import tune


class SlowClock(FakeClock):
    """A key takes about 0.1 s, so that signals come while one is measured."""

    def round(self, calls, repeats):
        time.sleep(0.01)
        return super().round(calls, repeats)


def main(name, *options):
    """Runs the command."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has it ignored
    patch = pytest.MonkeyPatch()
    if name == "perf":
        small_run(patch, cases=500, case_s=0.05)
        return perf.main(["run", "--quick", *options])
    clock = SlowClock(lambda *_: 1.0)
    note_runs(patch, clock)
    patch.setattr(timing, "canary", lambda device, clock: 99.0)
    patch.setattr(command, "_obstacle", lambda gpu: ("", 0))
    patch.setattr(command, "here", toy_device)
    patch.setattr(command, "tune", partial(tune, clock=clock))
    todo = jobs(["scaled_sigmoid"], [torch.bfloat16], [10, 9, 8, 7]) * 50
    patch.setattr(command, "jobs", lambda ops: todo)
    return tuning.main(["tune", *options])


sys.exit(main(*sys.argv[1:]))
