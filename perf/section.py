"""A part of the report, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from perf.frames import Book

__all__ = ["NOT_YET", "Picture", "Section", "known_of", "shown", "views"]

NOT_YET = "Not yet measured."


@dataclass(frozen=True)
class Picture:
    """A chart: what it shows, in words, and what draws it."""

    caption: str
    draw: Callable[[], Any]


@dataclass
class Section:
    """A part of the report.

    Attributes:
        title: its heading.
        text: paragraphs; `code` between backticks.
        tables: each with its caption.
        pictures: charts.
    """

    title: str
    text: list[str] = field(default_factory=list)
    tables: list[tuple[str, pd.DataFrame]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)

    def or_not_yet(self) -> Section:
        """The section, with a sentence that nothing was measured where it holds nothing."""
        if not self.tables and not self.pictures:
            self.text.append(NOT_YET)
        return self


def views(book: Book, view: Callable[[pd.DataFrame], pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The GPUs for which a view has rows."""
    found = {slug: view(book.of(slug)) for slug in book.gpus}
    return {slug: frame for slug, frame in found.items() if len(frame)}


def known_of(by_gpu: Mapping[str, pd.DataFrame], column: str) -> dict[str, pd.DataFrame]:
    """The rows with a value, of the GPUs that have one."""
    found = {slug: frame[frame[column].notna()] for slug, frame in by_gpu.items()}
    return {slug: frame for slug, frame in found.items() if len(frame)}


def shown(by_gpu: Mapping[str, pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    """Some columns under readable names, without empty ones; the GPU first of several."""
    frame = pd.concat(list(by_gpu.values()))
    table = frame[list(columns)].rename(columns=dict(columns))
    if len(by_gpu) > 1:
        table.insert(0, "GPU", frame["gpu"])
    return table.mask(table == "").dropna(axis=1, how="all")
