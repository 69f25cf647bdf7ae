"""A progress bar on a terminal (with rich, where it is installed), plain lines otherwise."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Progress", "progress"]


class Progress(Protocol):
    """Tells how far the work is."""

    def step(self, text: str) -> None:
        """One more unit of work starts, described by text."""

    def say(self, text: str) -> None:
        """Prints a line that stays."""


class _Plain:
    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._start = time.monotonic()

    def step(self, text: str) -> None:
        self._done += 1
        seconds = time.monotonic() - self._start
        head = f"{self._title} {self._done}/{self._total}"
        print(f"{head} after {seconds:.0f} s: {text}", flush=True)

    def say(self, text: str) -> None:
        print(text, flush=True)


class _Bar:
    def __init__(self, bar: object, task: object) -> None:
        self._bar, self._task, self._started = bar, task, False

    def step(self, text: str) -> None:
        advance = 1 if self._started else 0
        self._started = True
        self._bar.update(self._task, advance=advance, what=text)  # type: ignore[attr-defined]

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)  # type: ignore[attr-defined]


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Progress over `total` units of work."""
    try:
        rich = importlib.import_module("rich.progress")
    except ImportError:
        rich = None
    if rich is None or not sys.stdout.isatty():
        yield _Plain(title, total)
        return
    columns = (
        rich.TextColumn(title),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("{task.fields[what]}"),
    )
    with rich.Progress(*columns, transient=True) as bar:
        yield _Bar(bar, bar.add_task(title, total=total, what=""))
