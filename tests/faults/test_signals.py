"""Ctrl-C and kill -9 in commands that measure: complete rows are kept, and the next run goes on."""

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.fresh import environment

from triton_acts.tuning import records, store
from triton_acts.tuning.records import RESULTS, RUNS

SCRIPT = Path(__file__).with_name("interruptible.py")
COMMANDS = {
    "tune": ("toy-gpu.csv", [], {"TRITON_INTERPRET": 1}),
    "perf": ("cpu.csv", ["--report", "report"], {}),
}


def stopped(command, folder, number, rows):
    """Sends a signal once so many more rows are there; the exit code and what was printed."""
    name, options, variables = COMMANDS[command]
    file = folder / name
    before = file.read_bytes().count(b"\n") if file.exists() else 0
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), command, "--records", str(folder), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
        env=environment(**variables, TRITON_ACTS_CONFIG_DIR=folder.parent / "configs"),
        start_new_session=True,
    )
    try:
        for _ in range(6000):
            if file.exists() and file.read_bytes().count(b"\n") >= before + rows:
                break
            if process.poll() is not None:
                break
            time.sleep(0.01)
        os.killpg(process.pid, number)  # all of the group, as a terminal does
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_then_interrupted(command, tmp_path, monkeypatch):
    """The second run appends to what the first left, and is ended with Ctrl-C."""
    folder = tmp_path / "records"
    results = folder / COMMANDS[command][0]
    code, _, _ = stopped(command, folder, signal.SIGKILL, 10)
    assert code == -signal.SIGKILL
    first = results.read_bytes()
    rows = records.read(results, RESULTS).rows
    assert len(rows) >= 9  # and a header
    code, out, err = stopped(command, folder, signal.SIGINT, 40)  # over two keys of `tune`
    assert (code, "Traceback" in err) == (130, False), err
    kept = {
        "tune": "interrupted; what was measured is kept. Files:",
        "perf": "Interrupted: the rows",
    }
    assert kept[command] in out
    assert results.read_bytes().startswith(first)
    table = records.read(results, RESULTS)
    assert table.problems == []
    assert len(table.rows) > len(rows)
    runs = records.read(folder / "runs.csv", RUNS)
    assert runs.problems == []
    ids = [run["run_id"] for run in runs.rows]
    assert len(ids) == 2
    assert {row["run_id"] for row in table.rows} == set(ids)
    if command == "tune":
        monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "configs"))
        saved = store.user("toy-gpu").provenance["run_ids"]  # a warning would be an error
        assert saved in (ids, ids[1:])  # the first may have been killed before it saved a key
    else:
        assert (tmp_path / "report" / "report.md").exists()


@pytest.mark.parametrize("module", ["perf.__main__", "triton_acts.tuning.__main__"])
def test_ctrl_c_is_no_traceback_in_any_command(module, monkeypatch, capsys):
    """Also before and after what the commands themselves look out for."""
    main = importlib.import_module(module)

    def stop(*_):
        raise KeyboardInterrupt

    if module.startswith("perf"):
        monkeypatch.setattr(main, "_report", stop)
        arguments = ["report"]
    else:
        monkeypatch.setattr("triton_acts.tuning.commands.plan.print_plan", stop)
        arguments = ["plan", "--gpu", "h200"]
    try:
        code = main.main(arguments)
    except KeyboardInterrupt:
        pytest.fail("it came through")  # as it is, it would end pytest
    assert code == 130
    assert "interrupted" in capsys.readouterr().err
