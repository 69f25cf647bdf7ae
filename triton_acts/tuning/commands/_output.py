"""What commands print and write: tables, files, progress."""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO, TypeVar

__all__ = ["table", "with_progress", "write_csv", "write_text"]

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


def write_csv(file: Path, columns: Sequence[str], cells: Iterable[Mapping[str, str]]) -> None:
    """Writes the whole file or leaves the old one."""
    rows = list(cells)

    def fill(stream: TextIO) -> None:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

    _replace(file, fill)


def write_text(file: Path, text: str) -> None:
    """Writes the whole file or leaves the old one."""
    _replace(file, lambda stream: stream.write(text))


def _replace(file: Path, fill: Callable[[TextIO], object]) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def with_progress(items: Iterable[Item], total: int, doing: str, unit: str) -> Iterator[Item]:
    """Passes items on; on stderr a bar on a terminal that has rich, else a line now and then."""
    track = _track(doing) if sys.stderr.isatty() else None
    if track is not None:
        yield from track(items, total)
        return
    started = last = time.monotonic()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_NEWS:
            last = now
            left = (now - started) / done * (total - done)
            sys.stderr.write(f"{doing}: {done} of {total} {unit}, about {left:.0f} s left\n")


def _track(doing: str) -> Callable[[Iterable[Item], int], Iterable[Item]] | None:
    """A rich progress bar on stderr, None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        return None
    return lambda items, total: track(items, doing, total=total, console=Console(stderr=True))
