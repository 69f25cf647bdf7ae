"""KAF in the suite: its cases, its check against float64, and its kernels in the static table."""

import dataclasses
from functools import partial

import pytest
import torch

from perf import check, providers, static
from perf.cases import COMPARED, PEAK_MEMORY, Case, Shape, cases
from perf.ops import kaf_op
from perf.units import TOLERANCE
from triton_acts import gpus
from triton_acts.tuning import inspect
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.registry import REGISTRY

KAF = kaf_op()
SHAPES = {
    "NC": Shape("rows", 0.001, channels=7, form="NC"),
    "NTC": Shape("tokens", 0.001, channels=7, side=5, form="NTC"),
    "NCHW": Shape("images", 0.001, channels=7, side=4),
    "channels_last": Shape("images", 0.001, channels=7, side=4, layout="channels_last"),
}
FORMS = {"N x C": 2, "N x T x C": 3, "N x C x H x W": 4}
GAMMA = 1 / (6 * (6 / 19) ** 2)


def plain(x, alpha, channel_dim):
    """KAF in float64, a channel and a node at a time."""
    columns = []
    for channel, row in zip(x.unbind(channel_dim), alpha, strict=True):
        nodes = [-3 + 6 * i / 19 for i in range(20)]
        terms = zip(row, nodes, strict=True)
        columns.append(sum(a * torch.exp(-GAMMA * (channel - d) ** 2) for a, d in terms))
    return torch.stack(columns, channel_dim)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_provider_agrees_on_every_form(rows_of, shape, direction, dtype):
    four = tuple(providers.PROVIDERS)
    rows = rows_of(Case(KAF, direction, dtype, shape, providers=four))
    assert [row["provider"] for row in rows] == ["yardstick", *four]
    assert [row["status"] for row in rows] == ["ok"] * 5
    assert all(0 < row["max_err"] < TOLERANCE for row in rows[1:])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("chunk", [1, 1 << 21], ids=["pieces", "whole"])
def test_the_reference_is_the_published_sum(monkeypatch, shape, direction, chunk):
    monkeypatch.setattr(check, "CHUNK_NUMEL", chunk)
    case = Case(KAF, direction, torch.float32, shape)
    inputs = check.make_inputs(case, torch.device("cpu"), 1)
    inputs.g.sub_(2)  # of both signs
    found = check.reference(case, inputs)
    assert len(found.elementwise) == (len(inputs.x) if chunk == 1 else 1)
    x, alpha = (t.double().requires_grad_() for t in (inputs.x, *inputs.weights))
    channel_dim = 2 if x.dim() == 3 else 1
    y, g = plain(x, alpha, channel_dim), inputs.g.double()
    dx, dalpha = torch.autograd.grad(y, (x, alpha), g, retain_graph=True)
    right = y if direction == "forward" else dx
    assert torch.allclose(torch.cat(found.elementwise), right, rtol=1e-12, atol=1e-12)
    assert alpha.shape == (7, 20)
    if direction == "backward":
        (sums,) = found.weights
        assert torch.allclose(sums.gradient, dalpha, rtol=1e-12, atol=1e-12)
        (magnitude,) = torch.autograd.grad(y, alpha, g.abs())  # no Gaussian is negative
        assert torch.allclose(sums.magnitude, magnitude, rtol=1e-12, atol=1e-12)
        incoming = g.abs().movedim(channel_dim, 0).flatten(1).sum(1)
        assert torch.allclose(sums.incoming, incoming, rtol=1e-12)
        assert sums.terms == case.numel // 7


def test_errors_are_relative_to_the_largest_sum():
    alpha = torch.randn(3, 20, dtype=torch.float64)
    points = torch.linspace(-5, 5, 20001, dtype=torch.float64).expand(3, -1)
    largest = plain(points, alpha.abs(), 0).amax(1)
    assert torch.allclose(KAF.units.scale(alpha), largest, rtol=1e-3)


def off(y=0.0, dx=0.0, dalpha=0.0, at=None):
    """The formula with errors in y, dy/dx and dy/dalpha, in one channel or in all."""

    def formula(x, alpha):
        own = torch.ones(x.shape[1]) if at is None else torch.eye(x.shape[1])[at]
        right = KAF.eager(x, alpha) + dx * own * (x - x.detach())
        return right + own * (dalpha * (alpha - alpha.detach()).sum(-1) + y)

    return dataclasses.replace(KAF, ours=formula)


