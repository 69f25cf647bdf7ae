"""What commands print and write: tables, files, progress."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["table", "with_progress"]

Item = TypeVar("Item")
_SECONDS_BETWEEN_NEWS = 5.0


def table(columns: Sequence[str], cells: Sequence[Mapping[str, str]], text: set[str]) -> str:
    """Columns padded to their widest cell; those in `text` to the left, numbers to the right."""
    lines = [dict(zip(columns, columns, strict=True)), *cells]
    widths = {name: max(len(line[name]) for line in lines) for name in columns}
    return "".join(
        "  ".join(
            line[name].ljust(widths[name]) if name in text else line[name].rjust(widths[name])
            for name in columns
        ).rstrip()
        + "\n"
        for line in lines
    )


def with_progress(
    items: Iterable[Item], total: int, doing: str, unit: str, limit_s: float = math.inf
) -> Iterator[Item]:
    """Passes items on; on stderr a bar on a terminal that has rich, else a line now and then.

    Args:
        items: passed on.
        total: their number.
        doing: "tuning", ...
        unit: what they are, for people.
        limit_s: seconds after which the work ends, done or not.
    """
    started = time.monotonic()

    def left(done: int) -> float:
        spent = time.monotonic() - started
        rest = spent / done * (total - done) if done else math.inf
        return max(0.0, min(rest, limit_s - spent))

    with _reporter(doing, total, unit) as report:
        report(0, left(0))
        for done, item in enumerate(items, 1):
            yield item
            report(done, left(done))


@contextmanager
def _reporter(doing: str, total: int, unit: str) -> Iterator[Callable[[int, float], None]]:
    """What is told how many are done, and how many seconds are left."""
    if sys.stderr.isatty():
        try:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        except ImportError:
            pass
        else:
            texts = (TextColumn("{task.fields[unit]}{task.fields[left]}"),)
            columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), *texts)
            with Progress(*columns, console=Console(stderr=True)) as bar:
                task = bar.add_task(doing, total=total, unit=unit, left="")
                yield lambda done, left: bar.update(task, completed=done, left=_left(left))
            return
    last = -math.inf

    def line(done: int, left: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_NEWS:
            last = now
            sys.stderr.write(f"{doing}: {done} of {total} {unit}{_left(left)}\n")
            sys.stderr.flush()

    yield line


def _left(seconds: float) -> str:
    return f", about {seconds:.0f} s left" if math.isfinite(seconds) else ""
