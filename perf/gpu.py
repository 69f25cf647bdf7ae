"""`python -m perf gpu`: tests, measurements and the sweep on a machine with a GPU, offline.

Each step is a process of its own with a time limit; what it has written by then stays.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from perf import ROOT
from triton_acts.tuning.device import here

__all__ = ["LIMIT_S", "STEPS", "StepResult", "commands", "main", "run_step", "summary"]

LIMIT_S = 8 * 60.0
MAX_LINES = 120  # of the summary
TAIL = 34  # lines of a step's log that go into it
STEPS = ("test", "tune", "perf", "sweep")
# The folders with tests for a GPU; others import packages that its machine may not have
GPU_TESTS = [f"tests/{name}" for name in ("battery", "faults", "gpus", "kernel_road", "perf")]


@dataclass(frozen=True)
class StepResult:
    """How a step ended.

    Attributes:
        name: the step.
        seconds: its wall-clock time in s.
        failure: "" or why it failed.
        log: where its output is.
    """

    name: str
    seconds: float
    failure: str
    log: Path


def commands(out: Path) -> dict[str, list[str]]:
    """What each step runs.

    Few files come of it in `out`: summary.txt, test.log, steps.log, runs.csv, <slug>.csv,
    static.csv, report.md, sweep.csv, and in configs/ the block sizes that tune chose, which perf
    then measures.
    """
    python = sys.executable
    tune = [python, "-m", "triton_acts.tuning", "tune", "--records", str(out), "--exhaustive"]
    tune += ["--budget", "270"]  # what follows has to fit the limit, too
    return {
        "test": [python, "-m", "pytest", *GPU_TESTS, "-m", "gpu", "-q"],
        "tune": tune,
        "perf": [python, "-m", "perf", "run", "--records", str(out), "--report", str(out)],
        "sweep": [python, "-m", "perf", "sweep", "--csv", str(out / "sweep.csv")],
    }


def main(out: Path, steps: str) -> int:
    """Runs the steps, comma-separated in `steps`; their results go to the folder `out`.

    Returns:
        0 if all steps passed, 1 if one failed, 2 if they cannot run here.
    """
    names = [name.strip() for name in steps.split(",") if name.strip()]
    unknown = [name for name in names if name not in STEPS]
    if unknown or not names:
        given = ", ".join(unknown) or "none"
        print(f"gpu: unknown steps: {given}; allowed are {', '.join(STEPS)}", file=sys.stderr)
        return 2
    if not torch.cuda.is_available():
        print(
            f"gpu: no GPU: torch {torch.__version__} finds none here. On this machine use "
            "'make test' and 'make perf', which need no GPU.",
            file=sys.stderr,
        )
        return 2
    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for name in names:
        log = out / ("test.log" if name == "test" else "steps.log")
        results.append(run_step(name, commands(out)[name], log, LIMIT_S))
        text = "\n".join(summary(results, _machine()))
        (out / "summary.txt").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 1 if any(result.failure for result in results) else 0


def run_step(name: str, command: Sequence[str], log: Path, limit_s: float) -> StepResult:
    """Runs a command, its output appended to `log` as it comes; kills all of it at the limit."""
    print(f"step {name}: {' '.join(command)}", flush=True)
    begin = time.monotonic()
    configs = {"TRITON_ACTS_CONFIG_DIR": str(log.parent / "configs")}
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **configs}
    with log.open("ab", buffering=0) as file:
        file.write(f"{_mark(name)}\n".encode())
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=limit_s)
            failure = f"exit code {code}" if code else ""
        except subprocess.TimeoutExpired:
            failure = f"killed after {limit_s:.0f} s"
        finally:
            _kill(process)
    seconds = time.monotonic() - begin
    print(f"step {name}: {failure or 'passed'} after {seconds:.0f} s", flush=True)
    return StepResult(name, seconds, failure, log)


def summary(results: Sequence[StepResult], machine: Mapping[str, str]) -> list[str]:
    """At most `MAX_LINES` lines: the machine, how each step ended, and the end of its output."""
    lines = [f"{name}: {value}" for name, value in machine.items()]
    for result in results:
        outcome = f"FAILED ({result.failure})" if result.failure else "passed"
        lines += ["", f"== {result.name}: {outcome}, {result.seconds:.0f} s"]
        tail = _output_of(result)[-TAIL:]
        lines += [line if len(line) <= 200 else line[:197] + "..." for line in tail]
    return lines[:MAX_LINES]


def _output_of(result: StepResult) -> list[str]:
    """The lines that a step wrote, from the last mark of it to the next step's."""
    text = result.log.read_text(encoding="utf-8", errors="replace")
    own = text.rsplit(f"{_mark(result.name)}\n", 1)[-1]
    return re.split(r"^== step \w+$", own, maxsplit=1, flags=re.M)[0].splitlines()


def _mark(name: str) -> str:
    return f"== step {name}"


def _machine() -> dict[str, str]:
    device = here()
    return {
        "GPU": f"{device.name} ({device.slug})",
        "torch": str(torch.__version__),
        "python": sys.version.split()[0],
        "UTC": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends a step and everything that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()
