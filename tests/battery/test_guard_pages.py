"""No access goes beyond a tensor, not even a read whose value nobody uses."""

import ctypes
import faulthandler
import os
import signal
import sys
import traceback
from functools import partial

import pytest
import torch
from support.gradients import evaluate
from support.guard_pages import GuardPages

from triton_acts.dictionary import _kernel_road

SHAPES = [(3, 5), (5, 3, 7, 7), (2, 3, 179), (1, 1025)]


def signal_of(work):
    """Runs work in a fork: the signal that ended it, or None; an error of its own is one here."""
    child = os.fork()
    if not child:
        code = 1
        try:
            faulthandler.disable()  # a signal is a result here
            torch.set_num_threads(1)  # those of the parent are not there
            work()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status))
    if os.WEXITSTATUS(status):
        raise RuntimeError("the fork failed; its stderr says why")
    return None


def guarded_constants(guards, *args, real=_kernel_road._constants):
    """KAF's own tables, which are made once and kept."""
    return tuple(t if t is None else guards.around(t) for t in real(*args))


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("flush", ["before", "behind"])
def test_nothing_beyond_a_tensor_is_touched(subject, flush, monkeypatch):
    """Forward and backward, with inputs and results at a forbidden page."""

    def work():
        for shape in SHAPES:
            guards = GuardPages(flush)
            x, g = torch.randn(shape), torch.randn(shape)
            weights = subject.weights(shape[subject.channel_dim])
            tensors = [guards.around(t) for t in (x, *weights)]
            with monkeypatch.context() as patch:
                guards.watch(patch)
                patch.setattr(_kernel_road, "_constants", partial(guarded_constants, guards))
                evaluate(subject.call, tensors, guards.around(g))

    assert signal_of(work) is None


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("flush", "step"), [("before", -1), ("behind", 5)])
def test_a_page_is_forbidden(flush, step):
    """The element before the first, and the one behind the last."""
    x = GuardPages(flush).around(torch.zeros(5))

    def work():
        x[0].item(), x[4].item()
        ctypes.string_at(x.data_ptr() + 4 * step, 4)

    assert signal_of(work) is signal.SIGSEGV
