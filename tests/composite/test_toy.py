"""A new activation costs one file: a toy added to ALL passes through every parametrised test."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def parametrised(folders):
    """The test functions of folders that run over ALL or over its kernel variants."""
    return {
        node.name
        for folder in folders
        for file in (TESTS / folder).glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and any(
            re.search(r"\b(OPS|ALL|VARIANTS)\b", ast.unparse(mark)) for mark in node.decorator_list
        )
    }


@pytest.mark.parametrize("folders", [("kernel_road",), ("compiled", "composite")], ids=str)
def test_toy_passes_every_parametrised_test(folders):
    """The first folder in the interpreter, the others compiled, on a fake GPU and as composite."""
    interpret = "1" if folders == ("kernel_road",) else "0"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.toy", "-v", "-k", "toy"]
        + [str(TESTS / folder) for folder in folders]
        + ["-p", "no:cacheprovider", "--ignore", __file__],
        env={**os.environ, "TRITON_INTERPRET": interpret, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    passed = set(re.findall(r"::(test_\w+)\[.*toy.*\] PASSED", result.stdout))
    assert passed >= parametrised(folders)


def code_lines(text):
    """Lines that hold code: no blank lines, comments or docstrings."""
    tree = ast.parse(text)
    found = {
        line
        for node in ast.walk(tree)
        if isinstance(node, (ast.stmt, ast.expr, ast.arg, ast.keyword))
        for line in (node.lineno, node.end_lineno)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found -= set(range(node.lineno, node.end_lineno + 1))
    return found


def test_the_second_activation_is_at_most_60_lines_of_code():
    """All of its file but what only a learned a needs, the module included."""
    file = TESTS.parent / "triton_acts" / "pointwise" / "_penalized_tanh.py"
    text = file.read_text(encoding="utf-8")
    names = ("_penalized_tanh_slopes", "_composite_per_channel", "_weight_derivative")
    only_learned = set()
    for node in ast.parse(text).body:
        learned = getattr(node, "name", "") in names or "= PerChannel(" in ast.unparse(node)
        if learned or "num_parameters" in ast.unparse(node):
            only_learned |= set(range(node.lineno, node.end_lineno + 1))
    assert len(code_lines(text) - only_learned) <= 60


PYTEST = [sys.executable, "-m", "pytest", "-q", "-k", "toy", "-p", "support.toy"]
PYTEST += ["-p", "no:cacheprovider"]


@pytest.mark.parametrize("interpret", ["1", "0"], ids=["interpreter", "composite"])
def test_toy_is_a_subject_of_the_battery(interpret):
    """Every battery test that takes a subject is collected for both forms of the toy op."""
    result = subprocess.run(
        [*PYTEST, "--collect-only", str(TESTS / "battery")],
        env={**os.environ, "TRITON_INTERPRET": interpret, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    cases = re.findall(r"::(test_\w+)\[(toy from output|toy)\b", result.stdout)
    taking = {
        node.name
        for file in (TESTS / "battery").glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and "subject" in {a.arg for a in node.args.args}
    }
    assert taking
    for form in ("toy", "toy from output"):
        assert {name for name, of in cases if of == form} >= taking
    assert len(cases) >= 300


CORE = ("layouts", "derivatives", "values", "determinism", "large")


@pytest.mark.parametrize("interpret", ["1", "0"], ids=["interpreter", "composite"])
def test_toy_passes_the_batterys_core(interpret):
    files = [str(TESTS / "battery" / f"test_{name}.py") for name in CORE]
    result = subprocess.run(
        [*PYTEST, *files],
        env={**os.environ, "TRITON_INTERPRET": interpret, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
