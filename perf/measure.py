"""Cases on one device: every provider checked, those that agree timed, a row for each.

Cases whose tensors fit in memory together are timed in turn, `VISITS` short stays each: what
disturbs the machine for seconds then falls on a part of a case's rounds, not on all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from perf import SEED, static
from perf.cases import DIRECTIONS, Case
from perf.check import Inputs, make_inputs, reference
from perf.ops import channel_dim
from perf.providers import Prepared, one_line, prepare
from triton_acts.tuning import inspect, lookup, timing
from triton_acts.tuning.clocks import Clock
from triton_acts.tuning.device import Device
from triton_acts.tuning.records import RESULTS, Row
from triton_acts.tuning.timing import MIN_ROUNDS, YARDSTICK, Rounds, Timing

__all__ = ["Session", "groups", "identity", "left_out", "not_measured", "take_turns"]

LAUNCH_BOUND_MS = 0.010
VISITS = 8
GROUP_BYTES = 3 * 2**30  # of cases that are timed in turn; a larger case has its turns alone
GROUP_CASES = 16  # whatever is prepared stays allocated, and compiled, for all of a group's time


@dataclass(frozen=True)
class _Measured:
    """The timings of a case by provider, in ms for one unit of work."""

    times: dict[str, Timing]
    yardstick: str

    def ratio(self, provider: str, other: str) -> float:
        """Speed of a provider relative to another one of the same rounds; NaN if unknown."""
        if provider not in self.times or other not in self.times:
            return math.nan
        return self.times[other].ms_p50 / self.times[provider].ms_p50


def groups(cases: Sequence[Case]) -> Iterator[list[Case]]:
    """Neighbours that are timed in turn: by the same clock, and with tensors of `GROUP_BYTES`."""
    group: list[Case] = []
    size = 0
    for case in cases:
        full = len(group) == GROUP_CASES or size + case.footprint > GROUP_BYTES
        if group and (full or case.mode != group[0].mode):
            yield group
            group, size = [], 0
        group.append(case)
        size += case.footprint
    if group:
        yield group


class Session:
    """A case whose providers are checked and warm.

    Args:
        case: what to measure.
        device: where.
        clock: times the rounds.
        budget_s: seconds for the timed rounds, in `VISITS` stays.

    Raises:
        torch.OutOfMemoryError: the inputs do not fit.
    """

    failure = ""  # why the rounds ended before their time

    @torch.no_grad()
    def __init__(self, case: Case, device: Device, clock: Clock, budget_s: float) -> None:
        self.case, self._device = case, device
        self._inputs = make_inputs(case, device.torch, SEED)
        expected = reference(case, self._inputs)
        self._prepared = prepare(case, self._inputs, expected)
        del expected
        self._yardstick, plain = timing.yardstick(self._inputs.x, *case.reads)
        calls = {name: work.call for name, work in self._prepared.items() if work.call}
        self._rounds, self._stay_s = Rounds(calls, plain, clock, budget_s), budget_s / VISITS

    @property
    def done(self) -> bool:
        """Whether there is nothing left to time."""
        return bool(self.failure) or self._rounds.done

    @property
    def worth_keeping(self) -> bool:
        """Whether its rows say something, though it may not be done."""
        return self.done or self._rounds.count >= MIN_ROUNDS

    @torch.no_grad()
    def stay(self) -> None:
        """Times some rounds; what goes wrong is the `failure` of this case alone."""
        try:
            self._rounds.go_on(self._stay_s)
        except Exception as problem:
            self.failure = one_line(problem)

    def rows(self, run_id: str, kernels: Sequence[inspect.Row]) -> list[Row]:
        """A row for the yardstick and for each provider, or one that says what went wrong.

        Args:
            run_id: goes into the rows.
            kernels: what is known of the kernels' machine code on this GPU; goes into our row.
        """
        try:
            rows = [] if self.failure else self._rows(run_id, kernels)
        except Exception as problem:
            self.failure = one_line(problem)
        if self.failure:
            return [not_measured(self.case, run_id, f"failed: {self.failure}")]
        return rows

    def _rows(self, run_id: str, kernels: Sequence[inspect.Row]) -> list[Row]:
        units = {name: work.calls for name, work in self._prepared.items()}
        times = {name: t.per(units.get(name, 1)) for name, t in self._rounds.result().items()}
        measured = _Measured(times, self._yardstick)
        place = self.case, self._inputs, self._device
        rows = []
        for name, work in {YARDSTICK: Prepared(None, 0.0, "ok"), **self._prepared}.items():
            row = _row(*place, run_id, name, measured, work)
            if name == "triton_acts" and self._device.kind == "gpu":
                row |= _kernel_columns(*place, kernels)
            rows.append(row)
        return rows


def take_turns(sessions: Sequence[Session], done: Callable[[Session], None]) -> None:
    """Times each session until it is done, a stay at a time, the others in between.

    Args:
        sessions: of one group.
        done: called with each as soon as it is done.
    """
    going = list(sessions)
    while going:
        for session in tuple(going):
            if not session.done:
                session.stay()
            if session.done:
                going.remove(session)
                done(session)


def left_out(case: Case, run_id: str, reason: str) -> Row:
    """The row of a case that was not begun."""
    return not_measured(case, run_id, f"left out: {reason}")


def not_measured(case: Case, run_id: str, status: str) -> Row:
    """The row of a case without a time: a gap is a row, not a silence."""
    row = dict.fromkeys(RESULTS.columns) | identity(case, run_id)
    return row | {"provider": "triton_acts", "status": " ".join(status.split())}


def identity(case: Case, run_id: str) -> Row:
    """The columns that say what a case is."""
    return {
        "run_id": run_id,
        "op": case.op.name,
        "variant": case.op.variant + ("" if case.mode == "device" else f"/{case.mode}"),
        "direction": case.direction,
        "dtype": str(case.dtype).removeprefix("torch."),
        "shape": "x".join(map(str, case.sizes)),
        "layout": case.shape.layout,
        "numel": case.numel,
        "bytes": case.bytes,
    }


def _row(
    case: Case,
    inputs: Inputs,
    device: Device,
    run_id: str,
    provider: str,
    measured: _Measured,
    work: Prepared,
) -> Row:
    """One row of the results file; what does not apply stays empty."""
    timed = measured.times.get(provider, timing.summarise((), error="not timed"))
    status = work.status
    if status == "ok" and timed.error:
        status = f"failed: {timed.error}"
    elif status == "ok" and device.kind == "gpu" and timed.ms_p50 < LAUNCH_BOUND_MS:
        status = "ok: launch-bound"
    gbps = case.bytes / timed.ms_p50 / 1e6
    same_work = provider in case.providers  # neither a peer's nor the yardstick's
    shared = case.mode == "device"  # elsewhere the yardstick is not timed the same way
    return (
        dict.fromkeys(RESULTS.columns)
        | identity(case, run_id)
        | {
            "provider": provider,
            "aligned": inputs.x.data_ptr() % 16 == 0,
            "ms_p20": timed.ms_p20,
            "ms_p50": timed.ms_p50,
            "ms_p80": timed.ms_p80,
            "samples": timed.samples,
            "gbps": gbps,
            "share_of_peak": gbps / device.gpu.dram_gbs if device.gpu else None,
            "yardstick": measured.yardstick,
            "share_of_yardstick": measured.ratio(provider, YARDSTICK) if shared else None,
            "speedup_vs_eager": measured.ratio(provider, "eager") if same_work else None,
            "max_err": work.max_err,
            "status": " ".join(status.split()),
        }
    )


def _kernel_columns(
    case: Case, inputs: Inputs, device: Device, kernels: Sequence[inspect.Row]
) -> Row:
    """What the kernel was launched with, and what its machine code predicts for this GPU.

    None for two kernels after each other. The machine code is that of the default config, so a
    launch with another one leaves its columns empty.
    """
    if case.direction not in DIRECTIONS:
        return {}
    weight = case.op.weight
    chosen = lookup.explain(
        case.op.name,
        inputs.x,
        case.direction,
        channel_dim=None if weight is None else channel_dim(inputs.x.dim()),
        num_nodes=weight.row[0] if weight is not None and weight.row else None,
    )
    config = chosen.config
    counted = [kernel for kernel in kernels if kernel.config == config]
    return {
        "config_source": chosen.tier,
        "block": config.block,
        "elements_per_thread": config.elements_per_thread,
        "num_warps": config.num_warps,
        "unroll": config.unroll,
        **static.columns_for(case, device.gpu, counted),
    }
