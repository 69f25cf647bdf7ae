"""What the report says, section by section: texts, tables and charts, for Markdown and for HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd

from perf import blocks, charts, frames, headlines, panels, prices, static_views
from perf.frames import Book
from perf.promises import BASIS, TITLE, promises
from perf.section import Picture, Section, known_of, shown, views
from perf.static import BASIS as STATIC_BASIS
from triton_acts import gpus
from triton_acts.tuning.records import Row

__all__ = ["sections"]


_MEMORY = {
    "what": "op",
    "dtype": "dtype",
    "shape": "x",
    "provider": "provider",
    "peak_mib": "peak (MiB)",
    "of_x": "relative to x (ratio)",
    "status": "status",
}
_PREDICTIONS = {
    "what": "op",
    "direction": "direction",
    "dtype": "dtype",
    "shape": "x",
    "layout": "layout",
    "ms_p50": "measured (ms)",
    "predicted_ms": "predicted (ms)",
    "error_percent": "error of the prediction (%)",
    "predicted_bound": "predicted bound",
}


def sections(book: Book, predicted: Sequence[Row]) -> list[Section]:
    """The whole report.

    Args:
        book: the records.
        predicted: rows of the static table.
    """
    palette = panels.colours([*panels.PALETTE, *book.rows["provider"]])
    found = [headlines.section(book)]
    if book.gpus:
        found += [
            _throughput(book, palette),
            _shares(book, palette),
            _kaf(book, palette),
            _memory(book, palette),
            _training(book, palette),
        ]
    found.append(_blocks(book))
    if book.gpus:
        found += [_predictions(book, palette)]
    found.append(_static(predicted))
    if book.gpus:
        found.append(_measured(book))
    if len(book.runs):
        found.append(_runs(book))
    if book.problems:
        text = "These were left out; everything else in their files is in this report."
        found.append(Section("Damaged records", [text, *book.problems]))
    return found


def _throughput(book: Book, palette: Mapping[str, str]) -> Section:
    section = Section(
        "Throughput against size",
        [
            "Bytes that the work has to move (x, its result, gradients), by time. Lines are "
            "medians, bands reach from p20 to p80. The dashed line is the yardstick. Small tensors "
            "are bound by the time of a launch. Contiguous tensors; of several shapes of a size, "
            "KAF's is N x C and the others' N x C x H x W. liger and fla are kernels of other "
            "packages that do the nearest work, not the same."
        ],
    )
    for slug, sizes in views(book, frames.by_size).items():
        known = gpus.constants(slug)
        peak_gbs = known.dram_gbs if known else None
        caption = f"{slug}, {sizes['dtype'].iloc[0]}: rate against size"
        draw = partial(charts.throughput_by_size, sizes, palette, peak_gbs)
        section.pictures.append(Picture(caption, draw))
        table = frames.by_provider(sizes, "gbps").drop(columns=["GPU", "dtype", "layout"])
        section.tables.append((f"Rates in the chart of {slug} (GB/s)", table))
    return section.or_not_yet()


def _shares(book: Book, palette: Mapping[str, str]) -> Section:
    section = Section(
        "Share of yardstick",
        [
            "How much of the yardstick's speed each provider reaches, at the largest size of the "
            "dtype with the most cases: 100 % is as fast as memory allows."
        ],
    )
    by_gpu = views(book, frames.shares)
    if by_gpu:
        caption = f"Share of yardstick on {', '.join(by_gpu)}"
        section.pictures.append(Picture(caption, partial(charts.yardstick_shares, by_gpu, palette)))
        table = frames.by_provider(pd.concat(list(by_gpu.values())), "share_of_yardstick")
        section.tables.append(("Share of yardstick of each provider (ratio)", table))
    return section.or_not_yet()


def _kaf(book: Book, palette: Mapping[str, str]) -> Section:
    section = Section(
        "KAF: cost against the number of nodes",
        [
            "KAF sums D Gaussians an element. The published formula makes all D of them in memory; "
            "ours takes three exponentials for every 20 nodes or so, and D multiply-adds."
        ],
    )
    measured = views(book, frames.node_counts)
    if measured:
        caption = f"KAF's time against D on {', '.join(measured)}"
        draw = partial(charts.node_cost, measured, palette)
        section.pictures.append(Picture(caption, draw))
    missing = [slug for slug in book.gpus if slug not in measured]
    if missing:
        section.text.append(f"Not yet measured with several D: {', '.join(missing)}.")
    for slug in book.gpus:
        table = pd.DataFrame(promises(book.of(slug).to_dict("records")))
        if len(table):
            section.text.append(f"{TITLE}: {BASIS}")
            section.tables.append((f"{TITLE}, on {slug}", table))
    return section


def _memory(book: Book, palette: Mapping[str, str]) -> Section:
    section = Section(
        "Memory",
        ["Peak of one forward and backward pass beyond the inputs: lower is better."],
    )
    by_gpu = views(book, frames.memory)
    known = known_of(by_gpu, "peak_mib")
    if known:
        draw = partial(charts.peak_memory, known, palette)
        section.pictures.append(Picture(f"Peak memory on {', '.join(known)}", draw))
    if by_gpu:
        section.tables.append(("Peak memory of each provider", shown(by_gpu, _MEMORY)))
    return section.or_not_yet()


def _training(book: Book, palette: Mapping[str, str]) -> Section:
    section = Section(
        "Training step",
        [
            "What people pay for: a whole step (forward, backward, optimiser) of a small CNN and "
            "of an MLP block with each activation, and its price over the same step with ReLU. "
            "'kaf as published' is the published formula."
        ],
    )
    by_gpu = views(book, prices.prices)
    known = known_of(by_gpu, "price")
    if known:
        draw = partial(charts.training_price, known, palette)
        section.pictures.append(Picture(f"Price over ReLU on {', '.join(known)}", draw))
    if by_gpu:
        table = prices.by_activation(by_gpu, "ms_p50", "price", "ms")
        section.tables.append(("Time of a step, and its price over ReLU", table))
    if known_of(by_gpu, "peak_mib"):
        table = prices.by_activation(by_gpu, "peak_mib", "memory_price", "MiB")
        section.tables.append(("Peak memory of a step, and its price over ReLU", table))
    return section.or_not_yet()


def _blocks(book: Book) -> Section:
    section = Section(
        "Block sizes",
        [
            "What a launch gets for aligned tensors, as elements of a block / warps a program (x2, "
            "x4: so many tiles ahead). 'measured' was found by `make autotune` on that GPU and is "
            "in these records; 'shipped, measured' comes with the package, from such a search; "
            f"'{blocks.MODEL}' is shipped for GPUs that nobody has measured. A blank cell of a map "
            "was not timed: no candidate, or one that was dropped or failed."
        ],
    )
    table = blocks.block_sizes(book)
    if len(table):
        section.tables.append(("Block sizes by op, dtype and size", table))
    for slug in book.gpus:
        kernels = blocks.heat(book.trials[book.trials["gpu"] == slug])
        if kernels:
            caption = f"{slug}: time of every candidate relative to the fastest (1.00), measured"
            first = dict(list(kernels.items())[: blocks.PANELS])
            section.pictures.append(Picture(caption, partial(charts.heat_map, first)))
            rest = [title.replace("\n", ", ") for title in kernels if title not in first]
            if rest:
                section.text.append(f"Maps of {slug} that are not drawn: {'; '.join(rest)}.")
    return section.or_not_yet()


def _predictions(book: Book, palette: Mapping[str, str]) -> Section:
    section = Section(
        "Predicted against measured",
        [
            "The predicted time comes from the kernel's machine code and the GPU's data sheet. It "
            "knows no overhead but a launch of 3 us and no imperfect DRAM: an optimistic estimate. "
            "Error: -10 % is a prediction 10 % too short."
        ],
    )
    by_gpu = views(book, frames.predictions)
    if by_gpu:
        caption = f"Predicted against measured time on {', '.join(by_gpu)}"
        draw = partial(charts.prediction_errors, by_gpu, palette)
        section.pictures.append(Picture(caption, draw))
        section.tables.append(("Error of the predicted times (%)", _error_summary(by_gpu)))
        for slug, frame in by_gpu.items():
            table = shown({slug: frame}, _PREDICTIONS)
            section.tables.append((f"Predicted and measured on {slug}, every case", table))
    return section.or_not_yet()


def _error_summary(by_gpu: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    key = ["gpu", "what", "direction"]
    grouped = pd.concat(list(by_gpu.values())).groupby(key, sort=False)["error_percent"]
    table = grouped.agg(cases="count", median="median", lowest="min", highest="max")
    return table.reset_index().rename(columns={"what": "op", "gpu": "GPU"})


def _static(predicted: Sequence[Row]) -> Section:
    return Section(
        f"Rates on every GPU: {STATIC_BASIS}",
        static_views.text(predicted),
        static_views.tables(predicted),
    )


def _measured(book: Book) -> Section:
    section = Section(
        "All measurements",
        [
            "Rounds of a yardstick, triton_acts, the eager formula and torch.compile of it, one "
            "after the other: at least 20 rounds and an interquartile range below 2 % of the "
            "median, or as many as the budget allows. On a GPU the caches are emptied before each "
            "call. The yardstick moves the same bytes with one call of torch into memory that is "
            "there already: a copy, or an addition where the work reads two tensors. 'backward' is "
            "the gradient of a kept graph, without the forward pass; its rate counts the bytes of "
            "x, incoming and outgoing gradient. 'both compiled' is the speed of torch.compile of "
            "triton_acts relative to torch.compile of the formula. 'error' is the largest "
            "deviation from float64 in eps of the dtype times max(1, absolute value), for KAF in "
            "eighths of what its documentation allows; a provider beyond 8 is marked 'wrong' and "
            "not timed."
        ],
    )
    for slug in book.gpus:
        table = frames.compact(frames.measured_table(book.of(slug)))
        if len(table):
            section.tables.append((f"Measured on {slug}: {book.name(slug)}", table))
            times = frames.by_provider(frames.times(book.of(slug)), "ms_p50").drop(columns="GPU")
            section.tables.append((f"Medians of every provider on {slug} (ms)", times))
    return section.or_not_yet()


def _runs(book: Book) -> Section:
    """All runs."""
    used = pd.concat([book.rows, book.trials])["run_id"].value_counts()
    runs = book.runs
    flush = runs["flush_bytes"].astype(float) / 2**20
    table = pd.DataFrame(
        {
            "run": runs["run_id"],
            "UTC": runs["utc_time"],
            "rows shown": runs["run_id"].map(used).fillna(0).astype(int),
            "commit": runs["commit"].str[:10] + runs["commit"].str[40:],
            "torch": runs["torch"],
            "triton": runs["triton"],
            "driver": runs["driver"],
            "copy (GB/s)": runs["canary_gbps"],
            "flush (MiB)": flush,
            "arguments": runs["argv"],
        }
    )
    text = (
        "All runs, the newest first. Of each GPU and case this report shows one: of the runs that "
        "timed the most providers of it the newest."
    )
    return Section("Runs", [text], [("Where the numbers come from", table)])
