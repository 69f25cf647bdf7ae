"""Training steps: checked before they are timed, priced against ReLU, a row for every gap."""

import dataclasses
import math
import time
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from support.perf_rows import result_row
from support.steps import CNN, CPU, MLP, NAMES, InOrder, one_thread, raising  # noqa: F401

import triton_acts
from perf import __main__ as command
from perf import report, training
from perf.models import ACTIVATIONS, Step, Training
from perf.prices import prices, summary
from perf.training import failures, measure_steps
from triton_acts.tuning import timing
from triton_acts.tuning.device import Device
from triton_acts.tuning.records import RESULTS, read
from triton_acts.tuning.timing import MIN_ROUNDS, YARDSTICK


def all_rows_of(*todo, deadline=math.inf):
    rows = list(measure_steps(todo, CPU, InOrder(), "r", 1.0, deadline))
    for row in rows:
        RESULTS.encode(row)
    return rows


def rows_of(*todo, deadline=math.inf):
    """Those of the activations."""
    return [row for row in all_rows_of(*todo, deadline=deadline) if row["provider"] != YARDSTICK]


def priced(rows):
    """The lines of `prices`, None where there is no number."""
    frame = prices(pd.DataFrame(rows, columns=list(RESULTS.columns)))
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def status_of(rows):
    return {row["provider"]: row["status"] for row in rows}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("model", ["cnn", "mlp"])
def test_every_activation_learns_and_is_timed(model, dtype):
    size = {"cnn": (4, 2), "mlp": (8, 16)}[model]
    rows = rows_of(Step(model, "eager", *size, dtype))
    assert status_of(rows) == dict.fromkeys(NAMES, "ok")
    assert [row["ms_p50"] for row in rows] == [2.0, 3.0, 4.0, 5.0]  # the yardstick takes 1 ms
    shape, numel = {"cnn": ("4x3x32x32", 12288), "mlp": ("8x16", 128)}[model]
    for row in rows:
        assert (row["op"], row["variant"]) == ("training step", f"{model}/eager")
        assert (row["direction"], row["layout"]) == ("forward+backward", "contiguous")
        assert (row["shape"], row["numel"]) == (shape, numel)
        assert row["dtype"] == str(dtype).removeprefix("torch.")
        assert row["speedup_vs_eager"] is row["share_of_yardstick"] is row["bytes"] is None
    assert [row["samples"] for row in rows] == [MIN_ROUNDS] * 4
    assert [line["price"] for line in priced(rows)] == [1.0, 1.5, 2.0, 2.5]
    assert [line["memory_price"] for line in priced(rows)] == [None] * 4


def test_a_copy_of_the_same_rounds_is_a_row_and_no_activation():
    rows = all_rows_of(MLP, dataclasses.replace(MLP, batch=4, left_out="too slow"))
    assert [row["provider"] for row in rows] == [YARDSTICK, *NAMES, *NAMES]
    copy = rows[0]
    assert (copy["ms_p50"], copy["samples"], copy["status"]) == (1.0, MIN_ROUNDS, "ok")
    assert {row["yardstick"] for row in rows[:5]} == {"copy"}
    assert [line["provider"] for line in priced(rows)] == [*NAMES, *NAMES]
    assert not any(YARDSTICK in line for line in summary({"gpu_slug": "cpu"}, rows))


def test_rounds_that_raise_are_rows(monkeypatch):
    def raises(*_):
        raise RuntimeError("the GPU is\nlost")

    monkeypatch.setattr(timing, "measure", raises)
    assert set(status_of(rows_of(MLP)).values()) == {"failed: RuntimeError: the GPU is ... lost"}


class Growing(torch.nn.Module):
    """A thousand times larger at every call."""

    factor = 1.0

    def forward(self, x):
        self.factor *= 1e3
        return self.factor * x


class Infinite(torch.nn.Module):
    def forward(self, x):
        return x / 0


@pytest.mark.parametrize("broken", [Growing, Infinite])
def test_a_model_that_does_not_learn_is_wrong_and_not_timed(monkeypatch, broken):
    monkeypatch.setitem(ACTIVATIONS, "penalized_tanh", lambda _channels: broken())
    rows = rows_of(MLP)
    status = status_of(rows)
    assert status.pop("penalized_tanh").startswith("wrong: the loss goes from ")
    assert set(status.values()) == {"ok"}
    assert [row["ms_p50"] for row in rows] == [2.0, None, 3.0, 4.0]
    assert len(failures(rows)) == 1