@pytest.mark.parametrize(
    ("direction", "op", "status"),
    {
        "small y": ("forward", off(y=1e-6), "ok"),
        "small dx": ("backward", off(dx=1e-6), "ok"),
        "small dalpha": ("backward", off(dalpha=1e-8), "ok"),
        "y": ("forward", off(y=3e-5), "wrong"),
        "y of a channel": ("forward", off(y=3e-5, at=5), "wrong"),
        "dx": ("backward", off(dx=1e-4), "wrong"),
        "dx of a channel": ("backward", off(dx=1e-4, at=5), "wrong"),
        "dalpha": ("backward", off(dalpha=1e-5), "wrong"),
        "dalpha of a channel": ("backward", off(dalpha=1e-5, at=5), "wrong"),
        "rows exchanged": (
            "forward",
            dataclasses.replace(KAF, ours=lambda x, a: KAF.eager(x, a.flip(0))),
            "wrong",
        ),
    }.values(),
)
def test_a_wrong_result_is_found(rows_of, direction, op, status):
    shape = Shape("rows", 0.01, channels=6, form="NC")
    rows = rows_of(Case(op, direction, torch.float32, shape))
    assert [row["status"] for row in rows] == ["ok", status, "ok", "ok"]
    assert rows[1]["max_err"] > 0


def test_errors_are_eighths_of_what_is_documented():
    """Each quantity off by half of what it may be counts 4."""
    case = Case(KAF, "backward", torch.float32, SHAPES["NC"])
    inputs = check.make_inputs(case, torch.device("cpu"), 1)
    g, largest = inputs.g.double(), KAF.units.scale(*(w.double() for w in inputs.weights))
    kappa = torch.exp(-GAMMA * (inputs.x.double()[..., None] - torch.linspace(-3, 3, 20)) ** 2)
    halves = (
        0.5e-5 * largest,
        0.5e-5 * 2 * GAMMA**0.5 * g.abs() * largest,
        0.5e-5 * (g.abs()[..., None] * kappa).sum(0) + 0.5e-7 * g.abs().sum(0)[:, None],
    )
    expected = check.reference(case, inputs)
    right = (torch.cat(expected.elementwise), expected.weights[0].gradient)
    forward = dataclasses.replace(case, direction="forward")
    y = check.reference(forward, inputs)
    off_y = (torch.cat(y.elementwise) + halves[0]).float()
    assert check.disagreement(forward, inputs, y, (off_y,)) == pytest.approx(4, rel=0.1)
    off_dx = ((right[0] + halves[1]).float(), right[1].float())
    assert check.disagreement(case, inputs, expected, off_dx) == pytest.approx(4, rel=0.1)
    off_dalpha = (right[0].float(), (right[1] + halves[2]).float())
    assert check.disagreement(case, inputs, expected, off_dalpha) == pytest.approx(4, rel=0.1)


def test_no_gradient_comes_in_and_none_goes_out():
    """0 / 0 is no error."""
    case = Case(KAF, "backward", torch.float32, SHAPES["NC"])
    inputs = check.make_inputs(case, torch.device("cpu"), 1)
    inputs.g[3:5] = 0
    expected = check.reference(case, inputs)
    dx, dalpha = torch.cat(expected.elementwise).float(), expected.weights[0].gradient.float()
    assert check.disagreement(case, inputs, expected, (dx, dalpha)) < 1
    dx[4, 2] = 1e-6
    assert check.disagreement(case, inputs, expected, (dx, dalpha)) > TOLERANCE


def test_bytes_count_alpha_and_its_gradient():
    shape = Shape("rows", 8, 512, form="NC")
    alpha = 512 * 20 * 4
    assert Case(KAF, "forward", torch.float32, shape).bytes == 2 * 2**23 + alpha
    assert Case(KAF, "backward", torch.float32, shape).bytes == 3 * 2**23 + 2 * alpha
    assert Case(KAF, "backward", torch.bfloat16, shape).bytes == 3 * 2**23 + 2 * alpha


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_lists_have_kaf_in_every_form(kind, quick):
    own = [case for case in cases(kind, quick) if case.op.name == "kaf"]
    timed = {(len(case.sizes), case.direction) for case in own if case.mode != PEAK_MEMORY}
    assert timed >= {(dims, way) for dims in FORMS.values() for way in ("forward", "backward")}
    compiled = {case.shape.name for case in own if "triton_acts compiled" in case.providers}
    assert len(compiled) == (0 if quick else 1)
    if kind == "cpu":
        assert max(case.numel for case in own) <= 2**21  # the formula takes 20 times as much
    if kind == "gpu" and not quick:
        assert {case.shape.layout for case in own} == {"contiguous", "channels_last"}


