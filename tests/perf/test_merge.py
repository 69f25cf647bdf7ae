"""`perf import` merges by run_id and can be repeated."""

import pytest

from perf.merge import merge
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
