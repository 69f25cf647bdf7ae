"""The records of a search: a row for every candidate, whatever became of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from torch import Tensor

from .config import Config
from .device import Device
from .jobs import Job
from .predict import predict
from .records import RESULTS, Row
from .screening import Screened
from .search import Found, Trial

__all__ = ["TUNE", "trial_rows"]

TUNE = "tune: "  # how `config_source` begins in these rows


def trial_rows(
    job: Job,
    device: Device,
    run_id: str,
    x: Tensor,
    screened: Sequence[Screened],
    found: Found,
    default: Config,
) -> Iterator[Row]:
    """The rows of one search.

    Args:
        job: what was searched for.
        device: where.
        run_id: goes into the rows.
        x: the scratch input.
        screened: candidates after the static filter.
        found: what the search found.
        default: the analytic config.
    """
    trials = {trial.config: trial for trial in found.trials}
    known = {s.config: s for s in screened}
    for config in dict.fromkeys((*known, *trials)):
        s = known.get(config, Screened(config, None, ""))
        source = "default" if config == default else "candidate"
        row = _row(job, device, x, s, trials.get(config), found)
        row |= {
            "run_id": run_id,
            "config_source": TUNE + source,
            "is_winner": config == found.winner,
            "yardstick": found.yardstick_name,
        }
        yield row


def _row(
    job: Job, device: Device, x: Tensor, screened: Screened, trial: Trial | None, found: Found
) -> Row:
    config, counts, numel = screened.config, screened.counts, x.numel()
    num_bytes = job.variant.tensors * job.dtype.itemsize * numel
    row: Row = dict.fromkeys(RESULTS.columns)
    row |= {
        "op": job.op,
        "variant": job.variant.name,
        "direction": job.variant.direction,
        "provider": "triton_acts",
        "dtype": str(job.dtype).removeprefix("torch."),
        "shape": "x".join(map(str, x.shape)),
        "layout": job.variant.layout,
        "numel": numel,
        "aligned": job.aligned,
        "block": config.block,
        "elements_per_thread": config.elements_per_thread,
        "num_warps": config.num_warps,
        "unroll": config.unroll,
        "bytes": num_bytes,
        "status": f"dropped: {screened.dropped}" if trial is None else trial.status,
    }
    if counts is not None:
        row |= {
            "regs": counts.regs,
            "spills": counts.spill_bytes,
            "instr_per_elt": counts.instr_per_elt,
            "mufu_per_elt": counts.mufu_per_elt,
        }
        if device.gpu is not None:
            predicted = predict(device.gpu, counts, num_bytes, numel, config.num_warps)
            row |= {"predicted_ms": predicted.ms, "predicted_bound": predicted.bound}
    if trial is not None and not math.isnan(trial.timing.ms_p50):
        ms = trial.timing.ms_p50
        gbps = num_bytes / ms / 1e6
        row |= {
            "ms_p20": trial.timing.ms_p20,
            "ms_p50": ms,
            "ms_p80": trial.timing.ms_p80,
            "samples": trial.timing.samples,
            "gbps": gbps,
            "share_of_peak": gbps / device.gpu.dram_gbs if device.gpu else None,
            "share_of_yardstick": found.yardstick.ms_p50 / ms if trial.final else None,
        }
    return row
