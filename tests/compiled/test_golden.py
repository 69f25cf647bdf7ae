"""The golden table: its file, what counts as a regression, and the kernels against it."""

import random
from dataclasses import replace
from functools import cache

import pytest
import torch
from support.counts import all_counted

import triton_acts
from triton_acts import _triton, gpus
from triton_acts.tuning import golden, machine_code
from triton_acts.tuning.golden_changes import improvements, regressions
from triton_acts.tuning.inspect import DTYPES, default_config, hardware_of_arch
from triton_acts.tuning.registry import REGISTRY, RULES, OpSpec

OPS = [op for op in REGISTRY if op in triton_acts.__all__]  # not what other tests add
FILE = golden.default_file()
COUNTS = machine_code.Counts(20.0, 2.0, 11.5, 16, 16, 32, 30, 0)
ENTRY = golden.Entry(
    *("scaled_sigmoid", "scalar", "forward", "flat", "bfloat16", "sm_90"),
    *(8, 4, 1, COUNTS, "3.7.1", "12.8.93"),
)


@cache
def table():
    return {entry.key: entry for entry in golden.read(FILE)}


# --- the committed file, without a compiler ---


def identities():
    """What the registry asks for and what the file holds, with the warps compiled for."""
    wanted = {(kernel.key, kernel.config.num_warps) for kernel in golden.kernels(ops=OPS)}
    return wanted, {(entry.key, entry.num_warps) for entry in table().values()}


def test_the_file_holds_what_the_registry_asks_for():
    wanted, held = identities()
    assert not sorted(map(str, wanted - held))[:3], "make golden, or golden --op OP for one op"
    assert not sorted(map(str, held - wanted))[:3]


def test_a_new_variant_is_missed(monkeypatch):
    spec = REGISTRY["scaled_sigmoid"]
    new = replace(spec.variants[0], name="new", bench=None)
    changed = OpSpec(spec.name, (*spec.variants, new), spec.rules)
    monkeypatch.setitem(REGISTRY, spec.name, changed)
    wanted, held = identities()
    assert {key.variant for key, _ in wanted - held} == {"new"}


def test_the_file_is_what_would_be_written(tmp_path):
    golden.write(tmp_path / "golden.csv", reversed(table().values()))
    assert (tmp_path / "golden.csv").read_bytes() == FILE.read_bytes()


def test_every_kernel_could_be_counted():
    """A path around the arithmetic, which a wrong branch once opened on sm_80, has none."""
    assert not [
        str(entry.key)
        for entry in table().values()
        if entry.counts is None or entry.counts.fp32_per_elt < 3
    ]


def test_nothing_spills():
    """No default config does, of any variant, in any dtype, on any architecture, but one."""
    counts_of = golden.Table(table().values()).counts_of
    found = {
        (op, v.name, v.direction, v.layout, dtype, arch): counts_of(
            op, v, dtype, arch, default_config(op, v, dtype, arch)
        )
        for op in OPS
        for v in REGISTRY[op].variants
        for dtype in DTYPES
        for arch in gpus.architectures()
    }
    known = {key: counts for key, counts in found.items() if counts is not None}
    assert len(known) > 1000
    found = {key: counts.spill_bytes for key, counts in known.items() if counts.spill_bytes}
    assert found == {("kaf", "d64", "forward", "innerN", torch.float32, "sm_80"): 16}


def test_counts_of_every_candidate():
    """Whatever its warps, a config that the search may try has counts."""
    counts_of = golden.Table(table().values()).counts_of
    variant = next(v for v in REGISTRY["kaf"].variants if v.bench and v.layout == "inner1")
    rule = RULES["kaf", variant.direction, variant.dims.layout]
    default = default_config("kaf", variant, torch.bfloat16, "sm_90")
    hardware = hardware_of_arch("sm_90")
    for config in rule.candidates(torch.bfloat16, hardware, variant.dims):
        assert counts_of("kaf", variant, torch.bfloat16, "sm_90", config) is not None
    unknown = replace(default, unroll=64)
    assert counts_of("kaf", variant, torch.bfloat16, "sm_90", unknown) is None


# --- the kernels against it ---


def check(kernels):
    """Compiles kernels and compares them with the file, if it was made with these versions."""
    for arch in {kernel.arch for kernel in kernels}:
        made = {(e.triton, e.ptxas) for e in table().values() if e.arch == arch}
        if made != {golden.versions(arch)}:
            pytest.skip(
                f"perf/golden.csv has {arch} of Triton and ptxas {sorted(made)}, here are "
                f"{golden.versions(arch)}"
            )
    found = zip(kernels, all_counted(kernels), strict=True)
    new = [golden.entry(kernel, counted.counts) for kernel, counted in found]
    assert regressions([table()[entry.key] for entry in new], new) == []


def sm_90():
    """Default configs of all variants; candidates of pointwise ops and of KAF with 20 nodes."""
    return [
        kernel
        for kernel in golden.kernels(["sm_90"], OPS)
        if kernel.dtype == torch.bfloat16
        and (
            kernel.config == default_config(*kernel[:4])
            or kernel.op != "kaf"
            or kernel.variant.name == "d20"
        )
    ]


