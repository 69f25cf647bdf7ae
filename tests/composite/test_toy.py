"""A new activation costs one file: a toy added to ALL passes through every parametrised test."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def parametrised(folder):
    """The test functions of a folder that run over ALL."""
    return {
        node.name
        for file in (TESTS / folder).glob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
        and node.name.startswith("test_")
        and any(
            "OPS" in ast.unparse(mark) or re.search(r"\bALL\b", ast.unparse(mark))
            for mark in node.decorator_list
        )
    }


def test_toy_passes_every_kernel_road_test():
    """In the interpreter; saturation is asked of saturating activations only."""
    command = [sys.executable, "-m", "pytest", "-p", "support.toy", "-v", "-k", "toy"]
    result = subprocess.run(
        [*command, str(TESTS / "kernel_road"), "-p", "no:cacheprovider"],
        env={**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    passed = set(re.findall(r"::(test_\w+)\[.*toy.*\] PASSED", result.stdout))
    assert passed == parametrised("kernel_road")
    assert len(passed) >= 15


def test_toy_compiles_and_launches():
    """Through the real binder, on a fake GPU."""
    command = [sys.executable, "-m", "pytest", "-p", "support.toy", "-v", "-k", "toy"]
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    result = subprocess.run(
        [*command, str(TESTS / "compiled" / "test_launch.py"), "-p", "no:cacheprovider"],
        env={**environment, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        cwd=TESTS.parent,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert len(re.findall(r"toy.*\] PASSED", result.stdout)) >= 4


def test_the_second_activation_is_short():
    """At most 60 lines of its file, docstrings and blank lines included, besides the learned a.

    The public function and the module are shared by both forms; the lines that only a tensor `a`
    needs are those of nodes that name it.
    """
    file = TESTS.parent / "triton_acts" / "pointwise" / "_penalized_tanh.py"
    text = file.read_text(encoding="utf-8")
    start = text.index("@jit")
    end = text.index("@jit\ndef _penalized_tanh_per_channel")
    assert len(text[start:end].splitlines()) <= 60
