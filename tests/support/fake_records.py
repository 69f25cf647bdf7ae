"""Records as three devices would leave them, from a few made-up numbers: for looking at reports.

`python -m support.fake_records DIR` writes them, in the folder `tests`.
"""

import random
import sys
from pathlib import Path

import torch

from perf.cases import BOTH, DIRECTIONS, PEAK_MEMORY, Case, cases, kaf_rows
from perf.measure import identity, left_out
from perf.ops import kaf_op
from perf.peers import peers_of
from triton_acts import gpus
from triton_acts.tuning import records
from triton_acts.tuning.config import Config
from triton_acts.tuning.jobs import jobs
from triton_acts.tuning.records import RESULTS, RUNS
from triton_acts.tuning.trial_rows import TUNE

# name, copy GB/s, ms of a launch, UTC time, tuned or not
DEVICES = {
    "h200": ("NVIDIA H200", 4250.0, 0.003, "20260301T101500Z", True),
    "mi300x": ("AMD Instinct MI300X", 4100.0, 0.006, "20260302T111500Z", True),
    "cpu": ("A CPU, 8 threads", 20.0, 0.02, "20260303T121500Z", False),
}
SPEED = {  # relative to a copy: pointwise, KAF
    "yardstick": (1.0, 1.0),
    "triton_acts": (0.96, 0.9),
    "eager": (0.45, 0.012),
    "torch.compile": (0.9, 0.2),
    "triton_acts compiled": (0.97, 0.92),
}
STEP_MS = {"relu": 10.0, "penalized_tanh": 10.6, "kaf": 13.5, "kaf as published": 88.0}


def write(folder, slugs=tuple(DEVICES)):
    """Writes the records of some of the devices; returns the folder."""
    for slug in slugs:
        name, copy, launch, stamp, tuned = DEVICES[slug]
        run = _run(slug, name, copy, stamp)
        rows = [*_measured(slug, run["run_id"], copy, launch), *_training(run["run_id"], slug)]
        if tuned:
            rows += _tuned(slug, run["run_id"], copy)
        records.append(folder / "runs.csv", RUNS, [run])
        records.append(folder / f"{slug}.csv", RESULTS, rows)
    return folder


def _run(slug, name, copy, stamp):
    day, clock = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}", f"{stamp[9:11]}:{stamp[11:13]}"
    return dict.fromkeys(RUNS.columns) | {
        "run_id": f"{stamp}-{slug}-abc123",
        "utc_time": f"{day}T{clock}:00Z",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "triton_acts": "0.1.0",
        "python": "3.12.1",
        "torch": "2.13.0",
        "triton": "3.7.1",
        "driver": "" if slug == "cpu" else "570.1",
        "gpu_slug": slug,
        "gpu_name": name,
        "canary_gbps": copy,
        "flush_bytes": 0 if slug == "cpu" else 2**29,
        "seed": 1,
        "argv": "run",
    }


def _measured(slug, run_id, copy, launch):
    """The rows of the real list of cases, which is shuffled nowhere."""
    dice = random.Random(slug)
    listed = cases("cpu" if slug == "cpu" else "gpu", quick=False)
    listed += [Case(kaf_op(), BOTH, torch.float32, kaf_rows(16), PEAK_MEMORY)]
    for case in dict.fromkeys(listed):
        if case.mode == PEAK_MEMORY:
            yield from _peaks(case, run_id)
        elif case.dtype == torch.float16 and case.shape.name == "1 GiB":
            yield left_out(case, run_id, "out of time")
        else:
            yield from _timed(case, slug, run_id, copy, launch, dice)


def _timed(case, slug, run_id, copy, launch, dice):
    base = dict.fromkeys(RESULTS.columns) | identity(case, run_id)
    gpu = gpus.constants(slug)
    plain = launch + case.bytes / copy / 1e6
    eager = launch + case.bytes / copy / 1e6 / SPEED["eager"][case.op.name == "kaf"]
    peers = [peer.name for peer in peers_of(case.op)] if case.peers else []
    for provider in ("yardstick", *case.providers, *peers):
        speed = SPEED.get(provider, (0.85, 0.85))[case.op.name == "kaf"]
        nodes = int(case.op.variant[1:]) if case.op.name == "kaf" else 20
        slower = 1 if provider == "yardstick" else 0.8 + nodes / 100
        ms = (launch + case.bytes / copy / 1e6 / speed * slower) * dice.uniform(0.98, 1.02)
        row = base | {
            "provider": provider,
            "aligned": True,
            "ms_p20": 0.97 * ms,
            "ms_p50": ms,
            "ms_p80": 1.05 * ms,
            "samples": 20,
            "gbps": case.bytes / ms / 1e6,
            "yardstick": "copy",
            "share_of_yardstick": plain / ms if case.mode == "device" else None,
            "speedup_vs_eager": eager / ms if {"eager", provider} <= {*case.providers} else None,
            "max_err": 0.6,
            "status": "ok",
        }
        if provider in peers:
            row["status"] = "ok: different work, sigmoid(x)"
        one_kernel = case.direction in DIRECTIONS
        if provider == "triton_acts" and gpu and case.mode == "device" and one_kernel:
            predicted = max(0.003, case.bytes / gpu.dram_gbs / 1e6)
            row |= {"predicted_ms": predicted, "predicted_bound": "dram", "regs": 32, "spills": 0}
            row |= {"block": 1024, "elements_per_thread": 8, "num_warps": 4, "unroll": 1}
            row |= {"config_source": "shipped"}
        if provider == "torch.compile" and case.dtype == torch.float16 and slug == "mi300x":
            row |= {"status": "not available: no compiler", "ms_p50": None}
            row |= dict.fromkeys(("ms_p20", "ms_p80", "samples", "gbps", "share_of_yardstick"))
            row |= {"speedup_vs_eager": None}
        yield row


