"""What the report shows of predictions that need no measurement: all of it is labelled so."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pandas as pd

from perf.static import BASIS, COLUMNS, DTYPES, NUMEL
from perf.tables import op_name
from triton_acts import gpus
from triton_acts.tuning.predict import LAUNCH_S
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
    """What the static table is, and what it lacks."""
    return [
        "Compiled for GPUs that need not be there; nothing below was timed. Instructions, "
        "registers and widths are counted in the machine code. Every rate is "
        f"{BASIS}, for {NUMEL >> 20} Mi elements, and an optimistic estimate: the model takes DRAM "
        "and the pipes at their data sheet's peak, and knows no overhead but a launch of "
        f"{1e6 * LAUNCH_S:.0f} us.",
        "The word after a rate names what takes longest: dram, issue (of instructions), mufu "
        "(special functions) or launch. Where too few warps fit a multiprocessor to keep DRAM "
        "busy, the rate stays below that peak under the same word.",
        "Rows stay until a run does their op, dtype and architecture anew.",
        *_missing(predicted),
    ]


def tables(predicted: Sequence[Row]) -> list[tuple[str, pd.DataFrame]]:
    """The rates by GPU, a table for each dtype, and the machine code by architecture."""
    if not predicted:
        return []
    frame = pd.DataFrame(predicted, columns=list(COLUMNS))
    frame["kernel"] = [
        f"{op_name(*names)}, {direction}, {layout}"
        for *names, direction, layout in frame[_KERNEL].itertuples(index=False)
    ]
    frame["rate"] = [
        f"{float(gbps):.0f} ({bound})"
        for gbps, bound in zip(frame["predicted_gbps"], frame["predicted_bound"], strict=True)
    ]
    found = []
    for dtype, rows in frame.groupby("dtype", sort=False):
        rates = rows.pivot_table(
            index="gpu", columns="kernel", values="rate", aggfunc="first", sort=False
        ).rename_axis(index="GPU", columns=None)
        caption = f"Predicted rate, {dtype}, in GB/s, and what limits it"
        for first in range(0, len(rates.columns), COLUMNS_SHOWN):
            part = rates.iloc[:, first : first + COLUMNS_SHOWN]
            found.append((caption, part.dropna(how="all").reset_index()))
    counts = frame.drop_duplicates(["kernel", "dtype", "arch"])
    named = counts[["kernel", "dtype", "arch", *_COUNTS]]
    numbers = {name: pd.to_numeric(named[name]) for name in _COUNTS if name != "triton"}
    return [*found, ("Machine code, counted", named.assign(**numbers).rename(columns=_COUNTS))]


def _missing(predicted: Sequence[Row]) -> list[str]:
    """The architectures without a row, for each op and dtype."""
    there = {(row["op"], row["dtype"], row["arch"]) for row in predicted}
    gaps: dict[tuple[str, ...], list[str]] = {}
    for op, dtype in product(REGISTRY, (str(dtype).removeprefix("torch.") for dtype in DTYPES)):
        archs = (arch for arch in gpus.architectures() if (op, dtype, arch) not in there)
        gaps.setdefault(tuple(archs), []).append(f"{op} {dtype}")
    every = tuple(gpus.architectures())
    return [
        f"Not predicted yet on {'any GPU' if archs == every else ', '.join(archs)}: "
        f"{', '.join(names)}."
        for archs, names in gaps.items()
        if archs
    ]
