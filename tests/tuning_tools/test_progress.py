"""How far the work is, and how long it still takes."""

import io
import sys

import pytest

from triton_acts.tuning.commands import _output


def test_progress_is_told_at_once_and_then_with_the_time_left(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(_output.time, "monotonic", lambda: now[0])
    for _ in _output.with_progress(range(100), 100, "tuning", "keys"):
        now[0] += 2.0
        if now[0] == 2.0:
            assert capsys.readouterr().err == "tuning: 0 of 100 keys\n"
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        "tuning: 3 of 100 keys, about 194 s left",
        "tuning: 6 of 100 keys, about 188 s left",
    ]
    assert len(lines) == 33


def test_the_time_left_is_never_beyond_the_budget(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(_output.time, "monotonic", lambda: now[0])
    for _ in _output.with_progress(range(9), 9, "tuning", "keys", 20.0):
        now[0] += 6.0
    lines = capsys.readouterr().err.splitlines()
    assert lines[:4] == [
        "tuning: 0 of 9 keys, about 20 s left",
        "tuning: 1 of 9 keys, about 14 s left",
        "tuning: 2 of 9 keys, about 8 s left",
        "tuning: 3 of 9 keys, about 2 s left",
    ]
    assert lines[4] == "tuning: 4 of 9 keys, about 0 s left"


def test_a_terminal_gets_a_bar_with_the_time_left(monkeypatch):
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    assert list(_output.with_progress(range(3), 3, "tuning", "keys", 77.0)) == [0, 1, 2]
    assert "3/3" in terminal.getvalue()
    assert "keys, about 0 s left" in terminal.getvalue()
