"""The same bits every time, also from eight threads at once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from support.gradients import evaluate, tensors_of
from support.subjects import SUBJECTS

from triton_acts import _launch, _triton

SHAPE = (2, 3, 5)  # what repeats is small: the interpreter takes a millisecond for a line


def arguments(subject, device, dtype=torch.float32, seed=0):
    """x and weights, and an incoming gradient."""
    torch.manual_seed(seed)
    tensors = tensors_of(subject, torch.randn(SHAPE, device=device).to(dtype))
    return tensors, torch.randn(SHAPE, device=device).to(dtype)


# The interpreter takes seconds for it, and runs the same lines for every dtype
DTYPES = [torch.bfloat16] if _triton.INTERPRETED else [torch.bfloat16, torch.float32]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_same_bits_ten_times(subject, dtype, device):
    tensors, g = arguments(subject, device, dtype)
    first = evaluate(subject.call, tensors, g)
    for _ in range(9):
        again = evaluate(subject.call, [t.clone() for t in tensors], g.clone())
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_eight_threads_call_everything(device, monkeypatch):
    """Every thread calls every subject, each in another order, and gets its own values."""
    if _triton.INTERPRETED:  # which keeps the running program's index in a global
        lock, real = threading.Lock(), _launch.Launcher.__call__

        def one_at_a_time(*args):
            with lock:
                real(*args)

        monkeypatch.setattr(_launch.Launcher, "__call__", one_at_a_time)
    seeds = (0,) if _triton.INTERPRETED else (0, 1)
    given = {
        (s.name, seed): (s, *arguments(s, device, seed=seed)) for s in SUBJECTS for seed in seeds
    }
    expected = {key: evaluate(s.call, tensors, g) for key, (s, tensors, g) in given.items()}
    start = threading.Barrier(8)

    def work(thread):
        keys = list(given)
        start.wait()
        wrong = []
        for key in keys[thread:] + keys[:thread]:
            subject, tensors, g = given[key]
            found = evaluate(subject.call, tensors, g)
            if not all(torch.equal(a, b) for a, b in zip(found, expected[key], strict=True)):
                wrong.append(key)
        return wrong

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [[]] * 8
