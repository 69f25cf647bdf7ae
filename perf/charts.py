"""The report's figures, each drawn from a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from perf.panels import PREDICTED, filled, line, panels, patch
from triton_acts.tuning.timing import YARDSTICK

__all__ = ["heat_map", "node_cost", "peak_memory", "prediction_errors", "throughput_by_size"]
__all__ += ["training_price", "yardstick_shares"]

BESIDE = 5.0  # points from one to the next where there is a single size


def throughput_by_size(
    sizes: pd.DataFrame, palette: Mapping[str, str], peak_gbs: float | None
) -> Any:
    """Rate against size: a row of panels for each op, a column for each direction."""
    whats = list(dict.fromkeys(sizes["what"]))
    directions = list(dict.fromkeys(sizes["direction"]))
    providers = set(sizes["provider"])
    handles = [line(palette[n], n) for n in palette if n in providers and n != YARDSTICK]
    if YARDSTICK in providers:
        handles.append(line(palette[YARDSTICK], f"{YARDSTICK}: plain copy or add", "--"))
    if peak_gbs is not None:
        handles.append(line("black", f"DRAM peak, {peak_gbs:.0f} GB/s", ":"))
    figure, axes = panels([1.9] * len(whats), len(directions), handles)
    for i, what in enumerate(whats):
        for j, direction in enumerate(directions):
            ax = axes[i, j]
            panel = sizes[(sizes["what"] == what) & (sizes["direction"] == direction)]
            _rates(ax, panel, palette)
            if peak_gbs is not None:
                ax.axhline(peak_gbs, color="black", ls=":", lw=1)
            ax.set_xscale("log", base=2)
            ax.set_xlim(sizes["mib"].min() / 2, sizes["mib"].max() * 2)
            ax.xaxis.set_major_formatter(_mebibytes)
            rates = panel[["low", "gbps", "high"]]
            _log_rates(ax, rates.min().min(), max(rates.max().max(), peak_gbs or 0))
            ax.set(title=f"{what}, {direction}", xlabel="size of x (MiB)", ylabel="rate (GB/s)")
    return figure


def _rates(ax: Any, panel: pd.DataFrame, palette: Mapping[str, str]) -> None:
    """A line and a band for each provider; single points stand side by side, not on each other."""
    from matplotlib.transforms import offset_copy

    counts = panel["provider"].value_counts()
    single = [name for name in palette if counts.get(name) == 1]
    for provider, points in panel.groupby("provider", sort=False):
        style = "--" if provider == YARDSTICK else "-"
        band = {"color": palette[str(provider)], "alpha": 0.25}
        ax.fill_between(points["mib"], points["low"], points["high"], lw=0, **band)
        place = ax.transData
        if provider in single:
            aside = BESIDE * (single.index(str(provider)) - (len(single) - 1) / 2)
            place = offset_copy(ax.transData, ax.figure, x=aside, units="points")
            span = points["mib"], points["low"], points["high"]
            ax.vlines(*span, lw=4, transform=place, **band)  # whose band has no width
        colour = palette[str(provider)]
        ax.plot(points["mib"], points["gbps"], style, marker="o", color=colour, transform=place)


def _log_rates(ax: Any, least: float, most: float) -> None:
    """A logarithmic axis of rates: the slowest is 100 times below the fastest, and no dot at 0."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = least / 1.5, most * 1.5
    ax.set_yscale("log")
    ax.set_ylim(low, high)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def yardstick_shares(by_gpu: Mapping[str, pd.DataFrame], palette: Mapping[str, str]) -> Any:
    """Share of the yardstick's speed: a panel for each GPU, a group of bars for each op."""
    percent = {
        gpu: frame.assign(
            label=[
                f"{what}\n{direction}, {shape}"
                for what, direction, shape in zip(
                    frame["what"], frame["direction"], frame["shape"], strict=True
                )
            ],
            percent=100 * frame["share_of_yardstick"],
        )
        for gpu, frame in by_gpu.items()
    }
    return _bars(percent, palette, "percent", "share of yardstick (%)", one=100)


def peak_memory(by_gpu: Mapping[str, pd.DataFrame], palette: Mapping[str, str]) -> Any:
    """Peak memory of forward and backward beyond the inputs."""
    frames = {
        gpu: frame.assign(label=frame["what"] + "\n" + frame["dtype"] + " " + frame["shape"])
        for gpu, frame in by_gpu.items()
    }
    return _bars(frames, palette, "peak_mib", "peak memory beyond the inputs (MiB)")


def training_price(by_gpu: Mapping[str, pd.DataFrame], palette: Mapping[str, str]) -> Any:
    """Time of a training step relative to the same step with ReLU."""
    frames = {
        gpu: frame.assign(label=frame["model"] + " " + frame["mode"] + "\n" + frame["dtype"])
        for gpu, frame in by_gpu.items()
    }
    return _bars(frames, palette, "price", "step time relative to ReLU (ratio)", one=1)


