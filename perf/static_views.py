"""What the report shows of predictions that need no measurement: all of it is labelled so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import pandas as pd

from perf.static import BASIS, COLUMNS, NUMEL
from triton_acts import gpus
from triton_acts.tuning import golden
from triton_acts.tuning.predict import predict
from triton_acts.tuning.records import Row
from triton_acts.tuning.registry import REGISTRY

__all__ = ["node_cost", "tables", "text"]

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
_ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}


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


def node_cost(slug: str) -> pd.DataFrame:
    """KAF's predicted time by number of nodes on a GPU, in us a million elements.

    From the golden table, with the columns of `frames.node_counts`; empty where less than two
    numbers of nodes are known.
    """
    gpu = gpus.constants(slug)
    lines = []
    for entry in _golden() if gpu else ():
        nodes = re.fullmatch(r"d(\d+)", entry.variant)
        is_shown = (entry.op, entry.layout, entry.dtype) == ("kaf", "inner1", "bfloat16")
        if gpu and nodes and is_shown and entry.arch == gpu.arch and entry.counts is not None:
            tensors = {"forward": 2, "backward": 3}[entry.direction]
            num_bytes = tensors * _ITEMSIZE[entry.dtype] * NUMEL
            time = predict(gpu, entry.counts, num_bytes, NUMEL, entry.num_warps)
            lines.append(
                {
                    "direction": entry.direction,
                    "dtype": entry.dtype,
                    "shape": f"{NUMEL >> 20} Mi elements",
                    "provider": "triton_acts",
                    "nodes": int(nodes[1]),
                    "us": time.ms * 1e9 / NUMEL,
                }
            )
    frame = pd.DataFrame(lines)
    if frame.empty or frame["nodes"].nunique() < 2:
        return pd.DataFrame()
    # of several configs of one kernel the fastest
    best = frame.groupby(["direction", "dtype", "shape", "provider", "nodes"], as_index=False)
    return best["us"].min().sort_values(["direction", "nodes"], ascending=[False, True])


@cache
def _golden() -> tuple[golden.Entry, ...]:
    """The golden table; nothing where it is missing or of another version."""
    path = golden.default_file()
    try:
        return tuple(golden.read(path)) if path else ()
    except (OSError, ValueError):
        return ()
