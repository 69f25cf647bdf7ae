"""DTensor, DDP and FSDP2 on two gloo processes; one test, since their start takes longest."""

import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parents[1]
LIMIT_S = 300  # a hundred times what it takes on a machine that has nothing else to do


def outputs(folder):
    """What each process wrote; one that hangs is ended, and its last line says where."""
    files = [(folder / f"rank{rank}.txt") for rank in range(2)]
    processes = []
    for rank, file in enumerate(files):
        command = [sys.executable, "-m", "support.distributed", str(folder / "store"), str(rank)]
        environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
        with file.open("w") as out:
            processes.append(
                subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
            )
    end = time.monotonic() + LIMIT_S
    try:
        while any(p.poll() is None for p in processes) and time.monotonic() < end:
            if any(p.poll() for p in processes):
                break  # the other one would wait for it
            time.sleep(0.05)
        hung = all(p.poll() is None for p in processes)
    finally:
        for p in processes:
            p.kill()
            p.wait()
    texts = [file.read_text(encoding="utf-8") for file in files]
    assert not hung, f"after {LIMIT_S} s the processes were at: {[t[-200:] for t in texts]}"
    return texts


def test_two_processes(tmp_path):
    """Values, gradients and stepped parameters are those of the plain formula in one process."""
    for text in outputs(tmp_path):
        for part in ("DTensor", "DDP", "FSDP2"):
            assert f"passed {part}\n" in text, text[-4000:]
