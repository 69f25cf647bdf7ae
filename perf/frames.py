"""Records as pandas frames: the newest rows of each GPU, and what the report shows of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from perf import history
from perf.cases import BOTH, DIRECTIONS, PEAK_MEMORY
from perf.history import CASE
from perf.panels import colours
from perf.tables import op_name
from perf.training import TRAINING
from triton_acts.tuning.records import RESULTS, RUNS, Row
from triton_acts.tuning.timing import YARDSTICK

__all__ = ["MEMORY", "Book", "by_provider", "by_size", "compact", "load", "main_dtype"]
__all__ += ["measured_table", "memory", "node_counts", "predictions", "shares", "times"]

MEMORY = f"/{PEAK_MEMORY}"  # how the variant of a row of memory ends
_SHOWN = {"gpu": "GPU", "what": "op", "shape": "x"}


@dataclass(frozen=True)
class Book:
    """What the records of some folders hold.

    Attributes:
        runs: rows of runs.csv, the newest first.
        rows: measurements, of each case and GPU those of one run, see `_newest`; `gpu` is the GPU's
            slug, `age` counts runs from the oldest on, `what` is the op and its variant, `mib` the
            size of x.
        trials: rows of searches for block sizes, with the same columns.
        problems: one sentence for each damaged row or file.
    """

    runs: pd.DataFrame
    rows: pd.DataFrame
    trials: pd.DataFrame
    problems: list[str]

    @property
    def gpus(self) -> list[str]:
        """Slugs of what was measured, "cpu" among them, the newest run's first."""
        newest = pd.concat([self.rows, self.trials]).groupby("gpu")["age"].max()
        return [str(slug) for slug in newest.sort_values(ascending=False).index]

    def of(self, slug: str) -> pd.DataFrame:
        """The measurements on one GPU."""
        return self.rows[self.rows["gpu"] == slug]

    def name(self, slug: str) -> str:
        """What the driver calls a GPU, or its slug."""
        names = self.runs.loc[self.runs["gpu_slug"] == slug, "gpu_name"]
        return str(names.iloc[0]) if len(names) and names.iloc[0] else slug


def load(folders: Sequence[Path]) -> Book:
    """All records in some folders; what is damaged becomes a problem, all else is kept."""
    found = history.load(folders)
    runs = pd.DataFrame([run.meta for run in found.runs], columns=list(RUNS.columns))
    rows: list[Row] = [
        {"gpu": run.gpu, "age": age, **row}
        for age, run in enumerate(found.runs)
        for row in run.rows
    ]
    trials = _frame([row for row in rows if history.is_trial(row)])
    measured = _frame([row for row in rows if not history.is_trial(row)])
    return Book(runs[::-1], _newest(measured), trials, list(dict.fromkeys(found.problems)))


def _frame(rows: Sequence[Row]) -> pd.DataFrame:
    """With the columns that `Book` adds, and numbers as numbers."""
    frame = pd.DataFrame(rows, columns=["gpu", "age", *RESULTS.columns]).drop_duplicates()
    for name, kind in RESULTS.columns.items():
        if kind in (int, float):
            frame[name] = frame[name].astype(int if name == "numel" else float)
        elif kind is str:
            frame[name] = frame[name].fillna("").astype(str)
    frame["what"] = list(map(op_name, frame["op"], frame["variant"]))
    frame["mib"] = frame["numel"] * frame["dtype"].map(_itemsize).astype(float) / 2**20
    return frame


def _itemsize(dtype: str) -> float:
    """NaN of a dtype that torch does not have."""
    known = getattr(torch, dtype, None)
    return known.itemsize if isinstance(known, torch.dtype) else math.nan