def test_the_list_of_a_cpu_has_the_case_of_the_promises():
    own = [case for case in cases("cpu", False) if case.sizes == (4096, 512)]
    assert [(case.direction, case.mode) for case in own[:3]] == [
        ("forward", "device"),
        ("backward", "device"),
        ("forward+backward", PEAK_MEMORY),
    ]
    assert {case.dtype for case in own} == {torch.float32}
    assert own[0].providers == own[1].providers == tuple(providers.PROVIDERS)
    assert own[2].providers == COMPARED[:2]


def test_what_is_compiled_and_when_it_is_forgotten(perform, monkeypatch):
    """A reset within a group would drop code that is yet to be timed."""
    case = Case(KAF, "forward", torch.float32, SHAPES["NC"], providers=tuple(providers.PROVIDERS))
    seen = []

    def compiles(formula, **_):
        seen.append(formula)
        return formula

    monkeypatch.setattr(static, "kernels", lambda *_: [])
    monkeypatch.setattr(providers, "_compile", compiles)
    monkeypatch.setattr(torch._dynamo, "reset", lambda: seen.append("reset"))
    monkeypatch.setitem(providers.PROVIDERS, "torch.compile", providers._compiled)
    monkeypatch.setitem(providers.PROVIDERS, "triton_acts compiled", providers._ours_compiled)
    perform([case, case])
    assert seen == ["reset", *[KAF.eager, KAF.ours] * 2]


def test_each_case_is_compiled_on_its_own(monkeypatch):
    """More shapes of one function than torch.compile keeps for one code object."""
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 1)
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for rows in (2, 3, 4):
        x = torch.ones(rows)
        assert torch.equal(providers._compile(torch.square)(x), x)


def test_the_static_table_has_kaf_on_the_main_architectures_first():
    parts = static.parts(gpus.architectures())
    assert len({part.label for part in parts}) == len(parts)
    assert [part.label for part in static.parts(static.QUICK)] == [
        "pointwise sm_90 bfloat16",
        "KAF sm_90 bfloat16",
        "pointwise sm_90 float32",
        "KAF sm_90 float32",
    ]
    titles = [part.title for part in parts]
    assert titles[: len(gpus.architectures())] == ["pointwise"] * len(gpus.architectures())
    first = [part.arch for part in parts if part.title == "KAF"][: len(static.MAIN)]
    assert set(first) == set(static.MAIN) <= set(gpus.architectures())
    for title in ("pointwise", "KAF"):
        assert titles.count(title) == len(gpus.architectures()) * len(static.DTYPES)
    own = {(v.direction, v.layout) for v in REGISTRY["kaf"].variants if v.name == "d20"}
    wanted = {(way, layout) for way in ("forward", "backward") for layout in static.KAF["d20"]}
    assert wanted <= own


def test_machine_code_beside_a_case_of_kaf():
    counts = Counts(32.0, 3.0, 27.0, 16, 16, 64, 126, 0)
    variants = [v for v in REGISTRY["kaf"].variants if v.name == "d20"]
    (gpu,) = (gpu for gpu in gpus.table() if gpu.slug == "h200")
    for shape, layout in (
        (Shape("rows", 64, 512, form="NC"), "inner1"),
        (Shape("tokens", 64, 512, side=256, form="NTC"), "inner1"),
        (Shape("channels last", 64, layout="channels_last"), "inner1"),
        (Shape("images", 64), "innerN"),
        (Shape("ragged", 64, ragged=True), None),
    ):
        for variant in variants:
            found = [inspect.Row("kaf", variant, torch.float32, "sm_90", 2048, 4, counts)]
            case = Case(KAF, variant.direction, torch.float32, shape)
            columns = static.columns_for(case, gpu, found)
            assert bool(columns) == (variant.layout == layout), (shape.name, variant.layout)
            if columns:
                assert columns["instr_per_elt"] == 32.0
                assert columns["predicted_ms"] > case.bytes / 4.9e9
