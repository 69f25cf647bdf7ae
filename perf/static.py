"""The static table: what the compiler makes of each kernel, and the rate that this predicts.

Nothing here is measured.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from perf.cases import Case
from triton_acts import gpus
from triton_acts.gpus import GPU
from triton_acts.tuning import inspect
from triton_acts.tuning.predict import predict
from triton_acts.tuning.records import Row
from triton_acts.tuning.registry import REGISTRY
from triton_acts.tuning.writing import write_csv

__all__ = [
    "BASIS",
    "COLUMNS",
    "DTYPES",
    "MEASURED",
    "QUICK",
    "Part",
    "columns_for",
    "kernels",
    "parts",
    "read",
    "rows",
    "update",
]

BASIS = "predicted from machine code"
QUICK = ("sm_90",)
DTYPES = (torch.bfloat16, torch.float32)  # in this order, should the time not do for both
NUMEL = 1 << 25  # the rate is predicted for this many elements: the launch does not count
COLUMNS = (*inspect.COLUMNS, "gpu", "predicted_gbps", "predicted_bound", "basis")

Layouts = Mapping[str, Sequence[str]]  # the layouts of a variant
POINTWISE = {"scalar": ("flat",), "per_channel": ("inner1",)}
KAF = {"d20": ("inner1", "innerN")}
MEASURED = {**POINTWISE, "per_channel": ("inner1", "innerN"), **KAF}
MAIN = ("sm_90", "gfx942")  # where KAF comes first: its kernels take 1 to 3 s each


@dataclass(frozen=True)
class Part:
    """What is compiled and recorded together: some kernels for an architecture and a dtype."""

    title: str
    arch: str
    dtype: torch.dtype
    layouts: Layouts

    @property
    def label(self) -> str:
        """One line that names it."""
        return f"{self.title} {self.arch} {str(self.dtype).removeprefix('torch.')}"


def parts(archs: Sequence[str]) -> list[Part]:
    """The parts of the table, in this order, should the time not do for all.

    KAF's on the main architectures come before the second dtype, its others at the end.
    """
    main = [arch for arch in archs if arch in MAIN]
    others = [arch for arch in archs if arch not in MAIN]
    found = []
    for dtype in DTYPES:
        found += [Part("pointwise", arch, dtype, POINTWISE) for arch in archs]
        found += [Part("KAF", arch, dtype, KAF) for arch in main]
    return found + [Part("KAF", arch, dtype, KAF) for dtype in DTYPES for arch in others]


def kernels(arch: str, dtypes: Sequence[torch.dtype], layouts: Layouts) -> list[inspect.Row]:
    """The kernels that training launches, of every op, on an architecture.

    Disassembling takes 0.5 s a kernel, so memory modes, fixed weights and further layouts are left
    to `python -m triton_acts.tuning inspect`.

    Args:
        arch: in the table of GPUs.
        dtypes: of x.
        layouts: which variants, and which layouts of each.

    Raises:
        RuntimeError: Triton is missing or runs in its interpreter.
        ValueError: arch is not in the table of GPUs.
    """
    wanted = [
        op
        for op, spec in REGISTRY.items()
        if any(variant.name in layouts for variant in spec.variants)
    ]
    return list(inspect.rows([arch], wanted, dtypes, lambda v: v.layout in layouts.get(v.name, ())))


def rows(found: Iterable[inspect.Row]) -> list[Row]:
    """One row for each kernel that could be counted and each GPU of its architecture."""
    made: list[Row] = []
    for kernel in found:
        if kernel.counts is None:
            continue
        num_bytes = kernel.variant.tensors * kernel.dtype.itemsize * NUMEL
        for gpu in gpus.table():
            if gpu.arch == kernel.arch:
                rate = predict(gpu, kernel.counts, num_bytes, NUMEL, kernel.num_warps)
                made.append(
                    {
                        **kernel.cells(),
                        "gpu": gpu.slug,
                        "predicted_gbps": f"{rate.gbs:.0f}",
                        "predicted_bound": rate.bound,
                        "basis": BASIS,
                    }
                )
    return made


def columns_for(case: Case, gpu: GPU | None, found: Iterable[inspect.Row]) -> Row:
    """The columns of a measured row that come from the machine code of its kernel.

    None for shapes whose kernel is not among `found`, as the op's `layout` says.
    """
    layout = case.op.layout(case.seen, case.dtype.itemsize, case.direction)
    wanted = (case.op.name, case.op.variant, case.direction, case.dtype, layout)
    for kernel in found:
        variant, counts = kernel.variant, kernel.counts
        key = (kernel.op, variant.name, variant.direction, kernel.dtype, variant.layout)
        if key == wanted and counts is not None and gpu is not None and gpu.arch == kernel.arch:
            rate = predict(gpu, counts, case.bytes, case.numel, kernel.num_warps)
            return {
                "regs": counts.regs,
                "spills": counts.spill_bytes,
                "instr_per_elt": counts.instr_per_elt,
                "mufu_per_elt": counts.mufu_per_elt,
                "predicted_ms": rate.ms,
                "predicted_bound": rate.bound,
            }
    return {}


def update(path: Path, made: Iterable[Row]) -> None:
    """Puts rows in the file in place of those of the same op, dtype and architecture.

    A run that is short or that is interrupted keeps what others have predicted.
    """
    kept: dict[tuple[object, ...], list[Row]] = {}
    new: dict[tuple[object, ...], list[Row]] = {}
    for found, rows in ((kept, read(path)), (new, made)):
        for row in rows:
            found.setdefault((row["op"], row["dtype"], row["arch"]), []).append(row)
    rows = [row for group in (kept | new).values() for row in group]
    write_csv(path, COLUMNS, ({name: str(value) for name, value in row.items()} for row in rows))


def read(path: Path) -> list[Row]:
    """The rows of that file, as text; none where there is no file, or one with other columns."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return [dict(row) for row in reader] if reader.fieldnames == [*COLUMNS] else []
