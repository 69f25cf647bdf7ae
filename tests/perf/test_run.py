"""The run itself, on tiny shapes: checks before timing, rows for every gap, a report."""

import dataclasses

import pytest
import torch

from perf import providers, report, static
from perf import run as runner
from perf.cases import BOTH, COMPARED, DIRECTIONS, NODES, PEAK_MEMORY, Case, Shape, cases
from perf.history import CASE
from perf.measure import identity
from perf.ops import ops
from perf.run import Budget
from perf.units import TOLERANCE
from triton_acts import gpus
from triton_acts.tuning import inspect
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.records import RESULTS, RUNS, read
from triton_acts.tuning.registry import REGISTRY

TINY = Shape("tiny", 0.0, channels=4, side=4)
OPS = {(op.name, op.variant): op for op in ops()}
SIGMOID = OPS["scaled_sigmoid", "scalar"]
CHANNEL = OPS["penalized_tanh", "per_channel"]


def tiny(op=SIGMOID, direction="forward", dtype=torch.float32, shape=TINY):
    return Case(op, direction, dtype, shape)


@pytest.fixture
def no_static(monkeypatch):
    monkeypatch.setattr(static, "kernels", lambda *_: [])


@pytest.fixture
def counted(monkeypatch):
    """Two kernels whose counts are known, in place of 18 that take seconds to compile."""
    counts = Counts(20.0, 2.0, 10.0, 16, 16, 16, 24, 0)
    variants = [v for v in REGISTRY["scaled_sigmoid"].variants if v.name == "scalar"]

    def kernels(arch, dtypes, layouts):
        return [
            inspect.Row("scaled_sigmoid", variant, dtype, arch, 1024, 4, counts)
            for variant in variants
            if variant.name in layouts
            for dtype in dtypes
        ]

    monkeypatch.setattr(static, "kernels", kernels)


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: f"{op.name}-{op.variant}")
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_every_provider_agrees_with_float64(rows_of, op, direction, dtype, layout):
    shape = Shape("tiny", 0.0, channels=5, side=6, layout=layout, ragged=True)
    rows = rows_of(tiny(op, direction, dtype, shape))
    assert [row["provider"] for row in rows] == ["yardstick", *COMPARED]
    assert [row["status"] for row in rows] == ["ok"] * 4
    assert all(0 < row["max_err"] < TOLERANCE for row in rows[1:])
    assert [row["ms_p50"] for row in rows] == [1.0, 2.0, 3.0, 4.0]
    assert [row["share_of_yardstick"] for row in rows] == [1.0, 1 / 2, 1 / 3, 1 / 4]
    assert [row["speedup_vs_eager"] for row in rows] == [None, 1.5, 1.0, 3 / 4]
    assert [row["samples"] for row in rows] == [3] * 4
    assert rows[0]["yardstick"] == ("copy" if direction == "forward" else "add")


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("form", ["NC", "NTC"])
def test_learned_parameters_follow_the_channels(rows_of, direction, form):
    shape = Shape("tiny", 0.001, channels=7, side=5, form=form)
    rows = rows_of(tiny(CHANNEL, direction, torch.float32, shape))
    assert [row["status"] for row in rows] == ["ok"] * 4


def test_bytes_are_those_that_have_to_move():
    assert tiny().bytes == 2 * 64 * 4
    assert tiny(direction="backward", dtype=torch.bfloat16).bytes == 3 * 64 * 2
    assert tiny(CHANNEL).bytes == 2 * 64 * 4 + 4 * 4
    assert Shape("ragged", 1, ragged=True).sizes(4) == (5, 65, 33, 31)


WRONG = {
    "four sigmoid, not centred": dataclasses.replace(SIGMOID, ours=lambda x: 4 * torch.sigmoid(x)),
    "loses NaN-free digits": dataclasses.replace(
        SIGMOID, ours=lambda x: SIGMOID.eager(x) * 1.00001
    ),
    "another dtype": dataclasses.replace(SIGMOID, ours=lambda x: SIGMOID.eager(x).double()),
    "not a number": dataclasses.replace(SIGMOID, ours=lambda x: SIGMOID.eager(x) * torch.nan),
}


