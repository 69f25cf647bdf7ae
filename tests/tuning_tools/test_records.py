"""Records lose nothing: not to a damaged row, an interrupted write or another schema."""

import math

import pytest

from triton_acts.tuning.records import RESULTS, RUNS, append, check, read


def result(run_id: str = "r1", **changes: object) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(RESULTS.columns)
    row |= {
        "run_id": run_id,
        "op": "scaled_sigmoid",
        "variant": "scalar",
        "direction": "forward",
        "provider": "eager",
        "dtype": "float32",
        "shape": "4x4",
        "layout": "contiguous",
        "numel": 16,
        "aligned": True,
        "ms_p50": 0.25,
        "status": "ok",
    }
    return row | changes


def test_the_columns_are_those_of_the_design():
    assert list(RESULTS.columns) == [
        "run_id",
        "op",
        "variant",
        "direction",
        "provider",
        "dtype",
        "shape",
        "layout",
        "numel",
        "aligned",
        "block",
        "elements_per_thread",
        "num_warps",
        "unroll",
        "config_source",
        "is_winner",
        "ms_p20",
        "ms_p50",
        "ms_p80",
        "samples",
        "bytes",
        "gbps",
        "share_of_peak",
        "yardstick",
        "share_of_yardstick",
        "speedup_vs_eager",
        "regs",
        "spills",
        "instr_per_elt",
        "mufu_per_elt",
        "predicted_ms",
        "predicted_bound",
        "max_err",
        "status",
    ]
    assert list(RUNS.columns)[:3] == ["run_id", "utc_time", "commit"]


def test_rows_come_back_as_they_were(tmp_path):
    path = tmp_path / "deeper" / "cpu.csv"
    first = result(ms_p50=1 / 3, status='failed: "a", b', is_winner=False)
    assert append(path, RESULTS, [first]) == 1
    assert append(path, RESULTS, [result("r2")]) == 1
    table = read(path, RESULTS)
    assert table.problems == []
    assert [row["run_id"] for row in table.rows] == ["r1", "r2"]
    row = table.rows[0]
    assert row["ms_p50"] == pytest.approx(1 / 3, rel=1e-8)
    assert (row["numel"], row["aligned"], row["is_winner"]) == (16, True, False)
    assert (row["status"], row["block"], row["yardstick"]) == ('failed: "a", b', None, "")
    assert path.read_text().count("run_id") == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_an_unknown_number_is_an_empty_field(tmp_path, value):
    append(tmp_path / "a.csv", RESULTS, [result(ms_p50=value)])
    assert read(tmp_path / "a.csv", RESULTS).rows[0]["ms_p50"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numel": "16"}, "numel is '16', allowed is int"),
        ({"aligned": 1}, "aligned is 1, allowed is bool"),
        ({"numel": True}, "numel is True"),
        ({"status": "a\nb"}, "status has a line break"),
        ({"status": ""}, "status is empty"),
        ({"speed": 1.0}, "speed is no column"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path, changes, message):
    path = tmp_path / "a.csv"
    append(path, RESULTS, [result()])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        append(path, RESULTS, [result(**changes)])
    assert path.read_bytes() == before


def test_a_missing_column_is_refused(tmp_path):
    row = result()
    del row["provider"]
    with pytest.raises(ValueError, match="provider is missing"):
        append(tmp_path / "a.csv", RESULTS, [row])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",16,", ",sixteen,", "numel = 'sixteen', allowed is int"),
        (",True,", ",yes,", "aligned = 'yes'"),
        ("r2,", "", "has 33 fields, expected 34"),
        ("r2,", ",", "empty run_id"),
        ("r2,", '"r2,', "no CSV"),
    ],
)
def test_a_corrupt_row_is_named_and_nothing_else_is_lost(tmp_path, old, new, message):
    path = tmp_path / "a.csv"
    append(path, RESULTS, [result("r1"), result("r2"), result("r3")])
    lines = path.read_text().splitlines(keepends=True)
    lines[2] = lines[2].replace(old, new, 1)
    path.write_text("".join(lines))
    table = read(path, RESULTS)
    assert [row["run_id"] for row in table.rows] == ["r1", "r3"]
    assert len(table.problems) == 1
    assert f"{path}, line 3: " in table.problems[0]
    assert message in table.problems[0]


def test_an_interrupted_write_costs_its_own_row_only(tmp_path):
    path = tmp_path / "a.csv"
    append(path, RESULTS, [result("r1"), result("r2")])
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    table = read(path, RESULTS)
    assert [row["run_id"] for row in table.rows] == ["r1"]
    assert "line 3: the row is cut off" in table.problems[0]
    append(path, RESULTS, [result("r3")])
    table = read(path, RESULTS)
    assert [row["run_id"] for row in table.rows] == ["r1", "r3"]
    assert len(table.problems) == 1


def test_a_row_cut_anywhere_is_named_and_the_next_one_is_whole(tmp_path):
    """Also in its last column, where what is left would be a sound row, and inside quotes."""
    path = tmp_path / "a.csv"
    append(path, RESULTS, [result("r1"), result("r2", status='failed: "a", b')])
    whole = path.read_bytes()
    start = whole.index(b"r2")
    for cut in range(start + 1, len(whole)):
        path.write_bytes(whole[:cut])
        append(path, RESULTS, [result("r3")])
        table = read(path, RESULTS)
        assert [row["run_id"] for row in table.rows] == ["r1", "r3"], cut
        assert len(table.problems) == 1
        assert f"{path}, line 3: the row " in table.problems[0]


def test_a_row_cut_before_its_line_end_is_not_taken_for_whole(tmp_path):
    path = tmp_path / "a.csv"
    append(path, RESULTS, [result("r1"), result("r2", status="failed: out of memory")])
    path.write_bytes(path.read_bytes()[:-7])  # "failed: out of" would be a sound status
    table = read(path, RESULTS)
    assert [row["run_id"] for row in table.rows] == ["r1"]


def test_rows_before_a_failure_are_on_disk(tmp_path):
    path = tmp_path / "a.csv"

    def rows():
        yield result("r1")
        assert [row["run_id"] for row in read(path, RESULTS).rows] == ["r1"]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        append(path, RESULTS, rows())
    assert [row["run_id"] for row in read(path, RESULTS).rows] == ["r1"]


def test_another_header_is_an_error_that_names_the_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(RESULTS.header.replace("regs", "registers"))
    before = path.read_bytes()
    for attempt in (lambda: read(path, RESULTS), lambda: append(path, RESULTS, [result()])):
        with pytest.raises(ValueError, match=r"missing \['regs'\], unknown \['registers'\]"):
            attempt()
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match=r"missing \['regs'\]"):
        check(path, RESULTS)
    columns = list(RUNS.columns)
    path.write_text(",".join(columns[::-1]) + "\n")
    with pytest.raises(ValueError, match="order differs"):
        read(path, RUNS)


def test_a_missing_file_is_an_error_and_an_empty_one_is_empty(tmp_path):
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.csv", RUNS)
    (tmp_path / "empty.csv").touch()
    assert read(tmp_path / "empty.csv", RUNS).rows == []


def test_a_file_that_can_take_rows_passes_the_check(tmp_path):
    check(tmp_path / "none.csv", RUNS)
    (tmp_path / "empty.csv").touch()
    check(tmp_path / "empty.csv", RUNS)
    append(tmp_path / "a.csv", RESULTS, [result()])
    check(tmp_path / "a.csv", RESULTS)
