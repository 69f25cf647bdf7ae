"""Compiling for absent GPUs as a launch would, and the command that tabulates it."""

import csv
import os
import subprocess
import sys

import pytest
import torch
import triton
from triton import language as tl

from triton_acts import _triton, gpus
from triton_acts.tuning import __main__ as cli
from triton_acts.tuning import inspect, machine_code, writing
from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import REGISTRY, RULES, OpSpec, Plan, Pointer, Variant

COLUMNS = list(inspect.COLUMNS)


@triton.jit(do_not_specialize=["free"])
def kernel(x_ptr, y_ptr, wide: tl.int64, one, free, coefs, scale, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    x = tl.load(x_ptr + offsets).to(tl.float32)
    y = x * scale + coefs[0] + coefs[1] + (wide + one + free)
    tl.store(y_ptr + offsets, y.to(y_ptr.dtype.element_ty))


def plan(dtype=torch.bfloat16, config=Config(8), *, aligned=True, wide=32, one=1):  # noqa: B008
    args = {
        "x_ptr": Pointer(dtype, aligned),
        "y_ptr": Pointer(dtype),
        "wide": wide,
        "one": one,
        "free": 48,
        "coefs": (1.0, 2.0),
        "scale": 3.0,
        "BLOCK": config.block,
    }
    return Plan(kernel, args, config.num_warps, config.block)


def arguments(compiled):
    """What the compiler was told of each argument."""
    header = next(line for line in compiled.asm["ttir"].splitlines() if "tt.func public" in line)
    arguments = header[header.index("(") + 1 :].split("%")[1:]
    return {a.split(":")[0]: a.split("loc(")[0] for a in arguments}


def test_arguments_are_specialised_as_at_a_launch():
    told = arguments(compile_plan(plan(), "sm_90"))
    assert {name.split("_")[0] for name in told} == {"x", "y", "wide", "free", "coefs", "scale"}
    assert "!tt.ptr<bf16> {tt.divisibility = 16" in told["x_ptr"]
    assert "i64 {tt.divisibility = 16" in told["wide"]
    assert "i32" in told["free"]
    assert "divisibility" not in told["free"]
    assert "f32" in told["scale"]


def test_what_a_launch_does_not_know():
    """A misaligned pointer, a ragged integer; and a 1 that is annotated stays an argument."""
    told = arguments(compile_plan(plan(aligned=False, wide=33), "sm_90"))
    assert "divisibility" not in told["x_ptr"]
    assert "divisibility" not in told["wide"]
    assert "wide" in arguments(compile_plan(plan(wide=1), "sm_90"))
    assert "one" in arguments(compile_plan(plan(one=2), "sm_90"))
    assert "one" not in arguments(compile_plan(plan(one=1), "sm_90"))


def test_amd_is_told_that_storages_are_small():
    told = arguments(compile_plan(plan(), "gfx942"))
    assert "tt.pointer_range = 32" in told["x_ptr"]
    assert "tt.divisibility = 16" in told["x_ptr"]
    assert "pointer_range" not in told["wide"]


def test_compile_plan_says_what_it_needs(monkeypatch):
    with pytest.raises(
        ValueError, match=r"unknown architecture 'sm_42', allowed are sm_75, .*gfx950"
    ):
        compile_plan(plan(), "sm_42")
    monkeypatch.setattr(_triton, "INTERPRETED", True)
    with pytest.raises(RuntimeError, match=r"TRITON_INTERPRET is on.*unset it"):
        compile_plan(plan(), "sm_90")
    monkeypatch.setattr(_triton, "INSTALLED", False)
    with pytest.raises(RuntimeError, match="Triton is not installed"):
        compile_plan(plan(), "sm_90")


@pytest.fixture
def one_op(monkeypatch):
    """A registry with one op of one variant."""
    variant = Variant("scalar", "forward", "flat", 2, plan)
    rule = RULES["scaled_sigmoid", "forward", "flat"]
    spec = OpSpec("linear", (variant,), {("forward", "flat"): rule})
    monkeypatch.setitem(REGISTRY, "linear", spec)
    monkeypatch.setitem(RULES, ("linear", "forward", "flat"), rule)
    return "linear"


def test_rows(one_op):
    found = list(inspect.rows(["sm_90", "gfx942"], [one_op]))
    assert len(found) == inspect.row_count(["sm_90", "gfx942"], [one_op], inspect.DTYPES) == 6
    assert [(r.dtype, r.arch) for r in found] == [
        (dtype, arch) for dtype in inspect.DTYPES for arch in ("sm_90", "gfx942")
    ]
    bfloat16 = found[2].cells()
    assert list(bfloat16) == COLUMNS
    assert bfloat16["block"] == "1024"
    assert bfloat16["triton"] == triton.__version__
    assert bfloat16["load_bytes"] == bfloat16["store_bytes"] == "16"
    assert found[2].counts.mufu_per_elt == 0


@pytest.mark.parametrize(("archs", "ops"), [(["sm_42"], ["linear"]), (["sm_90"], ["none"])])
@pytest.mark.usefixtures("one_op")
def test_rows_refuses_what_it_does_not_know(archs, ops):
    with pytest.raises(
        ValueError, match=r"unknown (architecture|op) '.*', allowed are .*(sm_75|linear)"
    ):
        list(inspect.rows(archs, ops))


@pytest.mark.parametrize(
    ("arch", "itemsize", "block"),
    [("sm_90", 2, 1024), ("sm_90", 4, 512), ("sm_100", 2, 2048), ("gfx942", 2, 2048)],
)
def test_default_config(arch, itemsize, block):
    """16 bytes a thread; a B200's DRAM delivers 26 bytes a clock and multiprocessor: twice that."""
    dtype = torch.float32 if itemsize == 4 else torch.bfloat16
    variant = REGISTRY["scaled_sigmoid"].variants[0]
    assert inspect.default_config("scaled_sigmoid", variant, dtype, arch).block == block


def test_columns():
    assert " ".join(inspect.COLUMNS) == (
        "op variant direction dtype layout arch block num_warps instr_per_elt mufu_per_elt "
        "fp32_per_elt load_bytes store_bytes regs spill_bytes triton"
    )


def test_table_and_file(one_op, tmp_path, capsys):
    target = tmp_path / "static.csv"
    target.write_text("old")
    assert cli.main(["inspect", "--arch", "sm_90", "--op", one_op, "--csv", str(target)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == COLUMNS
    assert len(lines) == 4
    assert lines[2].split()[:6] == ["linear", "scalar", "forward", "bfloat16", "flat", "sm_90"]
    with target.open(newline="") as file:
        found = list(csv.reader(file))
    assert found == [line.split() for line in lines]
    assert list(tmp_path.iterdir()) == [target]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    target = tmp_path / "static.csv"
    target.write_text("old")
    with pytest.raises(ValueError, match="fields not in fieldnames"):
        writing.write_csv(target, COLUMNS, [{"nonsense": "1"}])
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_unreadable_machine_code_is_a_blank_row_with_a_note(one_op, capsys, monkeypatch):
    monkeypatch.setattr(machine_code, "_cuobjdump", lambda *_: ("", ""))
    assert cli.main(["inspect", "--arch", "sm_90", "--op", one_op]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 4
    assert out.splitlines()[1].split() == [
        *("linear", "scalar", "forward", "float16", "flat", "sm_90", "1024", "4"),
        triton.__version__,
    ]
    assert err.count("it printed nothing") == 1


def test_without_a_compiler_the_exit_code_is_1(one_op, capsys, monkeypatch):
    monkeypatch.setattr(_triton, "INTERPRETED", True)
    assert cli.main(["inspect", "--arch", "sm_90", "--op", one_op]) == 1
    assert "TRITON_INTERPRET" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "allowed"),
    [("--arch", "sm_42", gpus.architectures()), ("--op", "relu", tuple(REGISTRY))],
)
def test_command_line_names_what_is_allowed(option, value, allowed):
    """In a process of its own, as a user runs it: the package fills the registry."""
    done = subprocess.run(
        [sys.executable, "-m", "triton_acts.tuning", "inspect", option, value],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 2
    assert f"invalid choice: '{value}'" in done.stderr
    assert done.stdout == ""
    for name in allowed:
        assert name in done.stderr
