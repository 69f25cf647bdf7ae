"""What the command says where it cannot go on: a line and an exit code, never a traceback."""

import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from support.small_run import small_run

from perf import ROOT
from perf import __main__ as command
from perf import run as runner
from triton_acts.tuning import timing
from triton_acts.tuning.records import RESULTS, RUNS


@pytest.mark.parametrize("name", ["runs.csv", "cpu.csv"])
def test_records_with_other_columns_end_a_run_before_it_measures(
    name, monkeypatch, tmp_path, capsys
):
    small_run(monkeypatch)
    monkeypatch.setattr(timing, "canary", lambda *_: pytest.fail("it was measured"))
    schema = RUNS if name == "runs.csv" else RESULTS
    file = tmp_path / name
    file.write_text(schema.header.replace("run_id", "name"))
    options = ["--records", str(tmp_path), "--report", str(tmp_path / "report")]
    assert command.main(["run", "--quick", *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"perf: {file}: not a file of ")
    assert "unknown ['name']" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["taken", "taken/deeper"])
def test_a_file_in_a_folders_place_is_a_wrong_argument(name, tmp_path, capsys, monkeypatch):
    (tmp_path / "taken").write_text("")
    monkeypatch.setattr(command.export, "best", lambda _: [{"op": "kaf"}])
    out = str(tmp_path / name)
    assert command.main(["export", "--out", out, "--records", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert "taken" in said
    assert said.count("\n") == 1


def test_ctrl_c_before_anything_is_measured_is_a_line(monkeypatch, tmp_path, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    small_run(monkeypatch)
    monkeypatch.setattr(timing, "canary", interrupted)
    options = ["--records", str(tmp_path), "--report", str(tmp_path / "report")]
    assert command.main(["run", "--quick", *options]) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_while_torch_is_imported_is_a_line(tmp_path):
    (tmp_path / "torch.py").write_text(
        "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "perf", "run"],
        cwd=ROOT,
        env={"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell's background jobs, and what they start, ignore it otherwise
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert errors == "perf: interrupted; nothing was measured yet\n"


def test_progress_counts_what_is_finished_from_the_start_of_the_run(monkeypatch, capsys):
    now = [100.0]
    monkeypatch.setattr("perf.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    with runner.progress("measuring", 3, 90.0) as bar:
        bar.step("a")
        now[0] += 7
        bar.step("b")
        bar.finish()
        bar.finish()
        bar.step("c")
    assert capsys.readouterr().out.splitlines() == [
        "measuring, 0 of 3 done after 10 s: a",
        "measuring, 0 of 3 done after 17 s: b",
        "measuring, 2 of 3 done after 17 s: c",
    ]


def test_a_bar_on_a_terminal_counts_the_same(monkeypatch):
    pytest.importorskip("rich")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with runner.progress("measuring", 3, 90.0) as bar:
        bar.step("a")
        task = bar._bar.tasks[0]
        assert (task.completed, task.fields["what"], task.start_time) == (0, "a", 90.0)
        bar.finish()
        assert (task.completed, task.fields["what"]) == (1, "a")
