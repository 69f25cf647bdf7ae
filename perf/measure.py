"""One case on one device: every provider checked, those that agree timed, a row for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from perf import static
from perf.cases import Case
from perf.check import Inputs, make_inputs, reference
from perf.providers import Prepared, prepare
from triton_acts.tuning import inspect, lookup, timing
from triton_acts.tuning.device import Device
from triton_acts.tuning.records import RESULTS, Row
from triton_acts.tuning.timing import YARDSTICK, Clock, Timing

__all__ = ["SEED", "identity", "left_out", "measure_case"]

SEED = 20160217
LAUNCH_BOUND_MS = 0.010


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


@torch.no_grad()
def measure_case(
    case: Case,
    device: Device,
    clock: Clock,
    run_id: str,
    kernels: Sequence[inspect.Row],
    budget_s: float,
) -> list[Row]:
    """Checks every provider against float64, times those that agree, and returns their rows.

    Args:
        case: what to measure.
        device: where.
        clock: times the rounds.
        run_id: goes into the rows.
        kernels: what is known of the kernels' machine code on this GPU; goes into our row.
        budget_s: seconds for the timed rounds.

    Raises:
        torch.OutOfMemoryError: the inputs do not fit.
    """
    inputs = make_inputs(case, device.torch, SEED)
    expected = reference(case, inputs)
    prepared = prepare(case, inputs, expected)
    del expected
    kind, plain = timing.yardstick(inputs.x, *case.reads)
    calls = {name: work.call for name, work in prepared.items() if work.call is not None}
    times = timing.measure(calls, plain, clock, budget_s)
    units = {name: work.calls for name, work in prepared.items()}
    measured = _Measured({name: t.per(units.get(name, 1)) for name, t in times.items()}, kind)
    rows = [_row(case, inputs, device, run_id, YARDSTICK, measured, Prepared(None, 0.0, "ok"))]
    for name, work in prepared.items():
        row = _row(case, inputs, device, run_id, name, measured, work)
        if name == "triton_acts" and device.kind == "gpu":
            row |= _kernel_columns(case, inputs, device, kernels)
        rows.append(row)
    return rows


def left_out(case: Case, run_id: str, reason: str) -> Row:
    """The row of a case that was not measured: a gap is a row, not a silence."""
    return (
        dict.fromkeys(RESULTS.columns)
        | identity(case, run_id)
        | {
            "provider": "triton_acts",
            "status": f"left out: {reason}",
        }
    )


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
            "gbps": gbps,
            "share_of_peak": gbps / device.gpu.dram_gbs if device.gpu else None,
            "yardstick": measured.yardstick,
            "share_of_yardstick": measured.ratio(provider, YARDSTICK) if shared else None,
            "speedup_vs_eager": measured.ratio(provider, "eager"),
            "max_err": work.max_err,
            "status": " ".join(status.split()),
        }
    )


def _kernel_columns(
    case: Case, inputs: Inputs, device: Device, kernels: Sequence[inspect.Row]
) -> Row:
    """What the kernel was launched with, and what its machine code predicts for this GPU."""
    columns: Row = {}
    if case.op.variant == "scalar":
        chosen = lookup.explain(case.op.name, inputs.x, case.direction)
        columns = {
            "config_source": chosen.tier,
            "block": chosen.config.block,
            "elements_per_thread": chosen.config.elements_per_thread,
            "num_warps": chosen.config.num_warps,
        }
    return columns | static.columns_for(case, device.gpu, kernels)
