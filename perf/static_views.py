"""What the report shows of predictions that need no measurement: all of it is labelled so."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from perf.static import BASIS, COLUMNS, NUMEL
from triton_acts import gpus
from triton_acts.tuning.records import Row
from triton_acts.tuning.registry import REGISTRY

__all__ = ["tables", "text"]

_KERNEL = ["op", "variant", "direction", "layout"]
_COUNTS = {
    "block": "block (elements)",
    "num_warps": "warps / program",
    "instr_per_elt": "instructions / element",
    "mufu_per_elt": "MUFU / element",
    "load_bytes": "load (bytes)",
    "store_bytes": "store (bytes)",
    "regs": "registers / thread",
    "spill_bytes": "spills (bytes / thread)",
    "triton": "triton",
}
COLUMNS_SHOWN = 10  # of kernels side by side


def text(predicted: Sequence[Row]) -> list[str]:
    """What the static table is, and which architectures it lacks."""
    return [
        "Compiled for GPUs that need not be there. Nothing below is a measurement: every number is "
        f"{BASIS}, every rate for {NUMEL >> 20} Mi elements. The rates are upper bounds: the model "
        "knows no launch overhead and no imperfect DRAM efficiency.",
        *_missing(predicted),
    ]


def tables(predicted: Sequence[Row]) -> list[tuple[str, pd.DataFrame]]:
    """The rates by GPU, a table for each dtype, and the machine code by architecture."""
    if not predicted:
        return []
    frame = pd.DataFrame(predicted, columns=list(COLUMNS))
    frame["kernel"] = frame[_KERNEL].agg(" ".join, axis=1)
    frame["rate"] = [
        f"{float(gbps):.0f} ({bound})"
        for gbps, bound in zip(frame["predicted_gbps"], frame["predicted_bound"], strict=True)
    ]
    found = []
    for dtype, rows in frame.groupby("dtype", sort=False):
        rates = rows.pivot_table(
            index="gpu", columns="kernel", values="rate", aggfunc="first", sort=False
        ).rename_axis(index="GPU", columns=None)
        caption = f"Predicted rate, upper bound, {dtype}, in GB/s and what bounds it"
        for first in range(0, len(rates.columns), COLUMNS_SHOWN):
            part = rates.iloc[:, first : first + COLUMNS_SHOWN]
            found.append((caption, part.dropna(how="all").reset_index()))
    counts = frame.drop_duplicates(["kernel", "dtype", "arch"])
    named = counts[["kernel", "dtype", "arch", *_COUNTS]].rename(columns=_COUNTS)
    return [*found, ("Machine code, predicted", named)]


def _missing(predicted: Sequence[Row]) -> list[str]:
    """The architectures without a row, for each op."""
    ops: dict[str, list[str]] = {}
    for op in REGISTRY:
        there = {row["arch"] for row in predicted if row["op"] == op}
        archs = ", ".join(arch for arch in gpus.architectures() if arch not in there)
        ops.setdefault(archs, []).append(op)
    return [
        f"Left out in this run: {archs} ({', '.join(names)})."
        for archs, names in ops.items()
        if archs
    ]
