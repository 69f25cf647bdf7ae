"""What `compile_plan` makes of a compiler that threads disturb."""

import pytest
import torch
from triton.compiler import compiler

from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY


def raced():
    try:
        raise SystemError("AST constructor recursion depth mismatch (before=135, after=35)")
    except SystemError as cause:
        error = ValueError("does not compile")
        error.__cause__ = cause
        return error


@pytest.fixture
def compiling(monkeypatch):
    """Compiles with errors to come; returns what was compiled and how many errors are left."""

    def compiling(*errors):
        left = list(errors)

        def fake(source, **_):
            if left:
                raise left.pop(0)
            return source

        monkeypatch.setattr(compiler, "compile", fake)
        variant = REGISTRY["penalized_tanh"].variants[0]
        config = default_config("penalized_tanh", variant, torch.float32, "sm_90")
        try:
            return compile_plan(variant.plan(torch.float32, config), "sm_90"), left
        except ValueError as error:
            return error, left

    return compiling


def test_a_race_is_tried_again(compiling):
    found, left = compiling(raced(), raced())
    assert isinstance(found, compiler.ASTSource)
    assert left == []


def test_not_for_ever(compiling):
    found, left = compiling(*[raced() for _ in range(4)])
    assert isinstance(found, ValueError)
    assert len(left) == 1


def test_other_errors_are_final(compiling):
    first, second = ValueError("no such thing"), ValueError("never seen")
    assert compiling(first, second) == (first, [second])
