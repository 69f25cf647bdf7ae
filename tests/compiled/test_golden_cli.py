"""`python -m triton_acts.tuning golden`, on an op of one kernel."""

from dataclasses import replace

import pytest

from triton_acts import _triton
from triton_acts.tuning import __main__ as cli
from triton_acts.tuning import device, golden
from triton_acts.tuning.registry import REGISTRY, RULES, OpSpec

COMMAND = ["golden", "--op", "small", "--arch", "sm_90", "--file"]


@pytest.fixture
def file(monkeypatch, tmp_path):
    """The path of a table; the registry has an op of one variant, which is not tuned."""
    variant = replace(REGISTRY["scaled_sigmoid"].variants[0], bench=None)
    rule = RULES["scaled_sigmoid", "forward", "flat"]
    monkeypatch.setitem(REGISTRY, "small", OpSpec("small", (variant,), {}))
    monkeypatch.setitem(RULES, ("small", "forward", "flat"), rule)
    return tmp_path / "golden.csv"


@pytest.fixture
def made(file, capsys):
    """The same with a table."""
    assert cli.main([*COMMAND, str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: 3 of 3 entries are new\n"
    return file


def rewrite(file, change):
    """Changes the entry in bfloat16."""
    entries = golden.read(file)
    golden.write(file, [change(e) if e.dtype == "bfloat16" else e for e in entries])


def test_write_and_check(made, capsys):
    entries = golden.read(made)
    assert [(e.op, e.dtype, e.counts.load_bytes) for e in entries] == [
        ("small", dtype, 16) for dtype in ("bfloat16", "float16", "float32")
    ]
    before = made.read_bytes()
    assert cli.main([*COMMAND, str(made), "--check"]) == 0
    assert capsys.readouterr().out == "3 entries compiled: 0 regressions, 0 improvements\n"
    assert made.read_bytes() == before


def test_check_prints_what_changed(made, capsys):
    rewrite(made, lambda e: replace(e, counts=replace(e.counts, load_bytes=32, spill_bytes=8)))
    before = made.read_bytes()
    assert cli.main([*COMMAND, str(made), "--check"]) == 1
    named = "small scalar forward flat bfloat16 sm_90 8 elements"
    assert capsys.readouterr().out.splitlines() == [
        f"improvement: {named}: spill_bytes was 8, is 0",
        f"regression: {named}: load_bytes was 32, is 16",
        "3 entries compiled: 1 regressions, 1 improvements",
    ]
    assert made.read_bytes() == before


def test_a_part_replaces_its_rows_and_leaves_others(made, capsys):
    rewrite(made, lambda e: replace(e, variant="gone"))
    rewrite(made, lambda e: replace(e, op="other"))
    assert cli.main([*COMMAND, str(made)]) == 0
    assert capsys.readouterr().out == f"{made}: 3 of 4 entries are new\n"
    assert sorted((e.op, e.variant) for e in golden.read(made)) == [
        ("other", "gone"),
        *[("small", "scalar")] * 3,
    ]


@pytest.mark.parametrize(
    ("change", "tool"),
    [({"triton": "3.0.0"}, "Triton 3.0.0 for"), ({"ptxas": "11.0.1"}, "ptxas 11.0.1 for sm_90")],
)
def test_other_versions_are_not_compared_nor_mixed(made, capsys, change, tool):
    rewrite(made, lambda e: replace(e, **change))
    before = made.read_bytes()
    assert cli.main([*COMMAND, str(made), "--check"]) == 2
    error = capsys.readouterr().err
    assert f"was made with {tool}" in error
    assert "`make golden` makes it anew" in error
    rewrite(made, lambda e: replace(e, op="other"))
    before = made.read_bytes()
    assert cli.main([*COMMAND, str(made)]) == 2
    assert made.read_bytes() == before


def test_a_check_needs_a_file_and_a_checkout(file, capsys, monkeypatch):
    assert cli.main([*COMMAND, str(file), "--check"]) == 2
    assert f"cannot read {file}: No such file" in capsys.readouterr().err
    file.write_text("op,variant\n")
    assert cli.main([*COMMAND, str(file), "--check"]) == 2
    assert "line 1" in capsys.readouterr().err
    monkeypatch.setattr(golden, "default_file", lambda: None)
    assert cli.main(["golden", "--check"]) == 2
    assert "this is no checkout" in capsys.readouterr().err


def test_an_installed_package_has_no_default_file(monkeypatch, tmp_path):
    assert golden.default_file().name == "golden.csv"
    monkeypatch.setattr(device, "__file__", str(tmp_path / "triton_acts" / "tuning" / "device.py"))
    assert golden.default_file() is None


def test_what_cannot_be_read_is_blank_with_a_note(file, capsys, monkeypatch):
    def unreadable(*_):
        raise RuntimeError("it printed nothing")

    monkeypatch.setattr(golden, "count", unreadable)
    assert cli.main([*COMMAND, str(file)]) == 0
    assert "3 of them without counts, such as small scalar" in capsys.readouterr().err
    assert [e.counts for e in golden.read(file)] == [None] * 3


@pytest.mark.parametrize("option", ["--check", None])
def test_ctrl_c_leaves_the_file(made, capsys, monkeypatch, option):
    def interrupted(_):
        yield golden.read(made)[0]
        raise KeyboardInterrupt

    before = made.read_bytes()
    monkeypatch.setattr(golden, "compile_entries", interrupted)
    assert cli.main([*COMMAND, str(made), *([option] if option else [])]) == 130
    assert "stopped; the file is as it was" in capsys.readouterr().err
    assert made.read_bytes() == before
    assert [path.name for path in made.parent.iterdir()] == ["golden.csv"]


def test_without_a_compiler_the_exit_code_is_1(file, capsys, monkeypatch):
    monkeypatch.setattr(_triton, "INTERPRETED", True)
    assert cli.main([*COMMAND, str(file)]) == 1
    assert "TRITON_INTERPRET" in capsys.readouterr().err
    assert not file.exists()


def test_a_kernel_that_does_not_compile_is_named(file, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(golden, "compile_plan", fails)
    with pytest.raises(ZeroDivisionError) as failure:
        cli.main([*COMMAND, str(file)])
    assert "small scalar forward flat" in failure.value.__notes__[0]
