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
        """Says what is being done now."""

    def finish(self, count: int = 1) -> None:
        """So many more units are finished."""

    def say(self, text: str) -> None:
        """Prints a line that stays."""


class _Plain:
    def __init__(self, title: str, total: int, started: float) -> None:
        self._title, self._total, self._done = title, total, 0
        self._started = started

    def step(self, text: str) -> None:
        seconds = time.monotonic() - self._started
        head = f"{self._title}, {self._done} of {self._total} done"
        print(f"{head} after {seconds:.0f} s: {text}", flush=True)

    def finish(self, count: int = 1) -> None:
        self._done += count

    def say(self, text: str) -> None:
        print(text, flush=True)


class _Bar:
    def __init__(self, bar: object, task: object) -> None:
        self._bar, self._task = bar, task

    def step(self, text: str) -> None:
        self._bar.update(self._task, what=text)  # type: ignore[attr-defined]

    def finish(self, count: int = 1) -> None:
        self._bar.update(self._task, advance=count)  # type: ignore[attr-defined]

    def say(self, text: str) -> None:
        self._bar.console.print(text, markup=False, highlight=False)  # type: ignore[attr-defined]


@contextmanager
def progress(title: str, total: int, started: float | None = None) -> Iterator[Progress]:
    """Progress over `total` units of work.

    Args:
        title: what is done.
        total: units of work.
        started: `time.monotonic()` that seconds count from, now by default.
    """
    started = time.monotonic() if started is None else started
    try:
        rich = importlib.import_module("rich.progress")
    except ImportError:
        rich = None
    if rich is None or not sys.stdout.isatty():
        yield _Plain(title, total, started)
        return
    columns = (
        rich.TextColumn(title),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
        rich.TextColumn("{task.fields[what]}"),
    )
    with rich.Progress(*columns, transient=True) as bar:
        task = bar.add_task(title, total=total, what="")
        bar.tasks[-1].start_time = started
        yield _Bar(bar, task)
