"""`python -m triton_acts.study`: a file of one's own, Ctrl-C, and what it says when it cannot."""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support.fresh import environment

from triton_acts.study import Study
from triton_acts.study.__main__ import main
from triton_acts.study.tasks import quick_tasks, standard_tasks

TASK = """
from support.study import data, make_model, settings

settings = settings | {"variants": ["relu", "tanh", "elu", "silu"], "budget": BUDGET}
"""


def begin(folder, budget, *options):
    file = folder / "my_task.py"
    file.write_text(TASK.replace("BUDGET", str(budget)), encoding="utf-8")
    command = [sys.executable, "-m", "triton_acts.study", file.name, "--seeds", "2", *options]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(),
        start_new_session=True,
    )


def living(group):
    """Processes of a group that run; those that wait for being read off are dead."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, own = file.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue  # it has ended meanwhile
        if int(own) == group and state != "Z":
            found.append(file)
    return found


def test_a_file_of_ones_own_in_two_processes(tmp_path):
    process = begin(tmp_path, 2, "--workers", "2", "--out", "results")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "[4/4, " in err
    assert {"results/study.md", "results/study.html"} <= set(out.split())
    study = Study.read(tmp_path / "results")
    assert list(study.choices["variant"]) == ["relu", "tanh", "elu", "silu"]
    assert set(study.runs["task"]) == {"my_task"}


@pytest.mark.parametrize("ended_by", ["ctrl-c", "sigterm"])
def test_an_end_from_outside_keeps_what_is_finished(tmp_path, ended_by, monkeypatch, capsys):
    process = begin(tmp_path, 60, "--workers", "2")
    cells = tmp_path / "build" / "study" / "my_task" / "cells"
    try:
        while not list(cells.glob("my-task--*.json")) and process.poll() is None:
            time.sleep(0.02)
        if ended_by == "ctrl-c":
            os.killpg(process.pid, signal.SIGINT)  # all of the group, as a terminal does
        else:
            os.kill(process.pid, signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        if ended_by == "ctrl-c":
            assert process.returncode == 130
            assert err.splitlines()[-1].startswith("interrupted; the same command goes on with")
        else:
            assert process.returncode == 143
        assert "Traceback" not in err
        for _ in range(200):
            if not living(process.pid):
                break
            time.sleep(0.05)
        assert living(process.pid) == []
    finally:
        process.kill()
    kept = {file: file.stat().st_mtime_ns for file in cells.iterdir()}
    assert 0 < len(kept) < 4
    if ended_by == "ctrl-c":
        monkeypatch.chdir(tmp_path)
        assert main(["my_task.py", "--seeds", "2", "--workers", "1"]) == 0
        assert f"{len(kept)} of 4 cells are there already" in capsys.readouterr().err
        assert kept == {file: file.stat().st_mtime_ns for file in kept}
        assert len(list(cells.iterdir())) == 4


def test_what_cannot_be_done_says_why(tmp_path, capsys):
    empty = tmp_path / "empty.py"
    empty.write_text("data = 1\n", encoding="utf-8")
    assert main([str(empty), "--out", str(tmp_path)]) == 1
    assert f"{empty} has no make_model" in capsys.readouterr().err
    assert main([str(tmp_path / "none.py")]) == 1
    assert "there is no file" in capsys.readouterr().err
    assert main(["--report", "--out", str(tmp_path)]) == 1
    assert "study.json" in capsys.readouterr().err


@pytest.mark.parametrize("make", [quick_tasks, standard_tasks])
def test_tasks_that_come_along(make):
    """Every model takes its data; targets and metric belong together."""
    from triton_acts.study._runner import data_of
    from triton_acts.study._training import Activation

    tasks = make()
    assert len({task.name for task in tasks}) == len(tasks)
    for task in tasks:
        names = [variant.name for variant in task.variants]
        assert task.baseline in names
        data = data_of(task.data)
        for pair in data:
            assert len(pair.x) == len(pair.y) > 30
        baseline = next(v for v in task.variants if v.name == task.baseline)
        for variant in (baseline, task.variants[-1]):
            model = task.make_model(Activation(variant, variant.options[0]))
            with torch.no_grad():
                outputs = model(data.train.x[:4])
            assert math.isfinite(task.metric(outputs, data.train.y[:4]))
    kinds = {t.name.split(",")[0].split()[0] for t in tasks}
    assert kinds == {"digits", "defects", "tabular", "33", "sequences"}
