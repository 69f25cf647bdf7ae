"""`perf export`: the best row of each case, joined with its run."""

import csv
import json
import math

import pytest
from support.perf_rows import OTHERS, result_row, run_of, run_row, save

from perf.__main__ import main
from perf.export import COLUMNS, SCHEMA, best
from perf.history import Run
from triton_acts.tuning import writing
from triton_acts.tuning.records import RESULTS, append


@pytest.fixture
def exported(tmp_path, capsys):
    """Runs the command; exit code, rows as CSV and as JSON, and what it complained about."""

    def exported(*folders):
        out = tmp_path / "out"
        code = main(["export", "--records", *map(str, folders), "--out", str(out)])
        table, text = [], {"rows": []}
        if (out / "best.csv").exists():
            with (out / "best.csv").open(newline="") as stream:
                table = list(csv.DictReader(stream))
            text = json.loads((out / "best.json").read_text())
        return code, table, text, capsys.readouterr().err

    return exported


def of(*rows):
    """The rows that are best among those of one run."""
    return best([Run(run_row("r1"), list(rows))])


def test_three_gpus_in_two_folders(exported, tmp_path):
    facts = {"commit": "abc dirty", "torch": "2.13.0", "driver": "570.1", "gpu_name": "NVIDIA H200"}
    first = save(
        tmp_path / "one",
        Run(run_row("r1", **facts), [result_row("r1", ms=2.0), result_row("r1", "eager", 4.0)]),
        run_of("r2", "l4", triton_acts=3.0),
    )
    second = save(tmp_path / "two", run_of("r3", "cpu", triton_acts=1.0))
    code, table, text, err = exported(first, second)
    assert (code, err) == (0, "")
    assert [(r["gpu_slug"], r["provider"], float(r["ms_p50"])) for r in table] == [
        ("h200", "triton_acts", 2.0),
        ("h200", "eager", 4.0),
        ("l4", "triton_acts", 3.0),
        ("cpu", "triton_acts", 1.0),
    ]
    assert tuple(table[0]) == COLUMNS
    assert table[0]["utc_time"] == "2026-01-01T00:00:01Z"
    assert {name: table[0][name] for name in facts} == facts
    assert text["schema"] == SCHEMA
    for line, row in zip(table, text["rows"], strict=True):
        assert tuple(row) == COLUMNS
        assert {k: "" if v is None else str(v) for k, v in row.items()} == {
            k: f"{float(v):.1f}" if k.startswith("ms_p") else v for k, v in line.items()
        }
    assert text["rows"][0]["aligned"] is True
    assert text["rows"][0]["sm_clock_mhz"] is None


@pytest.mark.parametrize("other", OTHERS)
def test_each_case_has_its_own_best(other):
    assert len(of(result_row("r1"), result_row("r1", **other))) == 2


def test_the_fastest_wins_and_of_equals_the_newest():
    slow, fast = run_of("r1", eager=2.0), run_of("r2", eager=1.0)
    assert [row["run_id"] for row in best([slow, fast])] == ["r2"]
    assert [row["run_id"] for row in best([fast, slow])] == ["r2"]
    assert [row["run_id"] for row in best([run_of("r1", eager=1.0), fast])] == ["r2"]


def test_runs_are_taken_by_their_time_not_by_their_place(exported, tmp_path):
    folder = save(tmp_path / "records", run_of("r2", eager=1.0), run_of("r1", eager=1.0))
    assert [row["run_id"] for row in exported(folder)[1]] == ["r2"]


@pytest.mark.parametrize(
    "broken", [{"status": "wrong"}, {"ms_p50": None}, {"ms_p50": math.nan}, {"ms_p20": 0.0}]
)
def test_only_what_is_ok_and_has_a_time(broken):
    assert of(result_row("r1") | broken) == []
    assert [row["ms_p50"] for row in of(result_row("r1", ms=0.5) | broken, result_row("r1"))] == [1]
    assert len(of(result_row("r1", status="ok: launch-bound"))) == 1


def test_json_has_no_nan(exported, tmp_path):
    folder = save(tmp_path / "records", run_of("r1", eager=1.0))
    path = folder / "h200.csv"
    path.write_text(path.read_text().replace(",ok\n", "nan,ok\n"))  # max_err stands before it
    code, table, text, _ = exported(folder)
    assert code == 0
    assert text["rows"][0]["max_err"] is None
    assert table[0]["max_err"] == ""


def test_damaged_rows_are_named_and_nothing_else_is_lost(exported, tmp_path):
    folder = save(
        tmp_path / "records",
        run_of("r1", triton_acts=1.0, eager=2.0),
        run_of("r2", "l4", eager=5.0),
        run_of("r3", "b200", eager=7.0),
    )
    path = folder / "h200.csv"
    path.write_text(path.read_text().replace(",4,", ",four,", 1))
    runs = (folder / "runs.csv").read_text().splitlines()
    (folder / "runs.csv").write_text("\n".join([runs[0], runs[1], "r2,what is this", ""]))
    (folder / "static.csv").write_text("no,record\n1,2\n")
    code, table, _, err = exported(folder)
    assert code == 0
    # the runs r2 and r3 are not in runs.csv: the name of their files says which GPU it was
    found = {(r["gpu_slug"], r["provider"], r["torch"]) for r in table}
    assert found == {("h200", "eager", "2.11.0"), ("l4", "eager", ""), ("b200", "eager", "")}
    assert len(err.splitlines()) == 2
    assert "h200.csv, line 2" in err
    assert "runs.csv, line 3" in err


@pytest.mark.parametrize("make", [False, True])
def test_without_records_it_says_how_to_make_some(exported, tmp_path, make):
    folder = tmp_path / "records"
    if make:
        append(folder / "h200.csv", RESULTS, [])
    code, table, _, err = exported(folder)
    assert (code, table) == (1, [])
    assert "python -m perf run" in err
    assert not (tmp_path / "out").exists()


def test_a_write_that_fails_leaves_the_old_files(exported, tmp_path, monkeypatch):
    folder = save(tmp_path / "records", run_of("r1", eager=2.0))
    exported(folder)
    out = tmp_path / "out"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert sorted(before) == ["best.csv", "best.json"]
    save(folder, run_of("r2", eager=1.0))

    def full(_handle):
        raise OSError("no space left")

    monkeypatch.setattr(writing.os, "fsync", full)
    code, _, _, err = exported(folder)
    assert code == 1
    assert "no space left" in err
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
