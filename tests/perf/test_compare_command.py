"""`perf compare` as a command: which runs it takes, what it prints, and how it ends."""

import csv

import pytest
from support.perf_rows import result_row, run_of, run_row, save

from perf.__main__ import main
from perf.history import SHOWN, Run
from triton_acts.tuning.records import RESULTS, append


@pytest.fixture
def records(tmp_path):
    """r1; r2, in which triton_acts is slower; r3, like r1; and one of another GPU."""
    base = {"yardstick": 1.0, "triton_acts": 1.0, "eager": 3.0}
    return save(
        tmp_path / "records",
        run_of("20260101-a1", **base),
        run_of("20260102-b2", **base | {"triton_acts": 1.2}),
        run_of("20260102-c3", **base),
        run_of("20260103-d4", "l4", **base),
    )


@pytest.fixture
def compared(records, capsys):
    """Runs the command; exit code, what it printed, and what it complained about."""

    def compared(*arguments, folders=(records,)):
        code = main(["compare", *map(str, arguments), "--records", *map(str, folders)])
        return code, *capsys.readouterr()

    return compared


def test_a_slow_case_ends_with_1_and_is_shown(compared):
    code, out, err = compared("20260101-a1", "20260102-b2")
    assert (code, err) == (1, "")
    assert "2 cases: 1 SAME, 0 FAST, 1 SLOW, 0 UNCLEAR; 0 only in base, 0 only in head." in out
    (row,) = (line for line in out.splitlines() if line.lstrip().startswith("SLOW "))
    assert "scaled_sigmoid scalar forward float32 2x2 contiguous triton_acts" in row
    assert row.split()[-6:] == ["1", "1.2", "1.200", "1.165-1.237", "1.200", "1.150-1.252"]
    assert "3% between runs" in out
    assert "50% of the way" in out
    assert "1.02 or 1/1.02" in out
    assert "1.15 or 1/1.15" in out
    assert " eager" not in out


def test_faster_and_the_same_end_with_0(compared):
    code, out, _ = compared("20260102-b2", "20260101-a1")
    assert code == 0
    assert "1 SAME, 1 FAST, 0 SLOW" in out
    assert compared("20260101", "20260102-c")[0] == 0


def test_unclear_ends_with_0(compared, records):
    save(records, run_of("u9", yardstick=1.2, triton_acts=1.2, eager=3.6))
    code, out, _ = compared("20260101-a1", "u9")
    assert code == 0
    assert "0 SAME, 0 FAST, 0 SLOW, 2 UNCLEAR" in out
    assert "The yardstick moved in 2 of 2" in out


def test_all_shows_what_is_the_same(compared):
    _, out, _ = compared("20260101-a1", "20260102-c3", "--all")
    assert sum(x.strip().startswith("SAME ") for x in out.splitlines()) == 2
    assert "yardstick moved" not in out


def test_the_heads_of_both_runs(compared, records):
    old = {"commit": "0123456789abcdef dirty", "torch": "2.11.0", "gpu_name": "NVIDIA H200"}
    new = old | {"torch": "2.13.0", "triton": "3.7.1", "canary_gbps": 4210.5}
    for run_id, facts in (("x7", old), ("x8", new)):
        save(records, Run(run_row(run_id, **facts), [result_row(run_id)]))
    _, out, _ = compared("x7", "x8")
    words = {line.split()[0]: line.split()[1:] for line in out.splitlines()[1:10]}
    assert words["run"] == ["x7", "x8"]
    assert words["time"] == ["2026-01-01T00:00:07Z", "2026-01-01T00:00:08Z"]
    assert words["commit"] == ["0123456789ab", "dirty"] * 2
    assert words["torch"] == ["2.11.0", "2.13.0", "(differs)"]
    assert words["triton"] == ["unknown", "3.7.1", "(differs)"]
    assert words["GPU"] == ["h200:", "NVIDIA", "H200"] * 2
    assert words["canary"] == ["unknown", "4210", "GB/s"]