def node_cost(by_gpu: Mapping[str, pd.DataFrame], palette: Mapping[str, str]) -> Any:
    """KAF's time against its number of nodes."""
    content = {
        f"{gpu}, {direction}\n{dtype}, {shape}": frame
        for gpu, rows in by_gpu.items()
        for (direction, dtype, shape), frame in rows.groupby(
            ["direction", "dtype", "shape"], sort=False
        )
    }
    providers = {name for rows in by_gpu.values() for name in rows["provider"]}
    handles = [line(palette[n], n) for n in palette if n in providers]
    figure, axes = panels([1.8] * -(-len(content) // 2), 2, handles, title=0.5, left=0.9)
    for ax, (title, frame) in filled(axes, content):
        for provider, points in frame.groupby("provider", sort=False):
            colour = palette[str(provider)]
            ax.plot(points["nodes"], points["us"], marker="o", color=colour)
        ax.set(title=title, xlabel="nodes D (count)", ylabel="time\n(us a million elements)")
        ax.set_xlim(left=0)
        ax.set_ylim(0, 1.1 * frame["us"].max())
    return figure


def heat_map(kernels: Mapping[str, pd.DataFrame]) -> Any:
    """Time relative to the fastest: block size by warps, a panel for each kernel."""
    figure, axes = panels([1.7] * -(-len(kernels) // 3), 3, (), title=0.6)
    for ax, (title, ratios) in filled(axes, kernels):
        ax.imshow(ratios, cmap="viridis_r", vmin=1, vmax=2, aspect="auto", origin="lower")
        for (y, x), ratio in np.ndenumerate(ratios.to_numpy()):
            if ratio == ratio:
                text = f"{ratio:.2f}" if ratio < 10 else f"{ratio:.0f}"
                colour = "white" if ratio > 1.5 else "black"
                ax.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
        ax.grid(visible=False)
        ax.set_xticks(range(len(ratios.columns)), [f"{v:.0f}" for v in ratios.columns])
        ax.set_yticks(range(len(ratios.index)), [f"{v:.0f}" for v in ratios.index])
        ax.set(title=title, xlabel="warps a program (count)", ylabel="block (elements)")
    return figure


def prediction_errors(by_gpu: Mapping[str, pd.DataFrame], palette: Mapping[str, str]) -> Any:
    """Predicted against measured time; on the diagonal they agree."""
    whats = list(dict.fromkeys(what for frame in by_gpu.values() for what in frame["what"]))
    marks = dict(zip(whats, "osD^vP*X" * (1 + len(whats) // 8), strict=False))
    colour = palette["triton_acts"]
    handles = [line(colour, what, "", marks[what], PREDICTED) for what in whats]
    handles.append(line("black", "predicted = measured", ":"))
    figure, axes = panels([2.8] * -(-len(by_gpu) // 2), 2, handles)
    for ax, (gpu, frame) in filled(axes, by_gpu):
        for what, points in frame.groupby("what", sort=False):
            times = points["ms_p50"], points["predicted_ms"]
            ax.plot(*times, marks[str(what)], ls="", color=colour, mfc=PREDICTED)
        values = frame[["ms_p50", "predicted_ms"]].to_numpy()
        ends = [values.min() / 1.5, values.max() * 1.5]
        ax.plot(ends, ends, color="black", ls=":", lw=1)
        ax.set(xscale="log", yscale="log", xlim=ends, ylim=ends, title=gpu)
        ax.set(xlabel="measured time (ms)", ylabel="predicted time (ms)")
    return figure


def _bars(
    by_gpu: Mapping[str, pd.DataFrame],
    palette: Mapping[str, str],
    column: str,
    label: str,
    one: float | None = None,
) -> Any:
    """Horizontal bars: a panel for each GPU, a group for each label, a bar for each provider."""
    providers = {name for frame in by_gpu.values() for name in frame["provider"]}
    placed = {gpu: _places(frame, list(palette)) for gpu, frame in by_gpu.items()}
    heights = [0.16 * (max(at["place"]) + 1) for at, _ in placed.values()]
    handles = [patch(palette[name], name) for name in palette if name in providers]
    figure, axes = panels(heights, 1, handles, left=2.5, right=0.7)
    for ax, (gpu, (bars, labels)) in filled(axes, placed):
        values = bars[column]
        ax.barh(bars["place"], values, 0.88, color=[palette[name] for name in bars["provider"]])
        if one is not None:
            ax.axvline(one, color="black", ls=":", lw=1)
        for place, value in zip(bars["place"], values, strict=True):
            text = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
            ax.annotate(
                text, (value, place), (3, 0), textcoords="offset points", va="center", fontsize=7.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        ax.set_yticks(list(labels.values()), list(labels))
        ax.set_ylim(max(bars["place"]) + 1, -1)
        ax.grid(visible=False, axis="y")
        ax.set(title=gpu, xlabel=label, ylabel="", xlim=(0, 1.05 * max(values.max(), one or 0)))
    return figure


def _places(frame: pd.DataFrame, order: Sequence[str]) -> tuple[pd.DataFrame, dict[str, float]]:
    """The bars of a panel with their `place` from the top, and where each group's label goes."""
    start, labels, groups = 0.0, {}, []
    for label, group in frame.groupby("label", sort=False):
        bars = group.drop_duplicates("provider")
        bars = bars.sort_values("provider", key=lambda names: names.map(order.index))
        room = max(len(bars), 2.0)  # a label has two lines
        first = start + (room - len(bars)) / 2
        groups.append(bars.assign(place=[first + i for i in range(len(bars))]))
        labels[str(label)] = start + (room - 1) / 2
        start += room + 0.7
    return pd.concat(groups), labels


def _mebibytes(mib: float, _position: int) -> str:
    return f"{mib:g}" if mib >= 1 else f"1/{1 / mib:g}"
