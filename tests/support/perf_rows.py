"""Rows of performance records, made up."""

from perf.history import Run
from triton_acts.tuning.records import RESULTS, RUNS, append


def run_row(run_id, slug="h200", **changes):
    """A row of runs.csv; the last digit of the id is the second in which the run began."""
    row = dict.fromkeys(RUNS.columns) | {
        "run_id": run_id,
        "utc_time": f"2026-01-01T00:00:0{run_id[-1]}Z",
        "commit": "",
        "triton_acts": "",
        "torch": "2.11.0",
        "triton": "",
        "driver": "",
        "gpu_slug": slug,
        "gpu_name": "",
    }
    return row | changes


def result_row(run_id, provider="triton_acts", ms=1.0, **changes):
    """A row of measurements whose samples all took the same time."""
    row = dict.fromkeys(RESULTS.columns) | {
        "run_id": run_id,
        "op": "scaled_sigmoid",
        "variant": "scalar",
        "direction": "forward",
        "provider": provider,
        "dtype": "float32",
        "shape": "2x2",
        "layout": "contiguous",
        "numel": 4,
        "aligned": True,
        "config_source": "",
        "ms_p20": ms,
        "ms_p50": ms,
        "ms_p80": ms,
        "samples": None if ms is None else 20,
        "status": "ok",
    }
    return row | changes


def run_of(run_id, slug="h200", canary=None, **ms):
    """A run with one case: ms by provider."""
    rows = [result_row(run_id, name, value) for name, value in ms.items()]
    return Run(run_row(run_id, slug, canary_gbps=canary), rows)


def save(folder, *runs):
    """Writes runs as records; returns the folder."""
    for run in runs:
        append(folder / "runs.csv", RUNS, [run.meta])
        append(folder / f"{run.gpu}.csv", RESULTS, run.rows)
    return folder


# Each changes one of the columns that tell the cases of `result_row` apart
OTHERS = [
    {"op": "penalized_tanh"},
    {"variant": "per_channel"},
    {"direction": "backward"},
    {"provider": "eager"},
    {"dtype": "bfloat16"},
    {"shape": "4x4"},
    {"layout": "channels_last"},
    {"aligned": False},
]
