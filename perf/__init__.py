"""Measures and predicts how fast triton_acts is; `python -m perf --help` lists the commands."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
