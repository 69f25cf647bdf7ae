"""Measures and predicts how fast triton_acts is; `python -m perf --help` lists the commands."""
