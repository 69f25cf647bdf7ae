"""Files that a command makes: whole, or the old one stays."""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

__all__ = ["write_csv", "write_text"]


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
    except BaseException as error:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        # one of a write does not know its file
        if isinstance(error, OSError) and error.errno and error.filename is None:
            raise OSError(error.errno, error.strerror, str(file)) from error
        raise