def test_kernels_on_sm_90():
    check(sm_90())


def test_a_sample_of_the_other_kernels():
    done = {kernel.key for kernel in sm_90()}
    others = [kernel for kernel in golden.kernels(ops=OPS) if kernel.key not in done]
    check(random.Random(4).sample(others, 20))


# --- what is a regression ---


def changed(**counts):
    return replace(ENTRY, counts=replace(COUNTS, **counts))


@pytest.mark.parametrize(
    ("column", "same", "worse", "text"),
    [
        ("spill_bytes", 0, 4, "was 0, is 4"),
        ("load_bytes", 32, 8, "was 16, is 8"),
        ("store_bytes", 32, 8, "was 16, is 8"),
        ("instr_per_elt", 22.0, 22.001, "was 20.0000, is 22.0010"),
    ],
)
def test_regressions(column, same, worse, text):
    named = f"scaled_sigmoid scalar forward flat bfloat16 sm_90 8 elements: {column}"
    assert regressions([ENTRY], [changed(**{column: same})]) == []
    new = changed(**{column: worse})
    assert regressions([ENTRY], [new]) == [f"{named} {text}"]
    assert improvements([ENTRY], [new]) == []
    assert regressions([new], [ENTRY]) == []
    assert len(improvements([new], [ENTRY])) == 1


def test_a_spill_that_grows_is_a_regression():
    assert len(regressions([changed(spill_bytes=8)], [changed(spill_bytes=16)])) == 1


def test_missing_and_additional_entries_are_regressions():
    other = replace(ENTRY, elements_per_thread=16, unroll=2)
    named = "scaled_sigmoid scalar forward flat bfloat16 sm_90 16 elements x2"
    assert regressions([ENTRY, other], [ENTRY]) == [f"{named}: was in the table, is missing"]
    assert regressions([ENTRY], [other, ENTRY]) == [f"{named}: was not in the table, is additional"]
    assert improvements([ENTRY], [other, ENTRY]) == []


def test_what_cannot_be_counted_any_more_is_a_regression():
    blank = replace(ENTRY, counts=None)
    (line,) = regressions([ENTRY], [blank])
    assert line.endswith("instr_per_elt was 20.0000, is unreadable")
    assert regressions([blank], [ENTRY]) == regressions([blank], [blank]) == []


# --- the file's format ---


def test_what_is_written_is_read(tmp_path):
    entries = [replace(ENTRY, arch="gfx942", ptxas="", counts=None), ENTRY]
    golden.write(tmp_path / "golden.csv", reversed(entries))
    assert golden.read(tmp_path / "golden.csv") == entries
    assert [path.name for path in tmp_path.iterdir()] == ["golden.csv"]


def test_entries_are_rounded_as_the_file_is(tmp_path):
    (kernel,) = (k for k in golden.kernels(["sm_90"], OPS) if k.key == ENTRY.key)
    entry = golden.entry(kernel, replace(COUNTS, instr_per_elt=61 / 3))
    assert entry.counts.instr_per_elt == 20.3333
    golden.write(tmp_path / "golden.csv", [entry])
    assert golden.read(tmp_path / "golden.csv") == [entry]


GOOD = ",".join(ENTRY.cells().values())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (GOOD.replace(",8,4,1,", ",8,4.5,1,"), "column num_warps: '4.5' is not a whole number"),
        (GOOD.replace("20.0000", "20"), "column instr_per_elt: '20' is not a number with 4 dec"),
        (GOOD.replace("11.5000", ""), "column fp32_per_elt: '' is not a number"),
        (GOOD.replace("11.5000", "nan"), "column fp32_per_elt: 'nan' is not a number"),
        (GOOD.replace(",flat,", ",,"), "column layout: it is empty"),
        (GOOD + ",", "20 columns, expected 19"),
        (GOOD + "\n" + GOOD, "8 elements is in line 2 already"),
    ],
)
def test_errors_name_file_line_and_column(tmp_path, row, message):
    file = tmp_path / "golden.csv"
    file.write_text(",".join(golden.COLUMNS) + "\n" + row + "\n")
    line = 2 + row.count("\n")
    with pytest.raises(ValueError, match=f"golden.csv, line {line}[:,] .*{message}"):
        golden.read(file)


@pytest.mark.parametrize("header", ["", "op,variant\n", ",".join(golden.COLUMNS[::-1]) + "\n"])
def test_another_header_says_what_to_do(tmp_path, header):
    (tmp_path / "golden.csv").write_text(header)
    with pytest.raises(ValueError, match=r"golden.csv, line 1: .*`make golden` makes the file"):
        golden.read(tmp_path / "golden.csv")


@pytest.mark.parametrize("arch", ["sm_90", "sm_100", "gfx942"])
def test_versions(arch):
    """Blackwell has a ptxas of its own."""
    triton, ptxas = golden.versions(arch)
    assert triton == _triton.triton.__version__
    tools = _triton.triton.knobs.nvidia
    tool = {"sm_90": tools.ptxas, "sm_100": tools.ptxas_blackwell}.get(arch)
    assert ptxas.rpartition(".")[0] == (tool.version if tool else "")