def _peaks(case, run_id):
    times_x = {"triton_acts": 2.0, "eager": 61.0 if case.op.name == "kaf" else 5.0}
    for provider in case.providers:
        num_bytes = int(times_x.get(provider, 3.0) * case.numel * case.dtype.itemsize)
        row = dict.fromkeys(RESULTS.columns) | identity(case, run_id)
        yield row | {"provider": provider, "bytes": num_bytes, "status": "ok"}


def _training(run_id, slug):
    slow = 20.0 if slug == "cpu" else 1.0
    for model, shape in (("cnn", "64x3x32x32"), ("mlp", "4096x1024")):
        for mode in ("eager", "compiled"):
            variant = f"{model}/{mode}"
            for activation, ms in STEP_MS.items():
                step = ms * slow * (0.7 if mode == "compiled" else 1) * (2 if model == "mlp" else 1)
                row = dict.fromkeys(RESULTS.columns) | {
                    "run_id": run_id,
                    "op": "training step",
                    "variant": variant,
                    "direction": BOTH,
                    "provider": activation,
                    "dtype": "float32",
                    "shape": shape,
                    "layout": "contiguous",
                    "numel": 196608 if model == "cnn" else 4096 * 1024,
                    "status": "ok",
                }
                yield row | {
                    "ms_p20": 0.98 * step,
                    "ms_p50": step,
                    "ms_p80": 1.03 * step,
                    "samples": 20,
                }
                peak = {"variant": f"{variant}/{PEAK_MEMORY}", "bytes": int(2**20 * 20 * ms)}
                yield row | peak


def _tuned(slug, run_id, copy):
    """Every warp and block of some keys; a program with 2048 elements and 4 warps is best."""
    warp_size = gpus.constants(slug).warp_size
    found = jobs(
        ("scaled_sigmoid", "penalized_tanh", "kaf"),
        (torch.bfloat16, torch.float32),
        octaves=(24, 20),
    )
    for job in (job for job in found if job.aligned):
        best, rows = None, []
        for elements in (2, 4, 8, 16, 32):
            for num_warps in (1, 2, 4, 8):
                config = Config(elements, num_warps, warp_size=warp_size)
                off = abs(config.block.bit_length() - 12) + 0.5 * abs(num_warps.bit_length() - 3)
                numel = 1 << job.octave
                num_bytes = job.variant.tensors * job.dtype.itemsize * numel
                ms = num_bytes / copy / 1e6 * (1 + 0.12 * off)
                row = dict.fromkeys(RESULTS.columns) | {
                    "run_id": run_id,
                    "op": job.op,
                    "variant": job.variant.name,
                    "direction": job.variant.direction,
                    "provider": "triton_acts",
                    "dtype": str(job.dtype).removeprefix("torch."),
                    "shape": str(numel),
                    "layout": job.variant.layout,
                    "numel": numel,
                    "aligned": job.aligned,
                    "block": config.block,
                    "elements_per_thread": elements,
                    "num_warps": num_warps,
                    "unroll": 1,
                    "config_source": f"{TUNE}candidate",
                    "is_winner": False,
                    "ms_p20": ms,
                    "ms_p50": ms,
                    "ms_p80": ms,
                    "samples": 20,
                    "bytes": num_bytes,
                    "status": "ok",
                }
                if elements == 32 and num_warps == 8:
                    row |= {"status": "dropped: spills"}
                    row |= dict.fromkeys(("ms_p20", "ms_p50", "ms_p80", "samples"))
                elif best is None or ms < best["ms_p50"]:
                    best = row
                rows.append(row)
        best["is_winner"] = True
        yield from rows


if __name__ == "__main__":
    write(Path(sys.argv[1]))