def _newest(frame: pd.DataFrame) -> pd.DataFrame:
    """Of each GPU and case the rows of one run: of those with the most times the newest.

    So a run that was cut short hides nothing. Providers stay together: what is compared comes from
    the same rounds.
    """
    key = ["gpu", *CASE]
    is_memory = frame["variant"].str.endswith(MEMORY)
    known = frame["ms_p50"].notna() | (is_memory & frame["bytes"].notna())
    runs = frame.assign(known=known).groupby([*key, "age"], as_index=False)["known"].sum()
    last = runs.sort_values(["known", "age"]).drop_duplicates(key, keep="last")
    found = frame.merge(last[[*key, "age"]], on=[*key, "age"])
    ways = [*DIRECTIONS, BOTH]
    order = pd.DataFrame(
        {
            "last": found["op"] == "kaf",
            "op": found["op"],
            "length": found["variant"].str.len(),  # d8 before d20, scalar before per_channel
            "variant": found["variant"],
            "way": [ways.index(way) if way in ways else len(ways) for way in found["direction"]],
        }
    )
    sorted_index = order.sort_values(list(order.columns), kind="stable").index
    return found.loc[sorted_index].reset_index(drop=True)


def device_time(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of timed activations: no training step, no other mode than device time."""
    plain = ~rows["variant"].str.contains("/") & (rows["op"] != TRAINING)
    return rows[plain & rows["ms_p50"].notna()]


def times(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a time, training steps aside."""
    return rows[(rows["op"] != TRAINING) & rows["ms_p50"].notna()]


def main_dtype(rows: pd.DataFrame) -> str:
    """The dtype with the most cases."""
    counts = rows.drop_duplicates(list(CASE))["dtype"].value_counts()
    return str(counts.index[0]) if len(counts) else ""


def throughput(rows: pd.DataFrame, dtype: str) -> pd.DataFrame:
    """Rates of contiguous tensors by `what`, direction, provider and size, p20 and p80 as a band.

    Of several shapes of one size it takes the one that `_plainest` ranks first, for all providers;
    of KAF's dictionaries the one with the most cases.
    """
    timed = device_time(rows)
    timed = timed[(timed["dtype"] == dtype) & (timed["layout"] == "contiguous")]
    kaf = timed.loc[timed["op"] == "kaf", "variant"].value_counts()
    timed = timed[(timed["op"] != "kaf") | (timed["variant"] == next(iter(kaf.index), ""))]
    timed = timed[timed["mib"].notna() & timed["gbps"].gt(0)]
    place = ["what", "direction", "mib"]
    plainest = timed.loc[_plainest(timed)].drop_duplicates(place)[[*place, "shape"]]
    timed = timed.merge(plainest, on=[*place, "shape"])
    return timed.assign(
        low=timed["bytes"] / timed["ms_p80"] / 1e6, high=timed["bytes"] / timed["ms_p20"] / 1e6
    ).sort_values("mib", kind="stable")


def _plainest(rows: pd.DataFrame) -> Any:
    """The rows, the plainest shapes first: of KAF N x C, of the others N x C x H x W."""
    dims = rows["shape"].str.count("x")
    rank = dims.where(rows["op"] == "kaf", -dims)
    return rows.assign(rank=rank).sort_values(["rank", "shape"], kind="stable").index


def by_size(rows: pd.DataFrame) -> pd.DataFrame:
    """`throughput` of the main dtype in the directions that are measured at every size."""
    found = throughput(rows, main_dtype(device_time(rows)))
    return found[found["direction"].isin(DIRECTIONS)]


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Share of the yardstick of each provider, at the largest size of the main dtype."""
    sizes = throughput(rows, main_dtype(device_time(rows)))
    largest = sizes.groupby(["what", "direction"])["mib"].transform("max")
    found = sizes[(sizes["mib"] == largest) & (sizes["provider"] != YARDSTICK)]
    return found[found["share_of_yardstick"].notna()].sort_index()


def node_counts(rows: pd.DataFrame) -> pd.DataFrame:
    """KAF's times by number of nodes, in us a million elements; of shapes that have several."""
    timed = device_time(rows)
    nodes = timed["variant"].str.extract(r"^d(\d+)$")[0].astype(float)
    found = timed.assign(nodes=nodes, us=timed["ms_p50"] * 1e9 / timed["numel"])
    found = found[(found["op"] == "kaf") & nodes.notna() & (found["provider"] != YARDSTICK)]
    key = ["provider", "direction", "dtype", "shape", "layout"]
    found = found[found.groupby(key)["nodes"].transform("nunique") > 1]
    return found.sort_values("nodes", kind="stable")


def memory(rows: pd.DataFrame) -> pd.DataFrame:
    """Peak memory of each provider in MiB, and relative to x; no training step."""
    found = rows[rows["variant"].str.endswith(MEMORY) & (rows["op"] != TRAINING)]
    what = found["what"].str.removesuffix(f", {PEAK_MEMORY}")
    return found.assign(
        what=what, peak_mib=found["bytes"] / 2**20, of_x=found["bytes"] / 2**20 / found["mib"]
    )


def predictions(rows: pd.DataFrame) -> pd.DataFrame:
    """Predicted beside measured times, and the error: +10 % is a prediction 10 % too long."""
    timed = device_time(rows)
    found = timed[timed["predicted_ms"].notna()]
    return found.assign(error_percent=100 * (found["predicted_ms"] / found["ms_p50"] - 1))


def measured_table(rows: Sequence[Row] | pd.DataFrame) -> pd.DataFrame:
    """One line a case: time and rate of triton_acts, and its speed against the others.

    Ratios above 1 mean that triton_acts is faster. Both sides of a ratio come from the same
    interleaved rounds.
    """
    frame = pd.DataFrame(rows, columns=list(RESULTS.columns))
    cases: dict[tuple[Any, ...], dict[str, dict[Any, Any]]] = {}
    for row in frame.to_dict("records"):  # pandas' groupby takes 2 ms a case
        cases.setdefault(tuple(row[name] for name in CASE), {})[str(row["provider"])] = row
    lines = []
    for key, providers in cases.items():
        ours = providers.get("triton_acts")
        if ours is None or key[1].endswith(MEMORY):
            continue
        compiled = providers.get("torch.compile", {})
        ours_compiled = providers.get("triton_acts compiled", {})
        line = dict(zip(CASE, key, strict=True)) | {"what": op_name(key[0], key[1])}
        line |= {
            "x (MiB)": ours["numel"] * _itemsize(str(ours["dtype"])) / 2**20,
            "time p50 (ms)": ours["ms_p50"],
            "p20 (ms)": ours["ms_p20"],
            "p80 (ms)": ours["ms_p80"],
            "rate (GB/s)": ours["gbps"],
            "share of yardstick": ours["share_of_yardstick"],
            "yardstick": ours["yardstick"],
            "speed / eager": ours["speedup_vs_eager"],
            "speed / compile": _ratio(compiled.get("ms_p50"), ours["ms_p50"]),
            "both compiled": _ratio(compiled.get("ms_p50"), ours_compiled.get("ms_p50")),
            "error (of 8)": ours["max_err"],
            "remarks": "; ".join(
                f"{name}: {row['status']}"
                for name, row in providers.items()
                if row["status"] != "ok"
            ),
        }
        lines.append(line)
    return pd.DataFrame(lines)


def compact(table: pd.DataFrame) -> pd.DataFrame:
    """The measured table for a page of 800 pixels: what names a case in two columns."""
    if table.empty:
        return table
    table = table.rename(columns={"time p50 (ms)": "p50 (ms)", "rate (GB/s)": "GB/s"})
    layout = table["layout"].where(table["layout"] != "contiguous", "")
    case = table["what"] + ", " + table["direction"]
    tensor = (table["dtype"] + " " + table["shape"] + " " + layout).str.strip()
    dropped = [*CASE, "what", "yardstick"]
    return pd.concat([case.rename("case"), tensor.rename("x"), table.drop(columns=dropped)], axis=1)


def by_provider(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """A line a case, and a column for each provider's values; triton_acts' first."""
    key = ["gpu", "what", "direction", "dtype", "shape", "layout"]
    found = rows[rows[value].notna()]
    table = found.pivot_table(
        index=key, columns="provider", values=value, aggfunc="first", sort=False
    )
    order = [name for name in colours(table.columns) if name in table]
    return table[order].rename_axis(columns=None).reset_index().rename(columns=_SHOWN)


def _ratio(other_ms: Any, ms: Any) -> float:
    """The ratio other_ms / ms, NaN where one is missing."""
    return other_ms / ms if other_ms and ms else math.nan
