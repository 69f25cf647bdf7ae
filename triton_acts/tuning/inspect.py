"""The table of what every kernel variant costs on every architecture, compiled without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import torch

from triton_acts import _triton, gpus

from .compile import compile_plan
from .config import Config
from .machine_code import Counts, count
from .registry import REGISTRY, RULES, Hardware, Variant

__all__ = ["COLUMNS", "DTYPES", "Row", "default_config", "hardware_of_arch", "row_count", "rows"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32)

COLUMNS = (
    "op",
    "variant",
    "direction",
    "dtype",
    "layout",
    "arch",
    "block",
    "num_warps",
    "instr_per_elt",
    "mufu_per_elt",
    "fp32_per_elt",
    "load_bytes",
    "store_bytes",
    "regs",
    "spill_bytes",
    "triton",
)


@dataclass(frozen=True)
class Row:
    """One compiled kernel.

    Attributes:
        op: the op's name in the registry.
        variant: the kernel variant; `bytes` moved follow from its `tensors`.
        dtype: storage dtype of x.
        arch: architecture.
        block: elements of x a program handles at a time.
        num_warps: warps a program.
        counts: None where the machine code could not be read.
        note: why counts is None, else "".
    """

    op: str
    variant: Variant
    dtype: torch.dtype
    arch: str
    block: int
    num_warps: int
    counts: Counts | None
    note: str = ""

    @property
    def config(self) -> Config:
        """What it was compiled for."""
        return default_config(self.op, self.variant, self.dtype, self.arch)

    def cells(self) -> dict[str, str]:
        """The row as text by `COLUMNS`; blank where counts is None."""
        known = {
            "op": self.op,
            "variant": self.variant.name,
            "direction": self.variant.direction,
            "dtype": str(self.dtype).removeprefix("torch."),
            "layout": self.variant.layout,
            "arch": self.arch,
            "block": str(self.block),
            "num_warps": str(self.num_warps),
            "triton": str(_triton.triton.__version__),
        }
        counted = {}
        for name in COLUMNS:
            if self.counts is not None and name not in known:
                value = getattr(self.counts, name)
                counted[name] = f"{value:.2f}" if isinstance(value, float) else str(value)
        return {name: known.get(name, counted.get(name, "")) for name in COLUMNS}


@cache
def hardware_of_arch(arch: str) -> Hardware:
    """That of an architecture's first GPU in the table.

    GPUs of an architecture differ in what the analytic rule asks only where their DRAM delivers
    over 20 bytes a clock and multiprocessor: of sm_90 the H20.

    Raises:
        ValueError: arch is not in the table.
    """
    gpu = next((gpu for gpu in gpus.table() if gpu.arch == arch), None)
    if gpu is None:
        raise ValueError(
            f"unknown architecture {arch!r}, allowed are {', '.join(gpus.architectures())}"
        )
    return Hardware(gpu.warp_size, gpu.bytes_per_clock_sm)


def default_config(op: str, variant: Variant, dtype: torch.dtype, arch: str) -> Config:
    """The analytic config of a variant on an architecture."""
    rule = RULES[op, variant.direction, variant.dims.layout]
    return rule.default(dtype, hardware_of_arch(arch), variant.dims)


def rows(
    archs: Sequence[str],
    ops: Sequence[str],
    dtypes: Sequence[torch.dtype] = DTYPES,
    keep: Callable[[Variant], bool] = lambda _: True,
) -> Iterator[Row]:
    """Compiles and counts every variant of `ops`, in a fixed order, as the rows become ready.

    Args:
        archs: architectures of the table.
        ops: names in the registry, which the package that defines the ops fills on import.
        dtypes: storage dtypes of x.
        keep: which variants, all by default.

    Raises:
        ValueError: an architecture or an op is unknown.
        RuntimeError: Triton is not installed or runs in its interpreter.
    """
    for op in ops:
        if op not in REGISTRY:
            raise ValueError(f"unknown op {op!r}, allowed are {', '.join(REGISTRY)}")
    jobs = [
        (op, variant, dtype, arch, default_config(op, variant, dtype, arch))
        for op in ops
        for variant in REGISTRY[op].variants
        if keep(variant)
        for dtype in dtypes
        for arch in archs
    ]
    # ptxas and the disassembler are processes of their own, 0.5 s a kernel for the latter alone
    with ThreadPoolExecutor() as pool:
        pending = [pool.submit(_row, *job) for job in jobs]
        try:
            for future in pending:
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def row_count(archs: Sequence[str], ops: Sequence[str], dtypes: Sequence[torch.dtype]) -> int:
    """Rows that `rows` will yield."""
    return len(archs) * len(dtypes) * sum(len(REGISTRY[op].variants) for op in ops)


def _row(op: str, variant: Variant, dtype: torch.dtype, arch: str, config: Config) -> Row:
    plan = variant.plan(dtype, config)
    compiled = compile_plan(plan, arch)
    try:
        counts, note = count(compiled, plan), ""
    except RuntimeError as error:
        counts, note = None, str(error)
    return Row(op, variant, dtype, arch, plan.elements, plan.num_warps, counts, note)
