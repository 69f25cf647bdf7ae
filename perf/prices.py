"""What a training step with each activation costs over the same step with ReLU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from perf.frames import MEMORY
from perf.tables import number
from perf.training import RELU, TRAINING
from triton_acts.tuning.records import RESULTS, Row
from triton_acts.tuning.timing import YARDSTICK

__all__ = ["by_activation", "prices", "summary"]


def prices(rows: pd.DataFrame) -> pd.DataFrame:
    """Training steps and their memory, by model, mode and activation, relative to ReLU's.

    `price` and `memory_price` are ratios. A step that was not measured keeps its status.
    """
    found = rows[(rows["op"] == TRAINING) & (rows["provider"] != YARDSTICK)]
    is_memory = found["variant"].str.endswith(MEMORY)
    step = found["variant"].str.removesuffix(MEMORY)
    parts = step.str.split("/", n=1)
    found = found.assign(
        variant=step,
        model=parts.str[0],
        mode=parts.str[1].fillna(""),
        peak_mib=found["bytes"].where(is_memory) / 2**20,
    )
    key = ["variant", "dtype", "shape"]
    peaks = found[is_memory].drop_duplicates([*key, "provider"])[[*key, "provider", "peak_mib"]]
    steps = (
        found[~is_memory].drop(columns="peak_mib").merge(peaks, on=[*key, "provider"], how="left")
    )
    relu = steps[steps["provider"] == RELU].drop_duplicates(key)
    steps = steps.merge(
        relu[[*key, "ms_p50", "peak_mib"]], on=key, how="left", suffixes=("", "_relu")
    )
    return steps.assign(
        price=steps["ms_p50"] / steps["ms_p50_relu"],
        memory_price=steps["peak_mib"] / steps["peak_mib_relu"],
    )


def summary(meta: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    """A line for the time and the memory of each step of a run that was measured."""
    table = prices(pd.DataFrame(rows, columns=list(RESULTS.columns)))
    table = table[table["provider"] != RELU]
    lines = []
    for (model, mode), group in table.groupby(["model", "mode"], sort=False):
        for title, column in (("price", "price"), ("peak memory", "memory_price")):
            known = group[group[column].notna()]
            texts = [
                f"{name} {ratio:.3g}"
                for name, ratio in zip(known["provider"], known[column], strict=True)
            ]
            if texts:
                where = f"{model}, {mode}, {meta['gpu_slug']}"
                lines.append(f"{TRAINING}, {title} over ReLU: {', '.join(texts)} ({where})")
    return lines


def by_activation(
    by_gpu: Mapping[str, pd.DataFrame], column: str, price: str, unit: str
) -> pd.DataFrame:
    """A line for each GPU and step, a column for each activation: value and price over ReLU.

    A status that is not "ok" stands where there is no value.
    """
    found = pd.concat(list(by_gpu.values()))
    cells = [
        f"{number(value)} {unit}" + (f" ({ratio:.2f} x)" if ratio == ratio else "")
        if value == value
        else ("" if status == "ok" else status)
        for value, ratio, status in zip(found[column], found[price], found["status"], strict=True)
    ]
    table = found.assign(cell=cells).pivot_table(
        index=["gpu", "model", "mode", "dtype"],
        columns="provider",
        values="cell",
        aggfunc="first",
        sort=False,
    )
    return table.rename_axis(columns=None).reset_index().rename(columns={"gpu": "GPU"})
