"""A report of records that are damaged, incomplete or none, and of charts that cannot be drawn."""

import math

import pytest
from support import fake_records
from support.report_page import TITLES, Page

from perf import __main__ as command
from perf import frames, page, panels, report
from perf.section import NOT_YET, Picture, Section


def test_a_damaged_row_is_named_and_costs_nothing_else(small, tmp_path, capsys):
    path = small / "cpu.csv"
    lines = path.read_text().splitlines(keepends=True)
    whole = report.load([small])
    place = next(i for i, line in enumerate(lines) if ",torch.compile," in line)
    lines[place] = lines[place].replace(",contiguous,", ",contiguous,<b>many</b>", 1)
    path.write_text("".join(lines))
    assert command.main(["report", "--records", str(small), "--report", str(tmp_path)]) == 0
    named = f"{path}, line {place + 1}: the row has numel = '<b>many</b>"
    assert named in capsys.readouterr().err
    assert named in (tmp_path / "report.md").read_text()
    found = Page((tmp_path / "index.html").read_text())
    assert found.texts["h2"] == [*TITLES, "Damaged records"]
    assert named in found.text
    assert "b" not in found.texts
    left = report.load([small])
    assert len(left.rows) == len(whole.rows) - 1


def test_a_file_of_another_version_is_named(small, tmp_path):
    old = tmp_path / "old"
    fake_records.write(old, ["h200"])
    text = (old / "h200.csv").read_text()
    (old / "h200.csv").write_text(text.replace("unroll,", "", 1))
    book = report.load([small, old])
    assert len(book.problems) == 1
    assert "h200.csv: not a file of measurement rows" in book.problems[0]
    assert book.gpus == ["cpu"]


def test_a_lost_run_costs_no_measurement(small):
    (small / "runs.csv").unlink()
    book = report.load([small])
    assert book.gpus == ["cpu"]
    assert book.name("cpu") == "cpu"
    text = page.page("x", report.sections(book, []), seconds=0)
    assert "cpu: cpu (no GPU" in Page(text).text


def test_an_empty_folder_says_how_to_make_records(tmp_path, capsys):
    assert command.main(["report", "--records", str(tmp_path), "--report", str(tmp_path)]) == 0
    assert "python -m perf run" in capsys.readouterr().err
    found = Page((tmp_path / "index.html").read_text())
    assert "There are no records yet. Make some with make perf" in found.text
    assert found.images == []
    assert "`make perf`" in (tmp_path / "report.md").read_text()


def test_what_is_missing_is_not_yet_measured(tmp_path):
    """A run without memory, training or tuning says so in each of these sections."""
    folder = fake_records.write(tmp_path, ["cpu"])
    book = report.load([folder])
    rows = book.rows[(book.rows["op"] == "scaled_sigmoid") & (book.rows["provider"] != "eager")]
    bare = frames.Book(book.runs, rows, book.trials, [])
    found = {section.title: section for section in report.sections(bare, [])}
    for title in ("Memory", "Training step", "Predicted against measured"):
        assert NOT_YET in found[title].text
        assert not found[title].pictures
    assert "Not yet measured with several D: cpu." in found[TITLES[3]].text
    assert NOT_YET not in found["Share of yardstick"].text


def test_what_failed_everywhere_is_a_line_and_no_chart(small):
    """Where neither memory nor a step can be had, the reasons stand in the tables."""
    book = report.load([small])
    gone = book.rows["variant"].str.endswith("/peak-memory") | (book.rows["op"] == "training step")
    lost = dict.fromkeys(("ms_p20", "ms_p50", "ms_p80", "bytes"), math.nan)
    rows = book.rows[gone].assign(status="failed: no answer", **lost)
    kept = frames.Book(book.runs, rows, book.trials, [])
    found = {section.title: section for section in report.sections(kept, [])}
    assert found["Memory"].pictures == found["Training step"].pictures == []
    ((_, memory),) = found["Memory"].tables
    assert set(memory["status"]) == {"failed: no answer"}
    ((_, steps),) = found["Training step"].tables
    assert set(steps["kaf"]) == {"failed: no answer"}


def test_without_matplotlib_there_are_tables_and_a_note(small, monkeypatch, tmp_path):
    monkeypatch.setattr(panels, "installed", lambda: False)
    monkeypatch.setattr(panels, "svg", lambda _: pytest.fail("drawn"))
    _, path = report.write(tmp_path, report.load([small]), [])
    found = Page(path.read_text())
    assert found.images == []
    assert found.texts["p"].count(page.NO_CHARTS.replace("`", "")) == 5
    assert found.texts["h2"] == TITLES


def test_charts_that_come_too_late_are_named(monkeypatch):
    drawn = []
    monkeypatch.setattr(panels, "svg", lambda draw: drawn.append(draw) or b"<svg/>")
    clock = iter([0.0, 1.0, 5.9, 6.0])
    monkeypatch.setattr(page.time, "monotonic", lambda: next(clock))
    pictures = [Picture(name, name) for name in ("first", "second", "third")]
    found = Page(page.page("x", [Section("s", pictures=pictures)], seconds=6.0))
    assert drawn == ["first", "second"]
    assert found.texts["figcaption"] == ["first", "second"]
    assert found.texts["p"] == [f"{page.LATE}third".replace("`", "")]
