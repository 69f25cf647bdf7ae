"""`perf gpu` and the command line, without a GPU."""

import sys
import time

import pytest
import torch

from perf import ROOT, gpu
from perf import __main__ as command
from perf.gpu import MAX_LINES, run_step, summary


def test_without_a_gpu_it_says_so_and_exits_with_2(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "out"
    assert command.main(["gpu", "--out", str(out), "--steps", "test,perf,sweep"]) == 2
    assert "no GPU" in capsys.readouterr().err
    assert not out.exists()
    assert command.main(["sweep", "--csv", str(out / "sweep.csv")]) == 2
    assert not out.exists()


def test_unknown_steps_are_named(tmp_path, capsys):
    assert command.main(["gpu", "--out", str(tmp_path), "--steps", "test,dance"]) == 2
    assert "dance; allowed are test, tune, perf, sweep" in capsys.readouterr().err


@pytest.fixture
def fake_steps(monkeypatch):
    """A GPU that is there, and steps that are one line of Python each."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu, "_machine", lambda: {"GPU": "a GPU"})

    def install(**lines):
        made = {name: [sys.executable, "-c", line] for name, line in lines.items()}
        monkeypatch.setattr(gpu, "commands", lambda _out: made)

    return install


def test_steps_leave_logs_and_a_summary(fake_steps, tmp_path, capsys):
    fake_steps(test="print('7 passed')", perf="print('fast')", sweep="print('3.7 ULP')")
    assert gpu.main(tmp_path, "test,perf,sweep") == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["steps.log", "summary.txt", "test.log"]
    text = (tmp_path / "summary.txt").read_text()
    for line in ("GPU: a GPU", "== test: passed, 0 s", "7 passed", "== perf: passed", "3.7 ULP"):
        assert line in text
    assert text.index("fast") < text.index("== sweep") < text.index("3.7 ULP")
    assert text in capsys.readouterr().out


def test_a_failed_step_fails_the_command_and_the_next_one_runs(fake_steps, tmp_path):
    fake_steps(test="raise SystemExit(3)", perf="print('fast')", sweep="")
    assert gpu.main(tmp_path, "test,perf") == 1
    text = (tmp_path / "summary.txt").read_text()
    assert "== test: FAILED (exit code 3)" in text
    assert "== perf: passed" in text


def test_a_step_that_hangs_is_killed_with_all_it_started(tmp_path):
    survivor = tmp_path / "survivor"
    child = f"import time, pathlib; time.sleep(2); pathlib.Path({str(survivor)!r}).touch()"
    code = (
        "import subprocess, sys, time; print('started', flush=True); "
        f"subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    )
    log = tmp_path / "step.log"
    result = run_step("perf", [sys.executable, "-c", code], log, 1.0)
    assert result.failure == "killed after 1 s"
    assert result.seconds < 5
    assert "started" in log.read_text()
    time.sleep(2)
    assert not survivor.exists()


def test_the_summary_is_short(tmp_path):
    log = tmp_path / "test.log"
    results = [
        run_step(name, [sys.executable, "-c", "for i in range(500): print(i, 'x' * 500)"], log, 60)
        for name in gpu.STEPS
    ]
    lines = summary(results, {"GPU": "a GPU"})
    assert len(lines) <= MAX_LINES
    assert max(map(len, lines)) <= 200
    assert [line for line in lines if line.startswith("== ")] == [
        f"== {r.name}: passed, {r.seconds:.0f} s" for r in results
    ]


def test_report_without_records_says_what_to_do(tmp_path, capsys):
    assert command.main(["report", "--records", str(tmp_path), "--report", str(tmp_path)]) == 0
    said = capsys.readouterr()
    assert "python -m perf run" in said.err
    assert said.out.splitlines()[-1] == str(tmp_path / "index.html")


def test_import_of_a_folder_without_records_fails(tmp_path, capsys):
    assert command.main(["import", str(tmp_path), "--records", str(tmp_path / "r")]) == 1
    assert "no runs.csv" in capsys.readouterr().err


def test_every_folder_with_gpu_tests_is_run():
    marked = {
        f"tests/{file.relative_to(ROOT / 'tests').parts[0]}"
        for file in (ROOT / "tests").rglob("*.py")
        if "mark.gpu" in file.read_text(encoding="utf-8")
    }
    assert marked == set(gpu.GPU_TESTS)
