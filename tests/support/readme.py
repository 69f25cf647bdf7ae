"""Keeps the tables of README and docs/ what the commands beside them produce."""

import re
from pathlib import Path


def replace_section(file, name, text):
    """Puts `text` between `<!-- name -->` and `<!-- /name -->`."""
    file = Path(file)
    old = file.read_text(encoding="utf-8")
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    new, count = marked.subn(lambda m: f"{m[1]}\n{text}\n{m[2]}", old)
    if count != 1:
        raise ValueError(f"{file} has {count} sections named {name!r}, needs exactly 1")
    file.write_text(new, encoding="utf-8")
