"""What a report says, before it is Markdown or HTML: both are written from the same document."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Block", "Cell", "Document", "Facts", "Items", "Picture", "Section", "Table", "Text"]


@dataclass(frozen=True)
class Cell:
    """A table's cell whose tone colours it: a verdict's or a claim's word."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Text:
    """A paragraph of plain words; nothing in it is markup."""

    text: str


@dataclass(frozen=True)
class Items:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Labels, each with a sentence or two, under a title."""

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """A table; numbers stand to the right."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]


@dataclass(frozen=True)
class Picture:
    """A figure that is drawn when the report is written.

    Attributes:
        caption: what is to be seen.
        name: of its file, without folder and ending.
        draw: returns the matplotlib Figure.
    """

    caption: str
    name: str
    draw: Callable[[], Any]


Block = Text | Items | Facts | Table | Picture


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it; without blocks it is left out."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """The report."""

    title: str
    sections: Sequence[Section]
