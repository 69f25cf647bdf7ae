"""Numbers as a reader wants them: enough digits, units, and words where there is no number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Scale", "listed", "number", "plural", "scale_of", "slug", "steps"]
__all__ += ["short_options", "times"]

MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"  # an interval stays on one line
_SHARES = ("accuracy", "balanced accuracy", "false-alarm rate", "miss rate")
_NO_NUMBER = "no value"
_MOST_DECIMALS = 8


@dataclass(frozen=True)
class Scale:
    """How a metric's values are written.

    Attributes:
        metric: its name.
        share: whether it is a share, which is written in percent.
        decimals: digits after the point, from how wide the intervals are.
    """

    metric: str
    share: bool
    decimals: int

    @property
    def label(self) -> str:
        """The metric with its unit, for axes and heads of tables."""
        return f"{self.metric} (%)" if self.share else self.metric

    @property
    def unit(self) -> str:
        """What follows a difference."""
        return " percentage points" if self.share else ""

    @property
    def factor(self) -> float:
        """From records to what is written."""
        return 100.0 if self.share else 1.0

    def value(self, x: float) -> str:
        """A value without unit."""
        return self._write((x,))[0]

    def signed(self, x: float) -> str:
        """A difference without its interval."""
        return self._write((x,), sign="+")[0]

    def interval(self, x: float, low: float, high: float) -> str:
        """`97.0 [95.6, 98.5]`; a share's ends at what a share can be."""
        if self.share:
            low, high = max(low, 0.0), min(high, 1.0)
        return _bracketed(*self._write((x, low, high)))

    def difference(self, x: float, low: float, high: float) -> str:
        """The same with signs; an end that is not 0 is never written as 0."""
        return _bracketed(*self._write((x, low, high), sign="+"))

    def _write(self, values: Sequence[float], sign: str = "") -> list[str]:
        scaled = [self.factor * v for v in values]
        decimals = self.decimals
        ends = scaled[-2:]  # a value alone is both
        while decimals < _MOST_DECIMALS and any(v and not round(v, decimals) for v in ends):
            decimals += 1
        return [_fixed(v, decimals, sign) for v in scaled]


def scale_of(metric: str, values: Iterable[float], halves: Iterable[float]) -> Scale:
    """A metric's scale.

    Args:
        metric: its name.
        values: that occur; a share lies between 0 and 1.
        halves: half-widths of the intervals; their median is written with two digits.
    """
    share = metric in _SHARES and all(0 <= v <= 1 for v in values if math.isfinite(v))
    sizes = sorted(h for h in halves if math.isfinite(h) and h > 0)
    half = sizes[len(sizes) // 2] * (100 if share else 1) if sizes else 0.1
    return Scale(metric, share, min(max(1 - math.floor(math.log10(half)), int(share)), 6))


def number(x: float, digits: int = 3) -> str:
    """A few significant digits, without exponents where they can be avoided."""
    if not math.isfinite(x):
        return _NO_NUMBER if math.isnan(x) else "infinite"
    if abs(x) >= 10**digits:
        return f"{x:,.0f}".replace("-", MINUS)
    return f"{x:.{digits}g}".replace("-", MINUS)


def steps(x: float | None) -> str:
    """Steps to a target, which may never be reached or be there from the start."""
    if x is None or math.isnan(x):
        return "no target"
    if math.isinf(x):
        return "not reached"
    return number(x, 6) if x else "at the start"


def times(value: float, base: float) -> str:
    """`1.6 times`."""
    return f"{number(value / base, 2)} times" if base > 0 else _NO_NUMBER


def short_options(value: object) -> str:
    """A choice's options, numbers with few digits; "" where a record has none."""
    text = value if isinstance(value, str) else ""
    return re.sub(r"\d+\.\d{5,}", lambda m: f"{float(m[0]):.4g}", text)


def plural(n: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`; names with a comma in them are set apart by semicolons."""
    if len(names) < 2:
        return "".join(names)
    comma, last = ("; ", "; and ") if any("," in name for name in names) else (", ", " and ")
    return comma.join(names[:-1]) + last + names[-1]


def slug(name: str) -> str:
    """A part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]


def _fixed(x: float, decimals: int, sign: str) -> str:
    if not math.isfinite(x):
        return number(x)
    text = f"{x:{sign}.{decimals}f}"
    if not float(text):
        text = text.lstrip("+-")  # neither sign says anything about 0
    return text.replace("-", MINUS)


def _bracketed(middle: str, low: str, high: str) -> str:
    return f"{middle} [{low},{_SPACE}{high}]"
