"""Beside a measured row: what the kernel was launched with, and what its machine code says."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from perf import measure, static
from perf.cases import BOTH, DIRECTIONS, PEAK_MEMORY, Case, Shape, cases
from perf.ops import kaf_op, ops
from triton_acts import _triton, gpus
from triton_acts.tuning import inspect, lookup
from triton_acts.tuning.config import Config
from triton_acts.tuning.device import Device
from triton_acts.tuning.lookup import config_override
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.records import RESULTS, read
from triton_acts.tuning.registry import REGISTRY, Dims
from triton_acts.tuning.target import target_of_slug


class Pretended(Device):
    """A CPU that is taken for a GPU."""

    kind = "gpu"


H200 = Pretended(torch.device("cpu"), "h200", "a GPU", gpus.constants("h200"), 0)
LAUNCHED = {"config_source", "block", "elements_per_thread", "num_warps", "unroll"}
CODE = {"regs", "spills", "instr_per_elt", "mufu_per_elt", "predicted_ms", "predicted_bound"}
OPS = {(op.name, op.variant): op for op in ops()}
ROWS = Shape("rows", 64, 512, form="NC")
TOKENS = Shape("tokens", 64, 512, side=256, form="NTC")
IMAGES = Shape("images", 64)


@pytest.fixture(autouse=True)
def an_h200(monkeypatch, tmp_path):
    monkeypatch.setattr(_triton, "INTERPRETED", False)
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path))
    monkeypatch.setattr(lookup, "target_of", lambda _: target_of_slug("h200"))
    lookup.forget()
    yield
    lookup.forget()


@pytest.fixture
def counted():
    """Every kernel of sm_90, in place of minutes to compile them."""
    counts = Counts(20.0, 2.0, 10.0, 16, 16, 16, 24, 0)
    return [
        inspect.Row(op, variant, dtype, "sm_90", 1024, 4, counts)
        for op, spec in REGISTRY.items()
        for variant in spec.variants
        if variant.name in static.MEASURED
        for dtype in (torch.bfloat16, torch.float32, torch.float16)
    ]


def columns_of(case, kernels=()):
    """Nothing is allocated: x has a shape and strides, and lies at address 0."""
    layout = getattr(torch, case.shape.layout.replace("contiguous", "contiguous_format"))
    x = torch.empty(case.sizes, dtype=case.dtype, device="meta")
    x = x.to(memory_format=layout) if x.dim() == 4 else x
    return measure._kernel_columns(case, SimpleNamespace(x=x), H200, kernels)


def known(columns):
    return {name for name, value in columns.items() if value is not None}


@pytest.mark.parametrize("quick", [False, True])
def test_every_case_of_a_gpu_has_its_columns(counted, quick):
    for case in cases("gpu", quick):
        if case.mode == PEAK_MEMORY:
            continue
        columns = columns_of(case, counted)
        row = dict.fromkeys(RESULTS.columns) | measure.identity(case, "r") | columns
        RESULTS.encode(row | {"provider": "triton_acts", "status": "ok"})
        if case.direction == BOTH:
            assert columns == {}, case.label  # two kernels
        else:
            assert known(columns) >= LAUNCHED, case.label


@pytest.mark.parametrize("op", OPS.values(), ids=lambda op: f"{op.name}-{op.variant}")
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shape", [ROWS, TOKENS, IMAGES], ids=lambda shape: shape.name)
def test_the_columns_are_those_of_the_launch(counted, op, direction, shape, monkeypatch):
    case = Case(op, direction, torch.bfloat16, shape)
    asked, answer = [], lookup.answer
    monkeypatch.setattr(lookup, "answer", lambda *all: asked.append(all[5]) or answer(*all))
    columns = columns_of(case, counted)
    layout = op.layout(case.seen, 2, direction)
    assert asked == [Dims(layout, 20 if op.name == "kaf" else 0)]
    config = lookup.select(
        *(op.name, direction, torch.bfloat16, case.numel, True, 0, layout),
        num_nodes=20 if op.name == "kaf" else 0,
    )
    assert columns["block"] == config.block == columns["elements_per_thread"] * config.threads
    assert (columns["num_warps"], columns["unroll"]) == (config.num_warps, config.unroll)
    assert columns["config_source"] in ("analytic", "shipped", "nearest", "architecture", "vendor")


def test_a_dictionary_is_asked_for_by_its_size():
    asked = [columns_of(Case(kaf_op(d), "backward", torch.float32, ROWS)) for d in (8, 128)]
    expected = [
        lookup.select("kaf", "backward", torch.float32, 2**24, True, 0, "inner1", num_nodes=d)
        for d in (8, 128)
    ]
    assert [columns["block"] for columns in asked] == [config.block for config in expected]


def test_machine_code_of_another_config_is_not_that_of_the_launch(counted):
    case = Case(OPS["scaled_sigmoid", "scalar"], "forward", torch.float32, IMAGES)
    default = next(
        kernel.config
        for kernel in counted
        if (kernel.op, kernel.variant.direction) == ("scaled_sigmoid", "forward")
        and (kernel.variant.name, kernel.dtype) == ("scalar", torch.float32)
    )
    with config_override("scaled_sigmoid", default):
        columns = columns_of(case, counted)
    assert known(columns) == LAUNCHED | CODE
    assert not math.isnan(columns["predicted_ms"])
    for other in (
        Config(2 * default.elements_per_thread, default.num_warps),
        Config(default.elements_per_thread // 2, 2 * default.num_warps),  # of the same block
        dataclasses.replace(default, unroll=2 * default.unroll),
    ):
        with config_override("scaled_sigmoid", other):
            columns = columns_of(case, counted)
        assert known(columns) == LAUNCHED
        assert columns["block"] == other.block


def test_a_run_on_a_gpu_goes_through(perform, counted, monkeypatch, tmp_path):
    """Every op, direction and mode of the full list, on tensors that are tiny and on a CPU."""
    monkeypatch.setattr(static, "kernels", lambda *_: counted)
    monkeypatch.setattr("perf.run.CHARTS_S", 0.0)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace())
    todo = {}
    for case in cases("gpu", False):
        if case.mode not in (PEAK_MEMORY, "graph-replayed"):
            small = dataclasses.replace(case.shape, mib=0.001, channels=16, side=4)
            key = (case.op.name, case.op.variant, case.direction, case.mode, case.shape.form)
            todo[key] = dataclasses.replace(case, shape=small, dtype=torch.float32, peers=False)
    outcome = perform(list(todo.values()), device=H200)
    ours = [row for row in outcome.rows if row["provider"] == "triton_acts"]
    assert len(ours) == len(todo)
    assert {str(row["status"]).split(":")[0] for row in outcome.rows} == {"ok"}
    for row in ours:
        assert (row["config_source"] is None) == (row["direction"] == BOTH), row["variant"]
    written = read(tmp_path / "records" / "h200.csv", RESULTS)
    assert written.problems == []
    assert len(written.rows) == len(outcome.rows)
    assert "| h200 |" in (tmp_path / "report" / "report.md").read_text()
