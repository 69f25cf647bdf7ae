"""One mutant against the tests, in a fork of a process that has imported what takes long."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["KILLED", "SURVIVED", "UNUSABLE", "Result", "trial", "warm_up"]

KILLED, SURVIVED, UNUSABLE = "killed", "survived", "unusable"
_CODES = {0: SURVIVED, 10: KILLED, 11: UNUSABLE}
_CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL)
_STALL_S = 20  # of one test; the longest takes 4 s
_PATIENCE = 5  # tests that raise something else, before a mutant counts as one that cannot run


@dataclass(frozen=True)
class Result:
    """What became of a mutant.

    Attributes:
        verdict: `KILLED` where a test's assertion failed, `SURVIVED` where all tests passed, and
            `UNUSABLE` where nothing was asserted: it does not compile, crashes or does not end.
        detail: the test that failed, or what went wrong.
        seconds: wall-clock time in s.
        crashed: whether a signal ended it that was not one of this module.
    """

    verdict: str
    detail: str
    seconds: float
    crashed: bool = False


def warm_up() -> None:
    """Imports what a trial needs and no mutant changes; forks inherit it."""
    import numpy  # noqa: F401
    import torch
    import torch._dynamo
    import torch.testing
    import triton.language  # noqa: F401
    from triton.runtime import interpreter  # noqa: F401

    torch.set_num_threads(1)


def trial(checkout: Path, tests: Sequence[str], limit_s: float) -> Result:
    """Runs tests of a checkout in a fork of this process.

    Args:
        checkout: holds the mutated package and the tests.
        tests: pytest's arguments, relative to it.
        limit_s: seconds after which a trial is `UNUSABLE`.
    """
    begin = time.monotonic()
    log = checkout / "trial.log"
    child = os.fork()
    if not child:
        _run(checkout, tests, log)  # does not return
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        seconds = time.monotonic() - begin
        if pid:
            break
        if seconds > limit_s:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Result(UNUSABLE, f"no end within {limit_s:.0f} s", seconds)
        time.sleep(0.02)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM:
        return Result(UNUSABLE, f"a test without end in {_STALL_S} s", seconds)
    if os.WIFSIGNALED(status):
        return Result(UNUSABLE, f"signal {os.WTERMSIG(status)}", seconds, crashed=True)
    code = os.WEXITSTATUS(status)
    if code not in _CODES:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        return Result(UNUSABLE, f"exit code {code}: {lines[-1] if lines else ''}", seconds)
    return Result(_CODES[code], (checkout / "detail").read_text(encoding="utf-8"), seconds)


def _run(checkout: Path, tests: Sequence[str], log: Path) -> None:
    code = 12
    try:
        with log.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.chdir(checkout)
        sys.path[:0] = [str(checkout)]
        for crash in _CRASHES:  # a compiler's own handler may hang in a fork
            signal.signal(crash, signal.SIG_DFL)
        gc.freeze()  # pytest collects garbage at its end, of a parent that has imported everything
        witness = _Witness()
        options = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=line"]
        ended = pytest.main([*options, *tests], plugins=[witness])
        code = witness.code(int(ended))
        (checkout / "detail").write_text(witness.detail, encoding="utf-8")
    except BaseException:
        traceback.print_exc()  # into the log
        raise
    finally:
        os._exit(code)


class _Witness:
    """Ends a run at the first assertion that fails, or after a few tests that raise otherwise."""

    def __init__(self) -> None:
        self.detail = ""
        self._killed = False
        self._raised = 0

    def pytest_runtest_logstart(self) -> None:
        signal.alarm(_STALL_S)  # its default action ends the process: loops may never end

    def pytest_exception_interact(self, node, call, report) -> None:
        name = type(call.excinfo.value).__name__
        self._killed = name in ("AssertionError", "Failed", "GradcheckError", "OpCheckError")
        self._raised += 1
        if self._killed or not self.detail:
            self.detail = f"{node.nodeid}: {name}"
        if (self._killed or self._raised >= _PATIENCE) and hasattr(node, "session"):
            node.session.shouldstop = "enough"

    def code(self, ended: int) -> int:
        if self._killed:
            return 10
        return 0 if ended == 0 and not self._raised else 11
