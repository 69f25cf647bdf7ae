"""Threads that compile at once: one at a time turns Python's syntax trees into Triton's code."""

import time
from concurrent.futures import ThreadPoolExecutor

import torch
from triton.compiler import compiler

from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY


def test_one_thread_parses_at_a_time(monkeypatch):
    """CPython 3.11 counts the depth of a syntax tree in a global, and fails where two count."""
    inside, most = [], []
    real = compiler.ASTSource.make_ir

    def slowly(self, *args):
        inside.append(self)
        time.sleep(0.02)
        found = real(self, *args)
        most.append(len(inside))
        inside.remove(self)
        return found

    monkeypatch.setattr(compiler.ASTSource, "make_ir", slowly)
    monkeypatch.setenv("TRITON_ALWAYS_COMPILE", "1")
    variants = REGISTRY["penalized_tanh"].variants[:3]

    def compiled(variant):
        config = default_config("penalized_tanh", variant, torch.float32, "sm_90")
        return compile_plan(variant.plan(torch.float32, config), "sm_90").asm["ttir"]

    with ThreadPoolExecutor(3) as pool:
        assert len(set(pool.map(compiled, variants))) == len(variants)
    assert most == [1] * len(variants)
