"""The memory that a training step needs beyond weights, momentum and inputs.

On a GPU its allocator says. On a CPU a process of its own measures it, as in `perf.memory`.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection

import torch

from perf.models import Step, Training
from perf.providers import one_line
from perf.resident import STATUS, allocated, release_at_once, resident

__all__ = ["growth", "peak"]

LIMIT_S = 60.0  # of the process


def peak(
    step: Step, activation: str, training: Callable[[], object], device: torch.device
) -> tuple[int | None, str]:
    """Bytes and "ok", or None and the reason.

    Args:
        step: which model, and how large.
        activation: a key of `ACTIVATIONS`.
        training: both of them, after a first step; a GPU makes another one.
        device: where.
    """
    return _elsewhere(step, activation) if device.type == "cpu" else _allocated(training, device)


def _allocated(training: Callable[[], object], device: torch.device) -> tuple[int | None, str]:
    try:
        return allocated(training, device), "ok"
    except Exception as problem:
        return None, f"failed: {one_line(problem)}"


def _elsewhere(step: Step, activation: str) -> tuple[int | None, str]:
    """`growth` in a process of its own, a fork of one that has imported torch and done nothing."""
    if not STATUS.exists():
        return None, f"not available: there is no {STATUS} here"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "torch._dynamo"])  # an optimizer's import: 1.5 s
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_growth, args=(sender, step, activation))
    process.start()
    sender.close()
    try:
        if not receiver.poll(LIMIT_S):
            return None, f"failed: no answer within {LIMIT_S:.0f} s"
        found: tuple[int | None, str] = receiver.recv()
    except EOFError:
        process.join()
        return None, f"failed: exit code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()
    return found


def _send_growth(sender: Connection, step: Step, activation: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends this one
    try:
        release_at_once()
        sender.send((growth(step, activation), "ok"))
    except Exception as problem:
        sender.send((None, f"failed: {one_line(problem)}"))


def growth(step: Step, activation: str) -> int:
    """Bytes by which one step raises this process's peak of resident memory.

    A first step on two inputs loads what only a first step loads, and makes the momentum.
    """
    torch.set_num_threads(1)  # as `perf.memory` does; a fork has none to start with
    training = Training(step, activation, torch.device("cpu"))
    training(2)
    before = resident("VmRSS")
    training()
    return max(0, resident("VmHWM") - before)
