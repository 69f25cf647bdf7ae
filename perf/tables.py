"""Tables, numbers and the names of ops as text."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd  # not in the processes that measure memory

__all__ = ["markdown", "number", "op_name", "ratio"]

_VARIANTS = {"scalar": "", "per_channel": "learned a"}


def markdown(frame: pd.DataFrame) -> str:
    """A table in Markdown."""
    if frame.empty:
        return "No row."
    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + " --- |" * len(frame.columns)]
    for values in frame.itertuples(index=False):
        lines.append("| " + " | ".join(number(v).replace("|", "/") for v in values) + " |")
    return "\n".join(lines)


def number(value: Any) -> str:
    """Four digits of a number; '' where there is none."""
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def ratio(value: float) -> str:
    """Two decimals below 10, more where these are not two digits, and three digits above."""
    if not 0 < value < 10:
        return f"{value:.1f}" if value < 100 else f"{value:.0f}"
    return f"{value:.{max(2, 1 - math.floor(math.log10(value)))}f}"


def op_name(op: str, variant: str) -> str:
    """An op as the README calls it: "penalized_tanh, learned a", "kaf, 20 nodes"."""
    kind, _, mode = variant.partition("/")
    words = re.sub(r"^d(\d+)$", r"\1 nodes", _VARIANTS.get(kind, kind))
    words = re.sub(r"^nodes(\d+)$", r"\1 free nodes", words)
    return ", ".join(word for word in (op, words, mode) if word)
