"""What a training step needs at most, from a process of its own or a GPU's allocator."""

import os
import time

import pytest
import torch
from support.steps import CPU, MLP, NAMES, one_thread, raising  # noqa: F401

from perf import step_memory
from perf.models import Step, Training
from perf.resident import STATUS
from perf.step_memory import growth, peak


def test_each_device_has_its_own_way(monkeypatch):
    monkeypatch.setattr(step_memory, "_elsewhere", lambda *given: given)
    monkeypatch.setattr(step_memory, "_allocated", lambda *given: given)
    cuda = torch.device("cuda", 0)
    assert peak(MLP, "relu", print, CPU.torch) == (MLP, "relu")
    assert peak(MLP, "relu", print, cuda) == (print, cuda)


@pytest.mark.skipif(not STATUS.exists(), reason="no /proc")
def test_a_process_of_its_own_says_what_a_step_needs():
    """The published form keeps several tensors of D = 20 times 1 MiB."""
    step = Step("mlp", "eager", 1024, 256, memory=True)
    relu, published = (step_memory._elsewhere(step, name) for name in (NAMES[0], NAMES[3]))
    assert relu[1] == published[1] == "ok"
    assert 3 * 2**20 < relu[0] < 12 * 2**20
    assert 100 * 2**20 < published[0] < 200 * 2**20
    missing = step_memory._elsewhere(step, "gelu")
    assert missing == (None, "failed: KeyError: 'gelu'")


def test_a_process_that_dies_is_a_row(monkeypatch):
    monkeypatch.setattr(step_memory, "_send_growth", dies)
    assert step_memory._elsewhere(MLP, "relu") == (None, "failed: exit code 3")


def dies(*_args):
    os._exit(3)


def hangs(*_args):
    time.sleep(60)


def test_a_process_that_hangs_is_a_row(monkeypatch):
    monkeypatch.setattr(step_memory, "_send_growth", hangs)
    monkeypatch.setattr(step_memory, "LIMIT_S", 0.01)
    assert step_memory._elsewhere(MLP, "relu") == (None, "failed: no answer within 0 s")


def test_without_proc_memory_is_not_available(monkeypatch, tmp_path):
    monkeypatch.setattr(step_memory, "STATUS", tmp_path / "status")
    found, status = step_memory._elsewhere(MLP, "relu")
    assert found is None
    assert status == f"not available: there is no {tmp_path / 'status'} here"


def test_growth_is_what_one_step_adds(monkeypatch):
    """Not what was there before, and not what a first step loads."""
    seen = []
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    monkeypatch.setattr(Training, "__call__", lambda _self, count=None: seen.append(count))
    monkeypatch.setattr(
        step_memory, "resident", lambda entry: seen.append(entry) or {"VmHWM": 7}.get(entry, 4)
    )
    assert growth(MLP, "relu") == 3
    assert seen == [1, 2, "VmRSS", None, "VmHWM"]


def test_a_gpu_says_what_its_allocator_had(monkeypatch):
    now = {"allocated": 100, "peak": 900}
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: now["allocated"])
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: now["peak"])
    monkeypatch.setattr(
        torch.cuda, "reset_peak_memory_stats", lambda _: now.update(peak=now["allocated"])
    )

    def step():
        now["peak"] = max(now["peak"], 350)

    assert step_memory._allocated(step, CPU.torch) == (250, "ok")
    failed = raising(RuntimeError("hot"))(1)
    assert step_memory._allocated(lambda: failed(1), CPU.torch) == (
        None,
        "failed: RuntimeError: hot",
    )
