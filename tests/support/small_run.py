"""`perf.run` of tiny cases on the CPU, with nothing compiled."""

from functools import partial

import torch

from perf import __main__ as perf
from perf import providers, static
from perf.cases import Case, Shape
from perf.ops import ops
from perf.run import Budget, run
from triton_acts.tuning import timing
from triton_acts.tuning.device import Device

CPU = Device(torch.device("cpu"), "cpu", "a CPU", None, 0)
TINY = Shape("tiny", 0.0, channels=4, side=4)


def small_run(monkeypatch, cases=1, case_s=0.02):
    """Lets the command `run` measure so many groups of a case; each gives 5 rows."""
    op = next(op for op in ops() if op.variant == "scalar")
    for name, formula in (("torch.compile", "eager"), ("triton_acts compiled", "ours")):
        made = lambda case, formula=formula: getattr(case.op, formula)  # noqa: E731
        monkeypatch.setitem(providers.PROVIDERS, name, made)
    monkeypatch.setattr(static, "kernels", lambda *_: [])
    monkeypatch.setattr(timing, "canary", lambda device, clock: 99.0)
    monkeypatch.setattr("perf.measure.GROUP_CASES", 1)
    monkeypatch.setattr("perf.run.CHARTS_S", 0.0)
    selected = [Case(op, "forward", torch.float32, TINY)] * cases
    options = {"selected": selected, "architectures": ["sm_90"], "device": CPU}
    budget = Budget(total_s=60, static_s=0, case_s=case_s)
    monkeypatch.setattr(perf, "run", partial(run, budget=budget, **options))