@pytest.mark.parametrize("op", WRONG.values(), ids=WRONG)
def test_a_wrong_result_is_a_row_and_never_a_time(rows_of, op):
    rows = rows_of(tiny(op))
    ours = rows[1]
    assert (ours["provider"], ours["status"]) == ("triton_acts", "wrong")
    assert not ours["ms_p50"] > 0
    assert rows[2]["status"] == "ok"
    assert rows[2]["ms_p50"] == 2.0


def test_a_wrong_weight_gradient_is_found(rows_of):
    def detached(x, w):
        return CHANNEL.eager(x, w + 0.01 * (w - w.detach()))

    op = dataclasses.replace(CHANNEL, ours=detached)
    rows = rows_of(tiny(op, "backward"))
    assert [row["status"] for row in rows] == ["ok", "wrong", "ok", "ok"]


def test_a_machine_without_a_compiler_is_a_row(rows_of, monkeypatch):
    def unavailable(_case):
        raise RuntimeError("no C++ compiler\nis here")

    monkeypatch.setitem(providers.PROVIDERS, "torch.compile", unavailable)
    rows = rows_of(tiny())
    assert rows[3]["status"] == "not available: RuntimeError: no C++ compiler ... is here"
    assert rows[1]["status"] == "ok"


@pytest.mark.usefixtures("counted")
def test_a_run_writes_records_and_a_report(perform, tmp_path):
    outcome = perform([tiny(), tiny(CHANNEL, "backward", torch.bfloat16)])
    runs = read(tmp_path / "records" / "runs.csv", RUNS)
    results = read(tmp_path / "records" / "cpu.csv", RESULTS)
    assert runs.problems == results.problems == []
    assert len(runs.rows) == 1
    assert len(results.rows) == len(outcome.rows) == 8
    assert {row["run_id"] for row in results.rows} == {runs.rows[0]["run_id"]}
    assert runs.rows[0]["canary_gbps"] == pytest.approx(2 * 2**26 / 1e6)
    text = (tmp_path / "report" / "report.md").read_text()
    assert "a CPU (no GPU: the plain PyTorch composite ran, not the Triton kernels)" in text
    lines = "\n".join(report.summary(outcome.meta, outcome.rows))
    assert lines.split("scaled_sigmoid, forward, small")[1].split()[:3] == ["1.50", "2.00", "0.50"]
    assert "| cpu | scaled_sigmoid | forward | small | 1 | 1.50 | 2.00 | 0.50 |" in text
    assert "| scaled_sigmoid, forward | float32 1x4x4x4 |" in text
    assert text.count("### Predicted rate") == 2  # a table for each dtype
    assert text.count("\n| h200 | ") == 2
    assert " (dram) |" in text
    assert "Not predicted yet on sm_75" in text
    assert all(path.exists() for path in outcome.files)


@pytest.mark.usefixtures("no_static")
def test_a_noisy_run_is_called_so(perform):
    outcome = perform([tiny()])
    assert "Noise" not in "\n".join(report.summary(outcome.meta, outcome.rows))
    rows = [row | {"ms_p80": 1.3 * row["ms_p20"]} for row in outcome.rows]
    assert "Noise: in 1 of 1 cases" in "\n".join(report.summary(outcome.meta, rows))


@pytest.mark.usefixtures("no_static")
def test_the_report_is_the_same_when_made_again(perform, tmp_path):
    perform([tiny()])
    file = tmp_path / "report" / "report.md"
    first = file.read_text()
    book = report.load([tmp_path / "none", tmp_path / "records"])
    predicted = static.read(tmp_path / "report" / "static.csv")
    report.write(tmp_path / "report", book, predicted)
    assert file.read_text() == first