def test_different_gpus_are_not_compared_and_it_says_so(compared):
    code, out, _ = compared("20260102-b2", "20260103-d4")
    assert code == 0
    assert "0 cases" in out
    assert "2 only in base, 2 only in head" in out
    assert "different GPUs, h200 and l4" in out


def test_cases_of_one_run_alone_are_listed_with_the_reason(compared, records):
    failed = result_row("f5", status="failed: no luck", ms_p50=None)
    save(records, Run(run_row("f5"), [failed, result_row("f5", "new", 1.0)]))
    _, out, _ = compared("20260101-a1", "f5")
    assert "no case has a time in both runs" in out
    name = "  scaled_sigmoid scalar forward float32 2x2 contiguous"
    assert f"With a time only in base:\n{name} triton_acts (failed: no luck)\n{name} eager\n" in out
    assert f"With a time only in head:\n{name} new\n" in out


def test_an_unknown_run_ends_with_2_and_lists_the_newest_first(compared):
    code, out, err = compared("20260101-a1", "nothing")
    assert (code, out) == (2, "")
    assert "no run 'nothing'" in err
    ids = ["20260103-d4", "20260102-c3", "20260102-b2", "20260101-a1"]
    assert [line.split()[0] for line in err.splitlines()[1:]] == ids


def test_an_empty_name_is_missing_and_not_the_only_run(compared, tmp_path):
    """As from `make perf-compare` without BASE."""
    alone = save(tmp_path / "alone", run_of("r1", eager=1.0))
    message = "compare: HEAD= missing; give two runs\n"
    assert compared("r1", "", folders=[alone]) == (2, "", message)
    assert "BASE= missing" in compared("", "r1", folders=[alone])[2]
    assert "BASE= and HEAD= missing" in compared("", "", folders=[alone])[2]
    assert compared("r1", "r", folders=[alone])[0] == 0


def test_a_long_list_of_runs_is_cut(compared, records):
    save(records, *(run_of(f"many{i}", eager=1.0) for i in range(SHOWN)))
    _, _, err = compared("nothing", "many1")
    assert len(err.splitlines()) == SHOWN + 2
    assert err.splitlines()[-1] == "  and 4 older ones"


def test_an_ambiguous_beginning_ends_with_2_and_an_exact_id_never_is(compared, records):
    code, _, err = compared("20260102", "20260101")
    assert code == 2
    assert "'20260102' begins the ids of 2 runs:\n  20260102-c3" in err
    assert "20260101-a1" not in err
    save(records, run_of("20260102-c33", triton_acts=1.0))
    assert compared("20260102-c3", "20260101")[0] == 0


def test_without_records_it_says_how_to_make_some(compared, tmp_path):
    code, _, err = compared("a", "b", folders=(tmp_path / "none", tmp_path))
    assert code == 2
    assert "python -m perf run" in err


def test_two_folders_and_a_run_in_both(compared, records, tmp_path):
    other = save(tmp_path / "other", run_of("o5", triton_acts=1.0, eager=3.0))
    save(other, Run(run_row("20260101-a1"), []))  # its measurements are in the other folder
    for folders in ((records, other), (other, records)):
        code, out, _ = compared("20260101", "o5", folders=folders)
        assert code == 0
        assert "2 cases: 2 SAME" in out


def test_csv_files_and_the_newest_run_in_them(compared, records, tmp_path):
    older = [result_row("20260102-b2", "another"), *run_of("20260102-c3", eager=1.0).rows]
    append(records / "h200.csv", RESULTS, older)
    code, out, _ = compared("20260102-c3", records / "h200.csv")
    assert code == 0
    assert "h200.csv holds 3 runs; compared is its newest, 20260102-c3" in out
    assert "0 only in base, 0 only in head" in out
    # alone in a folder, its run is known from the records; or else the file's name is the GPU's
    alone = tmp_path / "copy.csv"
    append(alone, RESULTS, run_of("20260101-a1", triton_acts=1.0).rows)
    assert "1 cases: 1 SAME" in compared("20260101-a1", alone)[1]
    unknown = tmp_path / "h200.csv"
    append(unknown, RESULTS, run_of("elsewhere", triton_acts=1.2, yardstick=1.0).rows)
    code, out, _ = compared("20260101-a1", unknown)
    assert code == 1
    assert "holds" not in out
    # beside its runs.csv, that one answers
    save(tmp_path, Run(run_row("elsewhere", "l4"), []))
    assert "different GPUs, h200 and l4" in compared("20260101-a1", unknown)[1]
    save(records, Run(run_row("elsewhere", "h200"), []))
    assert "different GPUs, h200 and l4" in compared("20260101-a1", unknown)[1]


