"""The report as one HTML file that needs nothing else: no network, no script, charts inside."""

from __future__ import annotations

import base64
import html
import math
import re
import time
from collections.abc import Sequence

import pandas as pd

from perf import panels
from perf.section import Picture, Section
from perf.tables import number

__all__ = ["LATE", "NO_CHARTS", "page"]

LONG = 20  # lines from which on a table is folded
NO_CHARTS = "No charts: matplotlib is not installed. Add it with `pip install matplotlib`."
LATE = "Left out, to end the run in time; `python -m perf report` draws it: "
_STYLE = """
body { margin: 0 auto; max-width: 1000px; padding: 0 16px 48px; color: #1a1a1a; background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif; }
h1 { font-size: 26px; margin: 24px 0 4px; }
h2 { font-size: 20px; margin: 40px 0 8px; padding-top: 8px; border-top: 1px solid #ccc; }
p { margin: 8px 0; max-width: 85ch; overflow-wrap: anywhere; }
nav { font-size: 14px; } nav a { margin-right: 14px; white-space: nowrap; }
a { color: #0059a0; }
code { background: #f2f2f2; padding: 0 3px; border-radius: 3px; }
figure { margin: 16px 0 24px; } figure img { width: 100%; height: auto; display: block; }
figcaption, caption, summary { font-size: 14px; font-weight: 600; text-align: left; }
caption { padding: 4px 0; } summary { cursor: pointer; padding: 4px 0; }
.scroll { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 12px; line-height: 1.35; }
th, td { padding: 3px 7px; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
th { background: #f2f2f2; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
.wide { font-size: 11px; } .wide th, .wide td { padding: 2px 4px; }
"""


def page(title: str, sections: Sequence[Section], seconds: float = math.inf) -> str:
    """The whole file.

    Args:
        title: its heading.
        sections: what it says.
        seconds: to draw charts for; those that come later are named instead.
    """
    until = time.monotonic() + seconds
    links = " ".join(
        f'<a href="#{_anchor(section.title)}">{html.escape(section.title)}</a>'
        for section in sections
    )
    body = "\n".join(_section(section, until) for section in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, until: float) -> str:
    parts = [f'<h2 id="{_anchor(section.title)}">{html.escape(section.title)}</h2>']
    parts += [_paragraph(text) for text in section.text]
    if section.pictures and not panels.installed():
        parts.append(_paragraph(NO_CHARTS))
    else:
        parts += [_picture(picture, until) for picture in section.pictures]
    parts += [_table(caption, table) for caption, table in section.tables]
    return "\n".join(parts)


def _paragraph(text: str) -> str:
    marked = re.sub("`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return f"<p>{marked}</p>"


def _picture(picture: Picture, until: float) -> str:
    if time.monotonic() >= until:
        return _paragraph(LATE + picture.caption)
    data = base64.b64encode(panels.svg(picture.draw)).decode()
    caption = html.escape(picture.caption)
    return (
        f'<figure><figcaption>{caption}</figcaption><img alt="{caption}" '
        f'src="data:image/svg+xml;base64,{data}"></figure>'
    )


def _table(caption: str, table: pd.DataFrame) -> str:
    """A long table is folded, so that a reader finds the next chart."""
    head = "".join(f"<th>{_breakable(str(name))}</th>" for name in table.columns)
    lines = [
        f"<tr>{''.join(map(_cell, values))}</tr>"
        for values in table.itertuples(index=False, name=None)
    ]
    kind = ' class="wide"' if len(table.columns) > 8 else ""
    title = html.escape(caption)
    long = len(lines) > LONG
    named = "" if long else f"<caption>{title}</caption>"
    body = "\n".join(lines)
    inner = (
        f'<div class="scroll"><table{kind}>{named}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )
    if not long:
        return inner
    return f"<details><summary>{title} ({len(lines)} lines)</summary>\n{inner}</details>"


def _cell(value: object) -> str:
    numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
    kind = ' class="n"' if numeric else ""
    return f"<td{kind}>{_breakable(number(value))}</td>"


def _breakable(text: str) -> str:
    """Lines may break after some signs, so that columns get narrow."""
    return re.sub(r"([,+/]|_(?=[a-z])|\dx(?=\d))", r"\1<wbr>", html.escape(text, quote=False))


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
