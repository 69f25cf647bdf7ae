"""Measures and predicts how fast triton_acts is; `python -m perf --help` lists the commands."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORDS = ROOT / "perf" / "records"  # of GPUs, committed
LOCAL = RECORDS / "local"  # of CPUs and of users' own machines; git ignores it
SEED = 20160217  # of all random inputs
