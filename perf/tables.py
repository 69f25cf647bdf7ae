"""Tables and numbers as text."""

from __future__ import annotations

from typing import Any

import pandas as pd

__all__ = ["markdown", "number"]


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
