"""The memory that forward and backward need beyond their inputs.

On a GPU its allocator says. On a CPU `python -m perf.memory CASE PROVIDER` measures one provider in
a process of its own, in which nothing else has left memory to reuse, and prints bytes. Linux says
what a process has had at most; elsewhere nothing is measured.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from dataclasses import asdict, replace

import torch

from perf import ROOT, SEED
from perf.cases import Case, Shape
from perf.check import make_inputs
from perf.measure import identity
from perf.ops import Formula, ops
from perf.providers import PROVIDERS, one_line
from perf.resident import STATUS, allocated, release_at_once, resident
from triton_acts.tuning.records import RESULTS, Row

__all__ = ["growth", "measure_memory"]

LIMIT_S = 60.0


def measure_memory(case: Case, run_id: str, device: torch.device) -> list[Row]:
    """The rows of a case's providers; `bytes` is what forward and backward need at most."""
    if device.type != "cpu":
        return [_on_gpu(case, run_id, device, name) for name in case.providers]
    return _on_cpu(case, run_id)


def _on_gpu(case: Case, run_id: str, device: torch.device, provider: str) -> Row:
    row = dict.fromkeys(RESULTS.columns) | identity(case, run_id) | {"provider": provider}
    try:
        formula = PROVIDERS[provider](case)
        inputs = _leaves(case, device)
        _train(case, formula, inputs)  # compiles, loads, and fills what is kept between calls
        found = allocated(lambda: _train(case, formula, inputs), device)
    except Exception as problem:
        return row | {"bytes": None, "status": f"failed: {one_line(problem)}"}
    return row | {"bytes": found, "status": "ok"}


def _on_cpu(case: Case, run_id: str) -> list[Row]:
    """Measured side by side, each in a process of its own."""
    base = dict.fromkeys(RESULTS.columns) | identity(case, run_id) | {"bytes": None}
    if not STATUS.exists():
        reason = f"not available: there is no {STATUS} here"
        return [base | {"provider": name, "status": reason} for name in case.providers]
    command = [sys.executable, "-m", "perf.memory", _encode(case)]
    started = {
        name: subprocess.Popen(
            [*command, name], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in case.providers
    }
    rows = []
    try:
        for name, process in started.items():
            found, status = _result(process)
            rows.append(base | {"provider": name, "bytes": found, "status": status})
    finally:
        for process in started.values():
            process.kill()
    return rows


def _result(process: subprocess.Popen[str]) -> tuple[int | None, str]:
    """Bytes and "ok", or None and the reason."""
    try:
        output, errors = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return None, f"failed: no answer within {LIMIT_S:.0f} s"
    if process.returncode:
        last = (errors.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return None, f"failed: {last}"
    return int(output), "ok"


def growth(case: Case, formula: Formula) -> int:
    """Bytes by which one forward and backward raise this process's peak of resident memory.

    A first call on one batch entry loads what only a first call loads.
    """
    _train(replace(case, shape=replace(case.shape, mib=0.0)), formula)
    inputs = _leaves(case)
    gc.collect()
    before = resident("VmRSS")
    _train(case, formula, inputs)
    return max(0, resident("VmHWM") - before)


def _leaves(
    case: Case,
    device: torch.device = torch.device("cpu"),  # noqa: B008 (a constant)
) -> tuple[torch.Tensor, ...]:
    """The gradient of y, then what gets a gradient."""
    inputs = make_inputs(case, device, SEED)
    return inputs.g, *(t.requires_grad_() for t in (inputs.x, *inputs.weights))


def _train(case: Case, formula: Formula, inputs: tuple[torch.Tensor, ...] = ()) -> None:
    g, *leaves = inputs or _leaves(case)
    y = formula(*leaves)
    torch.autograd.grad(y, leaves, g)


def _encode(case: Case) -> str:
    """What another process needs to know of a case."""
    dtype = str(case.dtype).removeprefix("torch.")
    return json.dumps([case.op.name, case.op.variant, dtype, asdict(case.shape)])


def _decode(text: str) -> Case:
    name, variant, dtype, shape = json.loads(text)
    (op,) = (op for op in ops() if (op.name, op.variant) == (name, variant))
    return Case(op, "forward+backward", getattr(torch, dtype), Shape(**shape))


if __name__ == "__main__":
    release_at_once()
    torch.set_num_threads(1)  # processes side by side would wait for each other's threads
    selected = _decode(sys.argv[1])
    print(growth(selected, PROVIDERS[sys.argv[2]](selected)))