def test_a_damaged_row_of_a_file_is_named(compared, tmp_path):
    file = tmp_path / "copy.csv"
    append(file, RESULTS, run_of("20260101-a1", triton_acts=1.0, eager=3.0).rows)
    file.write_text(file.read_text().replace(",4,", ",four,", 1))
    code, out, err = compared("20260101-a1", file)
    assert code == 0
    assert "1 cases: 1 SAME" in out
    assert "copy.csv, line 2" in err


def test_a_file_of_another_kind_or_without_rows_ends_with_2(compared, tmp_path):
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    code, _, err = compared("20260101-a1", other)
    assert code == 2
    assert err == f"compare: {other} is not a file of measurements, or one of another version\n"
    other.write_text(f"{RESULTS.header.strip()},gpu_slug\n")  # as of `perf export`
    code, _, err = compared("20260101-a1", other)
    assert code == 2
    assert f"{other} is an export, " in err
    assert len(err) < 300
    other.write_text(RESULTS.header)
    code, _, err = compared(other, "20260101-a1")
    assert code == 2
    assert "holds no run" in err
    assert compared("20260101-a1", tmp_path / "missing.csv")[0] == 2


def test_damaged_rows_are_named_and_the_rest_is_compared(compared, records):
    text = (records / "h200.csv").read_text().splitlines()
    text[2] = text[2].replace(",4,", ",four,", 1)  # r1's triton_acts
    (records / "h200.csv").write_text("\n".join(text))  # and the last line has no end
    text = (records / "runs.csv").read_text().splitlines()
    text[2] = text[2][:9]
    (records / "runs.csv").write_text("\n".join([*text, ""]))
    (records / "l4.csv").write_text("another,header\n")
    (records / "static.csv").write_text("no,record\n")
    code, out, err = compared("20260101-a1", "20260102-b2")
    assert code == 0
    assert "1 cases: 1 SAME, 0 FAST, 0 SLOW, 0 UNCLEAR; 0 only in base, 1 only in head." in out
    found = err.splitlines()
    assert len(found) == 4
    for name in ("h200.csv, line 3", "h200.csv, line 10", "runs.csv, line 3", "l4.csv: not a"):
        assert sum(name in line for line in found) == 1
    code, out, err = compared("20260101-a1", records / "h200.csv")
    assert len(err.splitlines()) == 4  # each once, though read twice


def test_csv_gets_every_case(compared, tmp_path):
    file = tmp_path / "new" / "cases.csv"
    compared("20260101-a1", "20260102-b2", "--csv", file)
    with file.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["provider"], row["verdict"]) for row in rows] == [
        ("triton_acts", "SLOW"),
        ("eager", "SAME"),
    ]
    slow = rows[0]
    assert (slow["base_ms"], slow["head_ms"], slow["aligned"]) == ("1.0", "1.2", "True")
    assert float(slow["low"]) < float(slow["ratio"]) == 1.2 < float(slow["high"])
    assert float(slow["per_yardstick"]) == 1.2
    assert float(slow["yardstick_ratio"]) == 1.0
    compared("20260101-a1", "20260103-d4", "--csv", file)
    with file.open(newline="") as stream:
        verdicts = [row["verdict"] for row in csv.DictReader(stream)]
    assert verdicts == ["only in base"] * 2 + ["only in head"] * 2


def test_arguments_are_required(capsys):
    with pytest.raises(SystemExit) as found:
        main(["compare", "one"])
    assert found.value.code == 2
    assert "HEAD" in capsys.readouterr().err