@pytest.mark.usefixtures("no_static")
def test_damaged_records_are_named_in_the_report(perform, tmp_path):
    perform([tiny()])
    path = tmp_path / "records" / "cpu.csv"
    path.write_text(path.read_text().replace(",64,", ",many,", 1))
    book = report.load([tmp_path / "records"])
    assert len(book.rows) == 3
    for file in report.write(tmp_path, book, []):
        assert f"{path}, line 2: " in file.read_text()


@pytest.mark.usefixtures("no_static")
def test_what_the_budget_does_not_reach_is_a_row(perform, capsys):
    outcome = perform([tiny()], budget=Budget(0, 0, 0.01))
    gaps = "predictions: out of time: 4 of 4 parts, from pointwise sm_90 bfloat16 on"
    assert gaps in capsys.readouterr().out
    assert [row["status"] for row in outcome.rows] == ["left out: out of time"]
    said = "\n".join(report.summary(outcome.meta, outcome.rows))
    assert "1 rows: left out: out of time (scaled_sigmoid, forward)" in said


@pytest.mark.usefixtures("no_static")
def test_a_run_keeps_what_others_have_predicted(perform, tmp_path):
    table = tmp_path / "report" / "static.csv"
    row = dict.fromkeys(static.COLUMNS, "1") | {"op": "kaf", "dtype": "bfloat16", "arch": "sm_75"}
    table.parent.mkdir()
    static.update(table, [row | {"gpu": "t4"}])
    before = table.read_bytes()
    perform([tiny()])
    assert table.read_bytes() == before
    assert "\n| t4 | " in (tmp_path / "report" / "report.md").read_text()


def test_without_triton_the_static_table_is_left_out(perform, monkeypatch, capsys):
    def missing(_arch, _dtypes, _layouts):
        raise RuntimeError("Triton is not installed")

    monkeypatch.setattr(static, "kernels", missing)
    outcome = perform([tiny()])
    assert outcome.static == []
    assert len(outcome.rows) == 4
    assert "Triton is not installed" in capsys.readouterr().out


@pytest.mark.usefixtures("counted")
def test_a_kernel_is_recorded_with_its_prediction():
    kernels = static.kernels("sm_90", [torch.bfloat16, torch.float32], static.POINTWISE)
    gpu = next(gpu for gpu in gpus.table() if gpu.slug == "h200")
    large = Shape("64 MiB", 64)
    columns = static.columns_for(tiny(dtype=torch.bfloat16, shape=large), gpu, kernels)
    assert (columns["regs"], columns["spills"], columns["instr_per_elt"]) == (24, 0, 20.0)
    assert columns["predicted_bound"] == "dram"
    assert columns["predicted_ms"] == pytest.approx(2 * 2**26 / 4800e9 * 1e3)
    assert static.columns_for(tiny(CHANNEL), gpu, kernels) == {}
    assert static.columns_for(tiny(), gpus.table()[0], kernels) == {}


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_cases_cover_every_op_and_direction(kind, quick):
    found = cases(kind, quick)
    timed = [case for case in found if case.mode != PEAK_MEMORY]
    covered = {(case.op.name, case.op.variant, case.direction) for case in timed}
    ways = ("forward", "backward") if quick else (*DIRECTIONS, BOTH)
    by_nodes = set() if quick else {("kaf", f"d{nodes}", BOTH) for nodes in NODES}
    assert covered == {(*op, way) for op in OPS for way in ways} | by_nodes
    assert len({case.label for case in found}) == len(found)
    assert not any(word in case.label for case in found for word in ("scalar", "per_ch", "d20"))
    names = [tuple(identity(case, "").values()) for case in found]
    assert len(set(names)) == len(names)  # a case that comes twice would be two rows of one name
    assert any(case.peers for case in found) == (not quick)
    if kind == "gpu" and not quick:
        assert any(case.numel % 16 for case in found)
        assert {case.shape.layout for case in found} == {"contiguous", "channels_last"}
    with pytest.raises(ValueError, match="'tpu'"):
        cases("tpu", quick)


