"""The README's speed table: from records alone, and never a prediction in a gap."""

from pathlib import Path

import pytest

from perf import readme
from perf.readme import NOT_YET, speed_table
from triton_acts.tuning import records
from triton_acts.tuning.records import RESULTS, RUNS

ROOT = Path(__file__).parents[2]
SHAPE = "512x64x32x32"  # 64 MiB of bfloat16


def run_row(run_id, slug="h200", utc_time="2026-01-02T03:04:05Z"):
    row = dict.fromkeys(RUNS.columns)
    row |= {"run_id": run_id, "gpu_slug": slug, "utc_time": utc_time, "torch": "2.13.0"}
    return row | {"triton": "3.7.1"}


def result(run_id, provider, ms, **changed):
    row = dict.fromkeys(RESULTS.columns)
    row |= {"run_id": run_id, "op": "scaled_sigmoid", "variant": "scalar", "direction": "forward"}
    row |= {"dtype": "bfloat16", "shape": SHAPE, "layout": "contiguous", "numel": 2**25}
    row |= {"provider": provider, "ms_p50": ms, "gbps": 4000.0 / ms, "status": "ok"}
    return row | {"share_of_yardstick": 0.97, "predicted_ms": 0.123} | changed


def line_of(table, *words):
    (line,) = (line for line in table.splitlines() if all(word in line for word in words))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_nothing_measured_is_said(tmp_path):
    table = speed_table(tmp_path)
    assert table.count(NOT_YET) == 8
    assert all(line.count("|") == table.split("\n")[0].count("|") for line in table.splitlines())


def test_rows_name_gpu_versions_and_date(tmp_path):
    rows = [result("a", "triton_acts", 1.0), result("a", "eager", 5.0)]
    rows.append(result("a", "torch.compile", 1.04))
    records.append(tmp_path / "runs.csv", RUNS, [run_row("a")])
    records.append(tmp_path / "h200.csv", RESULTS, rows)
    cells = line_of(speed_table(tmp_path), "scaled_sigmoid", "forward")
    assert cells[2:] == [
        *(f"bfloat16 {SHAPE}", "h200", "4000", "0.97", "5.00", "1.04", "2.13.0 / 3.7.1"),
        "2026-01-02",
    ]


def test_every_gpu_once_with_its_newest_run(tmp_path):
    """Not the tuner's rows, not a CPU's."""
    runs = [run_row("new", utc_time="2026-02-02T00:00:00Z"), run_row("old")]
    runs += [run_row("amd", "mi300x"), run_row("host", "cpu")]
    records.append(tmp_path / "runs.csv", RUNS, runs)
    both = [result("new", "triton_acts", 2.0), result("old", "triton_acts", 1.0)]
    tuned = result("new", "triton_acts", 0.5, config_source="tune: candidate")
    records.append(tmp_path / "h200.csv", RESULTS, [*both, tuned])
    records.append(tmp_path / "mi300x.csv", RESULTS, [result("amd", "triton_acts", 4.0)])
    records.append(tmp_path / "cpu.csv", RESULTS, [result("host", "triton_acts", 8.0)])
    table = speed_table(tmp_path)
    assert line_of(table, "h200")[4] == "2000"
    assert line_of(table, "mi300x")[4] == "1000"
    assert "cpu" not in table
    assert table.count(NOT_YET) == 7


def test_a_damaged_record_is_named(tmp_path):
    records.append(tmp_path / "runs.csv", RUNS, [run_row("a")])
    records.append(tmp_path / "h200.csv", RESULTS, [result("a", "triton_acts", 1.0)])
    with (tmp_path / "h200.csv").open("a") as file:
        file.write("half a row\n")
    with pytest.raises(ValueError, match=r"h200.csv, line 3"):
        speed_table(tmp_path)


def test_the_readme_holds_the_table(tmp_path):
    """And a README without the marks is refused, unchanged."""
    table = speed_table(ROOT / "perf" / "records")
    assert f"<!-- speed -->\n\n{table}\n\n<!-- /speed -->" in (ROOT / "README.md").read_text()
    other = tmp_path / "README.md"
    other.write_text("nothing")
    with pytest.raises(ValueError, match="0 sections marked 'speed'"):
        readme.write(other, tmp_path)
    assert other.read_text() == "nothing"