@pytest.mark.parametrize(
    ("losses", "status"),
    [
        ([2.3, 2.4, 2.2], "ok"),
        ([2.25, 2.1, 2.25], "wrong: the loss goes from 2.25 to 2.25 in 3 steps"),
        ([1.0, 3.0], "wrong: the loss goes from 1 to 3 in 2 steps"),
        ([math.inf, 1.0], "wrong: the loss goes from inf to 1 in 2 steps"),
        ([2.0, math.nan, 1.0], "wrong: the loss goes from 2 to 1 in 3 steps"),
    ],
)
def test_a_loss_is_finite_and_falls(losses, status):
    assert training._fault(losses) == status


class WrongGradient(torch.nn.Module):
    """KAF with gradients that are five percent too large."""

    def __init__(self, channels):
        super().__init__()
        self.kaf = triton_acts.KAF(channels)

    def forward(self, x):
        y = self.kaf(x)
        return y + 0.05 * (y - y.detach())


@pytest.mark.parametrize("step", [MLP, CNN], ids=lambda step: step.model)
def test_ours_has_to_agree_with_the_published_form(monkeypatch, step):
    monkeypatch.setitem(ACTIVATIONS, "kaf", WrongGradient)
    rows = rows_of(step)
    status = status_of(rows)
    assert status.pop("kaf").startswith("wrong: its losses are ")
    assert set(status.values()) == {"ok"}
    assert priced(rows)[2]["price"] is None
    (line,) = failures(rows)
    assert line.startswith(f"training step {step.variant} float32 kaf: wrong: ")


def test_a_failing_activation_is_a_row(monkeypatch):
    def absent(_channels):
        raise ValueError("no such\nlayer")

    monkeypatch.setitem(ACTIVATIONS, "relu", absent)
    monkeypatch.setitem(ACTIVATIONS, "penalized_tanh", raising(RuntimeError("hot"), calls=10))
    full = torch.OutOfMemoryError("1 TiB")
    monkeypatch.setitem(ACTIVATIONS, "kaf as published", raising(full))
    rows = rows_of(MLP)
    assert status_of(rows) == {
        "relu": "failed: ValueError: no such ... layer",
        "penalized_tanh": "failed: RuntimeError: hot",  # its check took eight of ten calls
        "kaf": "ok",
        "kaf as published": "left out: out of memory",
    }
    assert [line["price"] for line in priced(rows)] == [None] * 4
    (line,) = failures(rows)
    assert line.endswith("penalized_tanh: failed: RuntimeError: hot")


def test_a_machine_without_a_compiler_is_a_row(monkeypatch):
    def unavailable(*_args, **_options):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", unavailable)
    rows = rows_of(Step("mlp", "compiled", 8, 16))
    assert [row["variant"] for row in rows] == ["mlp/compiled"] * 4
    assert set(status_of(rows).values()) == {"not available: RuntimeError: no C++ compiler"}


def test_compiled_is_the_compiled_model(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: compiled.append(model) or model)
    assert set(status_of(rows_of(Step("mlp", "compiled", 8, 16))).values()) == {"ok"}
    assert len(compiled) == 4
    rows_of(MLP)
    assert len(compiled) == 4


def test_what_is_not_measured_is_a_row():
    left_out = Step("cnn", "compiled", 4, 2, left_out="too slow here")
    late = Step("mlp", "eager", 8, 16, memory=True)
    rows = rows_of(left_out, late, deadline=time.monotonic())
    assert [row["status"] for row in rows[:4]] == ["left out: too slow here"] * 4
    assert [row["status"] for row in rows[4:]] == ["left out: out of time"] * 8
    assert summary({"gpu_slug": "cpu"}, rows) == []


def test_what_would_take_too_long_is_left_out(monkeypatch):
    """An activation begins only if as much time is left as the slowest before it took."""
    now = [0.0]
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    built = Training.__init__

    def slow(self, *args):
        now[0] += 10.0
        built(self, *args)

    monkeypatch.setattr(Training, "__init__", slow)
    status = status_of(rows_of(MLP, deadline=25.0))
    assert list(status.values()) == ["ok", "ok", *["left out: out of time"] * 2]
    now[0] = 0.0
    rows = all_rows_of(MLP, deadline=15.0)  # ReLU alone says nothing
    assert [row["provider"] for row in rows] == NAMES
    assert set(status_of(rows).values()) == {"left out: out of time"}


def row(name, variant="cnn/eager", ms=None, num_bytes=None, **changes):
    found = result_row("r", name, ms, op="training step", variant=variant, bytes=num_bytes)
    return found | changes


