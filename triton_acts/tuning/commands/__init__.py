"""One file a command of `python -m triton_acts.tuning`: each has `add` and `run`."""