def listed(kind, **wanted):
    """The forms, sizes, directions, modes and providers of a full list's cases like these."""
    found = set()
    for case in cases(kind, False):
        known = {"op": case.op.name, "variant": case.op.variant, "mode": case.mode}
        if all(known[name] == value for name, value in wanted.items()):
            found.add((case.shape.name, case.direction))
    return found


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_every_op_has_the_forms_that_layers_have(kind):
    learned = listed(kind, variant="per_channel", mode="device")
    kaf = listed(kind, op="kaf", mode="device")
    for way in DIRECTIONS:
        for form in ("N x C", "N x T x C"):
            for own in (learned, kaf):
                assert any(name.endswith(f"MiB {form}") and w == way for name, w in own), form
        for size in ("small", "ragged"):
            assert any(name.endswith(size) and w == way for name, w in kaf), size


def test_small_tensors_of_a_gpu_are_timed_in_every_view():
    for mode in ("launch-inclusive", "graph-replayed"):
        for op, variant in OPS:
            both = {("small", way) for way in DIRECTIONS}
            assert listed("gpu", op=op, variant=variant, mode=mode) == both


def test_a_step_of_kaf_is_compared_with_everything_on_a_gpu():
    found = [
        case
        for case in cases("gpu", False)
        if (case.op.variant, case.direction, case.mode) == ("d20", BOTH, "device")
    ]
    assert {case.dtype for case in found} == {torch.bfloat16, torch.float32}
    assert {case.providers for case in found} == {tuple(providers.PROVIDERS)}
    backward = [dataclasses.replace(case, direction="backward") for case in found]
    assert [case.footprint for case in found] == [case.footprint for case in backward]


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_a_quick_run_leaves_time_for_the_report(kind):
    """60 s are promised on two cores; what follows the budget takes 8 s there."""
    assert runner.budget_for(kind, True).total_s + runner.CHARTS_S <= 52


def test_a_wrong_result_of_ours_fails_the_run(monkeypatch, capsys):
    """A speed on a red check is no speed: the case is named and the command exits with 1."""
    from types import SimpleNamespace

    from perf import __main__ as command

    row = dict.fromkeys(CASE, "x") | {"max_err": 12.5}
    rows = [
        row | {"provider": "eager", "status": "wrong"},
        row | {"provider": "triton_acts", "status": "ok"},
    ]
    assert report.our_failures(rows) == []
    rows.append(row | {"provider": "triton_acts", "status": "wrong"})
    compiled = row | {"provider": "triton_acts compiled", "status": "wrong"}
    assert len(report.our_failures([*rows, compiled])) == 2
    (line,) = report.our_failures(rows)
    assert "triton_acts: wrong, error 12.5, allowed 8" in line
    outcome = SimpleNamespace(rows=rows, meta={}, static=[], interrupted=False, files=[])
    monkeypatch.setattr(command, "run", lambda **_: outcome)
    monkeypatch.setattr(command.report, "terminal_table", lambda _: "")
    monkeypatch.setattr(command.report, "summary", lambda *_: [])
    monkeypatch.setattr(command.report, "ending", lambda *_: [])
    args = SimpleNamespace(quick=True, records=None, report=None)
    assert command._run(args) == 1
    assert "FAILED: x x x" in capsys.readouterr().err
    rows.pop()
    assert command._run(args) == 0


def test_machine_code_beside_a_case_is_that_of_its_kernel(monkeypatch):
    """Small planes and rows that are no multiple of 16 run other kernels than the table holds."""
    from perf import static
    from perf.cases import Case, Shape
    from perf.ops import ops
    from triton_acts import gpus

    (learned,) = (op for op in ops() if op.variant == "per_channel")
    (gpu,) = (gpu for gpu in gpus.table() if gpu.slug == "h200")
    found = static.kernels("sm_90", [torch.float32], {"per_channel": ("inner1", "innerN")})
    for shape, known in (
        (Shape("plain", 1), True),
        (Shape("channels last", 1, layout="channels_last"), True),
        (Shape("small planes", 1, side=8), False),
        (Shape("ragged", 1, ragged=True), False),
    ):
        case = Case(learned, "forward", torch.float32, shape)
        assert bool(static.columns_for(case, gpu, found)) == known, shape
