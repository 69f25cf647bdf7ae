"""The report as Markdown, its pictures in a folder beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ._document import Block, Cell, Document, Facts, Items, Picture, Table, Text

__all__ = ["FIGURES", "as_markdown"]

FIGURES = "figures"  # the pictures' folder


def as_markdown(document: Document) -> str:
    """The whole file."""
    parts = [f"# {_escaped(document.title)}"]
    for section in document.sections:
        parts += [f"## {_escaped(section.title)}", *map(_block, section.blocks)]
    return "\n\n".join([*parts, ""])


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return _opening(text)
        case Items(items):
            return "\n".join(f"- {_opening(item)}" for item in items)
        case Facts(title, rows):
            facts = "\n".join(f"- **{_escaped(k)}**: {_escaped(v)}" for k, v in rows)
            return f"### {_escaped(title)}\n\n{facts}"
        case Picture(caption, name):
            return f"**{_escaped(caption)}**\n\n![{_escaped(caption)}]({FIGURES}/{name}.png)"
        case Table(caption, head, rows):
            lines = [_line(head), "|" + " --- |" * len(head), *map(_line, rows)]
            return f"**{_escaped(caption)}**\n\n" + "\n".join(lines)


def _line(cells: Sequence[str | Cell]) -> str:
    texts = [cell.text if isinstance(cell, Cell) else cell for cell in cells]
    return "| " + " | ".join(map(_escaped, texts)) + " |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is: a name is no markup, no link and no end of a cell."""
    text = re.sub(r"\s", " ", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_|~$])", r"\\\1", text)
    return re.sub(r"\](?=[(\[:])", r"\\]", text)


def _opening(text: str) -> str:
    """The same where a line begins, which may be taken for a heading or a list."""
    return re.sub(r"^([#+-]|\d+(?=[.)]))", _plain, _escaped(text))


def _plain(sign: re.Match[str]) -> str:
    return f"&#{ord(sign[0][0])};{sign[0][1:]}"
