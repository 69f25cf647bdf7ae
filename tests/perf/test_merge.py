"""`perf import` merges by run_id and can be repeated."""

import pytest

from perf import LOCAL, RECORDS
from perf import __main__ as command
from perf.merge import Merged, merge
from triton_acts.tuning.records import RESULTS, RUNS, append, read


def run_row(run_id: str, slug: str = "h200") -> dict[str, object]:
    return dict.fromkeys(RUNS.columns) | {
        "run_id": run_id,
        "utc_time": "2026-01-01T00:00:00Z",
        "gpu_slug": slug,
        "torch": "2.11.0",
    }


def result_row(run_id: str, op: str = "scaled_sigmoid") -> dict[str, object]:
    return dict.fromkeys(RESULTS.columns) | {
        "run_id": run_id,
        "op": op,
        "direction": "forward",
        "provider": "eager",
        "dtype": "float32",
        "shape": "2x2",
        "layout": "contiguous",
        "numel": 4,
        "status": "ok",
    }


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    append(folder / "runs.csv", RUNS, [run_row("r1"), run_row("r2", "l4")])
    append(folder / "h200.csv", RESULTS, [result_row("r1"), result_row("r1", "penalized_tanh")])
    append(folder / "l4.csv", RESULTS, [result_row("r2")])
    return folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_merge_takes_everything_and_a_second_one_nothing(source, tmp_path):
    target = tmp_path / "target"
    append(target / "runs.csv", RUNS, [run_row("r0")])
    append(target / "h200.csv", RESULTS, [result_row("r0")])
    done = merge(source, target)
    assert (done.runs, done.rows, done.problems) == (2, 3, [])
    assert [row["run_id"] for row in read(target / "runs.csv", RUNS).rows] == ["r0", "r1", "r2"]
    assert [r["run_id"] for r in read(target / "h200.csv", RESULTS).rows] == ["r0", "r1", "r1"]
    before = files(target)
    again = merge(source, target)
    assert (again.runs, again.rows) == (0, 0)
    assert files(target) == before


def test_an_interrupted_merge_is_completed(source, tmp_path):
    target = tmp_path / "target"
    append(target / "h200.csv", RESULTS, [result_row("r1")])  # the run's own row was still to come
    merge(source, target)
    assert len(read(target / "h200.csv", RESULTS).rows) == 2


def test_a_corrupt_row_is_named_and_the_rest_is_merged(source, tmp_path):
    text = (source / "h200.csv").read_text().replace(",4,", ",four,", 1)
    (source / "h200.csv").write_text(text)
    done = merge(source, tmp_path / "target")
    assert (done.runs, done.rows) == (2, 2)
    assert len(done.problems) == 1
    assert "line 2" in done.problems[0]


def test_another_schema_and_a_folder_without_records_are_errors(source, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no runs\.csv"):
        merge(tmp_path, tmp_path / "target")
    (source / "l4.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="not a file of measurement rows"):
        merge(source, tmp_path / "target")


def test_runs_of_a_cpu_go_to_a_folder_of_their_own(source, tmp_path):
    """Records of GPUs are committed, those of a CPU are not."""
    target, local = tmp_path / "target", tmp_path / "target" / "local"
    append(source / "runs.csv", RUNS, [run_row("r3", "cpu")])
    append(source / "cpu.csv", RESULTS, [result_row("r3")])
    done = merge(source, target, local)
    assert (done.runs, done.rows) == (3, 4)
    assert {path.name for path in target.glob("*.csv")} == {"runs.csv", "h200.csv", "l4.csv"}
    assert [row["run_id"] for row in read(target / "runs.csv", RUNS).rows] == ["r1", "r2"]
    assert [row["run_id"] for row in read(local / "runs.csv", RUNS).rows] == ["r3"]
    assert [row["run_id"] for row in read(local / "cpu.csv", RESULTS).rows] == ["r3"]
    again = merge(source, target, local)
    assert (again.runs, again.rows) == (0, 0)
    merge(source, tmp_path / "all")
    assert (tmp_path / "all" / "cpu.csv").exists()


def test_the_command_keeps_a_cpu_from_the_committed_records(source, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(command.merge, "merge", lambda *given: seen.append(given) or Merged())
    command.main(["import", str(source)])
    command.main(["import", str(source), "--records", str(tmp_path)])
    assert seen == [(source, RECORDS, LOCAL), (source, tmp_path, None)]
