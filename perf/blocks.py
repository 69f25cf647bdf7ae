"""Block sizes as pandas frames: what searches chose, what is shipped, and what all trials took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from perf.frames import Book, main_dtype
from triton_acts.tuning import store
from triton_acts.tuning.jobs import DTYPES, Job
from triton_acts.tuning.registry import REGISTRY
from triton_acts.tuning.trial_rows import TUNE

__all__ = ["FEATURED", "MODEL", "PANELS", "block_sizes", "heat"]

FEATURED = ("h200", "b200", "rtx-4090", "mi300x")  # shown where no GPU was measured
MODEL = "predicted by the model"
PANELS = 9  # of a heat map that are drawn
_KINDS = {"model": MODEL, "measured": "shipped, measured", "common-best": f"shipped, {MODEL}"}
_SIZE = "elements"
_Place = tuple[str, int]  # key of a config file, and log2 of the size


def block_sizes(book: Book) -> pd.DataFrame:
    """Op x dtype x size by GPU: "block / warps" of aligned tensors, and "x2" for two tiles ahead.

    A GPU's column holds what its search chose or, without one, the file that is shipped for it; the
    header says which. Neighbouring sizes with the same cells share a line.
    """
    columns: dict[str, dict[_Place, str]] = {}
    for slug in [gpu for gpu in book.gpus if gpu != "cpu"] or FEATURED:
        found, kind = _searched(book.trials[book.trials["gpu"] == slug]), "measured"
        if not found:
            found, kind = _shipped(slug)
        if found:
            columns[f"{slug} ({kind})"] = found
    keys = dict.fromkeys(key for column in columns.values() for key, _ in column)
    return pd.DataFrame([line for key in sorted(keys) for line in _lines(key, columns)])


def _searched(trials: pd.DataFrame) -> dict[_Place, str]:
    """The winners of one GPU's searches, of several the newest."""
    chosen = trials[trials["config_source"].str.startswith(TUNE) & trials["is_winner"].eq(True)]
    found = {}
    for row in chosen.sort_values("age", kind="stable").to_dict("records"):
        if row["aligned"] is True:
            ahead = int(row["unroll"]) if row["unroll"] > 1 else 1
            place = _key(row), round(math.log2(row["numel"]))
            found[place] = _text(int(row["block"]), int(row["num_warps"]), ahead)
    return found


def _key(row: Mapping[str, object]) -> str:
    """The name that config files have for a row's kernel; its own names if it is of no variant."""
    dtypes = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES}
    dtype = dtypes.get(str(row["dtype"]))
    spec = REGISTRY.get(str(row["op"]))
    names = (row["variant"], row["direction"], row["layout"])
    for variant in spec.variants if spec and dtype else ():
        if (variant.name, variant.direction, variant.layout) == names:
            assert dtype is not None
            return Job(str(row["op"]), variant, dtype, 0, aligned=True).key
    return "/".join(
        str(row[name]) for name in ("op", "direction", "dtype", "aligned", "variant", "layout")
    )


def _shipped(slug: str) -> tuple[dict[_Place, str], str]:
    """The configs of a GPU's own file, and what kind of file that is."""
    file = store.shipped(slug)
    if file is None:
        return {}, ""
    found = {
        (key, octave): _text(config.block, config.num_warps, config.unroll)
        for key, sizes in file.entries.items()
        for octave, config in sizes.items()
        if key.split("/")[3] == "aligned"
    }
    return found, _KINDS[str(file.provenance["kind"])]


def _text(block: int, num_warps: int, ahead: int) -> str:
    return f"{block} / {num_warps}" + (f" x{ahead}" if ahead > 1 else "")


def _lines(key: str, columns: Mapping[str, Mapping[_Place, str]]) -> Iterable[dict[str, str]]:
    """The lines of one key, its sizes in ascending order."""
    op, direction, dtype, _, *rest = key.split("/")
    octaves = sorted({octave for column in columns.values() for k, octave in column if k == key})
    lines: list[dict[str, str]] = []
    for octave in octaves:
        cells = {name: column.get((key, octave), "") for name, column in columns.items()}
        if lines and {name: lines[-1][name] for name in cells} == cells:
            first = lines[-1][_SIZE].split(" ")[0]
            lines[-1][_SIZE] = f"{first} to 2^{octave}"
            continue
        names = {"op": " ".join([op, *rest]), "direction": direction, "dtype": dtype}
        lines.append({**names, _SIZE: f"2^{octave}", **cells})
    return lines


def heat(trials: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Time relative to the fastest candidate: block size x warps, for some kernels by name.

    Those of the main dtype on aligned tensors, each at its largest size, and of tiles ahead the
    fastest.
    """
    timed = trials[trials["ms_p50"].notna() & trials["aligned"].eq(True)]
    dtype = main_dtype(timed)
    found: dict[str, pd.DataFrame] = {}
    names = ["what", "direction", "layout"]
    for (what, direction, layout), group in timed[timed["dtype"] == dtype].groupby(
        names, sort=False
    ):
        numel = group["numel"].max()
        largest = group[group["numel"] == numel]
        newest = largest[largest["age"] == largest["age"].max()]
        times = newest.pivot_table(
            index="block", columns="num_warps", values="ms_p50", aggfunc="min"
        )
        where = "" if layout == "flat" else f" {layout}"
        title = f"{what}\n{direction}{where}\n{dtype}, 2^{math.log2(numel):.0f} elements"
        found[title] = times / times.min().min()
    return found