ROWS = [
    result_row("r"),
    *(row(name, ms=ms) for name, ms in zip(NAMES, (10.0, 10.3, 14.0, 87.0), strict=True)),
    row("relu", "cnn/eager/peak-memory", num_bytes=2**20),
    row("kaf", "cnn/eager/peak-memory", num_bytes=3 * 2**19),
    row("kaf", "mlp/eager", 3.0),
    row("relu", "mlp/eager", status="failed: x"),
]


def test_prices():
    table = {(line["model"], line["provider"]): line for line in priced(ROWS)}
    assert list(table) == [*(("cnn", name) for name in NAMES), ("mlp", "kaf"), ("mlp", "relu")]
    kaf = table["cnn", "kaf"]
    assert (kaf["mode"], kaf["ms_p50"], kaf["price"]) == ("eager", 14.0, 1.4)
    assert (kaf["peak_mib"], kaf["memory_price"]) == (1.5, 1.5)
    published = table["cnn", "kaf as published"]
    assert (published["price"], published["peak_mib"], published["memory_price"]) == (
        8.7,
        None,
        None,
    )
    assert (table["mlp", "kaf"]["ms_p50"], table["mlp", "kaf"]["price"]) == (3.0, None)
    assert table["mlp", "relu"]["status"] == "failed: x"


def test_the_summary_says_the_price():
    texts = "penalized_tanh 1.03, kaf 1.4, kaf as published 8.7"
    assert summary({"gpu_slug": "cpu"}, ROWS) == [
        f"training step, price over ReLU: {texts} (cnn, eager, cpu)",
        "training step, peak memory over ReLU: kaf 1.5 (cnn, eager, cpu)",
    ]
    assert summary({}, ROWS[:1]) == []


def test_a_wrong_step_of_ours_fails_the_run(monkeypatch, capsys):
    meta = {"gpu_slug": "cpu"}
    rows = [*ROWS, row("kaf as published", status="wrong: x"), row("relu", status="wrong: x")]
    outcome = SimpleNamespace(rows=rows, meta=meta, static=[], interrupted=False, files=[])
    monkeypatch.setattr(command, "run", lambda **_: outcome)
    for name in ("terminal_table", "promises_table", "ending"):
        monkeypatch.setattr(report, name, lambda *_: "")
    monkeypatch.setattr(report, "summary", lambda *_: [])
    args = SimpleNamespace(quick=True, records=None, report=None)
    assert command._run(args) == 0
    assert "price over ReLU: penalized_tanh 1.03, kaf 1.4" in capsys.readouterr().out
    rows.append(row("kaf", status="wrong: its losses"))
    assert command._run(args) == 1
    assert "FAILED: training step cnn/eager float32 kaf: wrong" in capsys.readouterr().err


def test_peak_memory_is_a_row_of_bytes(monkeypatch):
    sizes = dict(zip(NAMES, (10, 11, 12, 200), strict=True))
    monkeypatch.setattr(training, "peak", lambda _step, name, *_: (sizes[name], "ok"))
    monkeypatch.setitem(ACTIVATIONS, "penalized_tanh", raising(RuntimeError("hot")))
    rows = rows_of(Step("mlp", "eager", 8, 16, memory=True))
    peaks = [row for row in rows if row["variant"] == "mlp/eager/peak-memory"]
    assert [row["provider"] for row in peaks] == NAMES
    assert [row["bytes"] for row in peaks] == [10, None, 12, 200]
    assert [row["ms_p50"] for row in peaks] == [None] * 4
    assert peaks[1]["status"] == "failed: RuntimeError: hot"
    assert [line["memory_price"] for line in priced(rows)] == [1.0, None, 1.2, 20.0]


@pytest.mark.gpu
def test_steps_on_a_gpu():
    device = Device(torch.device("cuda", 0), "gpu", "a GPU", None, 0)
    small = Step("mlp", "eager", 4096, 256, torch.bfloat16, memory=True)
    rows = list(measure_steps([small], device, InOrder(), "r", 1.0, math.inf))
    assert {row["status"] for row in rows} == {"ok"}
    assert priced(rows)[3]["memory_price"] > 5 * priced(rows)[2]["memory_price"]


def test_a_run_records_its_steps(perform, monkeypatch, tmp_path):
    monkeypatch.setattr("perf.run._predict", lambda *_: None)
    monkeypatch.setattr(report, "write", lambda *_: [])
    outcome = perform([], training=[MLP])
    found = read(tmp_path / "records" / "cpu.csv", RESULTS)
    assert found.problems == []
    names = [YARDSTICK, *NAMES]
    assert [row["provider"] for row in found.rows] == names
    assert status_of(outcome.rows) == status_of(found.rows) == dict.fromkeys(names, "ok")
    assert perform([]).rows == []  # selected cases are all that was asked for
