"""A new activation costs one file: a toy added to ALL passes through every parametrised test."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


FOLDERS = {"1": ("kernel_road", "battery"), "0": ("compiled", "composite")}


def parametrised(folders):
    """The test functions that run over ALL, over its kernel variants or over the subjects."""
    return {
        node.name
        for folder in folders
        for file in (TESTS / folder).glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and (
            "subject" in {a.arg for a in node.args.args}
            or any(
                re.search(r"\b(OPS|ALL|VARIANTS)\b", ast.unparse(m)) for m in node.decorator_list
            )
        )
    }


@pytest.mark.parametrize("interpret", FOLDERS, ids=["interpreter", "compiled"])
def test_toy_passes_every_parametrised_test(interpret):
    """The battery and the kernels in the interpreter; compiled for a fake GPU and as composite."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "support.toy", "-v", "-k", "toy"]
        + [str(TESTS / folder) for folder in FOLDERS[interpret]]
        + ["-p", "no:cacheprovider", "--ignore", __file__],
        env={**os.environ, "TRITON_INTERPRET": interpret, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    passed = set(re.findall(r"::(test_\w+)\[.*toy.*\] (?:PASSED|SKIPPED)", result.stdout))
    assert passed >= parametrised(FOLDERS[interpret])
    cases = re.findall(r"battery/(test_\w+).py::test_\w+\[.*(toy from output|toy)\b", result.stdout)
    count = Counter(cases)
    for form in ("toy", "toy from output"):
        for file, least in BATTERY.items() if "battery" in FOLDERS[interpret] else ():
            assert count[file, form] >= least, f"{file} has {count[file, form]} cases of {form}"


# Cases that every form of a new op gets, at least
BATTERY = {
    "test_layouts": 60,
    "test_derivatives": 4,
    "test_values": 4,
    "test_transforms": 25,
    "test_subclasses": 15,
    "test_determinism": 1,
    "test_large": 1,
}


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
