"""The report as one HTML file that needs nothing else: no network, no script, pictures inside."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Mapping

from ._document import Block, Cell, Document, Facts, Items, Picture, Section, Table, Text
from ._words import slug

__all__ = ["as_html"]

_WIDE = 7  # columns from which on a table is set smaller
_NUMBER = re.compile("[+\N{MINUS SIGN}]?[0-9][0-9.,]*( \\[.*\\])?")
_STYLE = """
body { margin: 0 auto; max-width: 960px; padding: 0 16px 48px; color: #1a1a1a; background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Arial, sans-serif; }
h1 { font-size: 26px; margin: 24px 0 4px; }
h2 { font-size: 20px; margin: 40px 0 8px; padding-top: 8px; border-top: 1px solid #ccc; }
h3 { font-size: 16px; margin: 0 0 6px; }
p { margin: 8px 0; max-width: 85ch; } p, li, dd, h1, h3, td, caption { overflow-wrap: anywhere; }
ul { margin: 8px 0; padding-left: 22px; max-width: 85ch; }
nav { font-size: 14px; } nav a { margin-right: 14px; white-space: nowrap; } a { color: #0059a0; }
.facts { margin: 14px 0; padding: 10px 14px; border: 1px solid #ddd; border-left: 4px solid #0072b2;
  border-radius: 3px; break-inside: avoid; font-size: 14px; }
dl { display: grid; grid-template-columns: 8.5em 1fr; gap: 3px 10px; margin: 0; }
dt { font-weight: 600; color: #555; } dd { margin: 0; }
figure { margin: 16px 0 24px; break-inside: avoid; }
figure img { width: 100%; max-width: 800px; height: auto; display: block; }
figcaption, caption { font-size: 14px; font-weight: 600; text-align: left; padding: 4px 0; }
.scroll { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 13px; line-height: 1.35; }
th, td { padding: 3px 7px; text-align: left; vertical-align: top; border-bottom: 1px solid #ddd; }
th { background: #f2f2f2; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
td { overflow-wrap: normal; word-break: normal; max-width: 26em; }
.wide { font-size: 11px; } .wide th, .wide td { padding: 2px 4px; }
td.v { min-width: 7.2em; }
.better, .reproduced { color: #00558a; font-weight: 600; }
.worse, .edge, .not-reproduced { color: #a83c00; font-weight: 600; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } nav { display: none; }
  h2, h3, caption { break-after: avoid; } tr { break-inside: avoid; } .scroll { overflow: visible; }
  .wide { font-size: 7pt; }
  thead { display: table-header-group; } .better, .worse { print-color-adjust: exact; }
  @page { margin: 14mm; }
}
"""


def as_html(document: Document, pictures: Mapping[str, bytes]) -> str:
    """The whole file.

    Args:
        document: what it says.
        pictures: PNG by a picture's name.
    """
    title = _escaped(document.title)
    links = " ".join(
        f'<a href="#{slug(s.title)}">{_escaped(s.title)}</a>' for s in document.sections
    )
    body = "\n".join(_section(section, pictures) for section in document.sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{title}</h1>\n<nav>{links}</nav>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section, pictures: Mapping[str, bytes]) -> str:
    blocks = "\n".join(_block(block, pictures) for block in section.blocks)
    title = _escaped(section.title)
    return f'<section>\n<h2 id="{slug(section.title)}">{title}</h2>\n{blocks}\n</section>'


def _block(block: Block, pictures: Mapping[str, bytes]) -> str:
    match block:
        case Text(text):
            return f"<p>{_escaped(text)}</p>"
        case Items(items):
            return "<ul>" + "".join(f"<li>{_escaped(item)}</li>" for item in items) + "</ul>"
        case Facts(title, rows):
            facts = "".join(f"<dt>{_escaped(k)}</dt><dd>{_escaped(v)}</dd>\n" for k, v in rows)
            return f'<div class="facts"><h3>{_escaped(title)}</h3>\n<dl>{facts}</dl></div>'
        case Picture(caption, name):
            data = base64.b64encode(pictures[name]).decode()
            return (
                f"<figure><figcaption>{_escaped(caption)}</figcaption>"
                f'<img alt="{_escaped(caption)}" src="data:image/png;base64,{data}"></figure>'
            )
        case Table():
            return _table(block)


def _table(table: Table) -> str:
    kind = ' class="wide"' if len(table.head) > _WIDE else ""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in table.head)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    return (
        f'<div class="scroll"><table{kind}><caption>{_escaped(table.caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


def _cell(cell: str | Cell) -> str:
    is_cell = isinstance(cell, Cell)
    text, tone = (cell.text, cell.tone) if isinstance(cell, Cell) else (cell, "")
    kind = "n" if _NUMBER.fullmatch(text) else " ".join(filter(None, ("v" * is_cell, slug(tone))))
    attribute = f' class="{kind}"' if kind else ""
    return f"<td{attribute}>{_escaped(text)}</td>"


def _escaped(text: str) -> str:
    return html.escape(text)
