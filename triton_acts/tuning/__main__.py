"""`python -m triton_acts.tuning inspect`: what the compiler makes of every kernel.

Exit codes: 0, also if some machine code could not be read (its row is blank and a note goes to
stderr); 1 if nothing can be compiled here; 2 for a wrong argument.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from triton_acts import gpus

from .inspect import COLUMNS, DTYPES, Row, row_count, rows
from .registry import REGISTRY

__all__ = ["main"]

_SECONDS_BETWEEN_NEWS = 5.0


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m triton_acts.tuning")
    commands = parser.add_subparsers(dest="command", required=True)
    inspect = commands.add_parser(
        "inspect",
        help="compile every kernel without a GPU and count its machine code",
        description="Compiles every kernel with its default block, for GPUs that need not be "
        "there, and counts instructions an element and access widths in bytes of full blocks.",
        epilog="Layouts: flat, elements one after another; inner1, N x C or channels last, every "
        "lane has its channel; innerN and inner49, N x C x H x W with planes of 56 x 56 and 7 x 7; "
        "shared, one weight for all. Variants: per_channel, a learned weight, and _fixed, without "
        "its gradient; save_output, backward from y; d20, KAF with 20 nodes; d64, with 64, of "
        "which a forward is counted for one of 4 anchors and a backward for 2; nodes20, with free "
        "ones.",
    )
    archs = gpus.architectures()
    ops = tuple(REGISTRY)  # filled by the parent package, which python -m imports first
    inspect.add_argument(
        "--arch", action="append", choices=archs, metavar="ARCH", help=f"any of {', '.join(archs)}"
    )
    inspect.add_argument(
        "--op", action="append", choices=ops, metavar="OP", help=f"any of {', '.join(ops)}"
    )
    inspect.add_argument("--csv", type=Path, metavar="FILE", help="write the rows there as well")
    args = parser.parse_args(argv)
    chosen_archs = tuple(dict.fromkeys(args.arch or archs))
    chosen_ops = tuple(dict.fromkeys(args.op or ops))
    total = row_count(chosen_archs, chosen_ops, DTYPES)
    try:
        found = list(_with_progress(rows(chosen_archs, chosen_ops), total))
    except RuntimeError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    cells = [row.cells() for row in found]
    sys.stdout.write(_table(cells))
    for note in dict.fromkeys(row.note for row in found if row.note):
        sys.stderr.write(f"note: blank rows: {note}\n")
    if args.csv:
        _write_csv(args.csv, cells)
    return 0


def _table(cells: Sequence[dict[str, str]]) -> str:
    """Columns padded to their widest cell, numbers to the right."""
    lines = [dict(zip(COLUMNS, COLUMNS, strict=True)), *cells]
    widths = {name: max(len(line[name]) for line in lines) for name in COLUMNS}
    text = {"op", "variant", "direction", "dtype", "layout", "arch"}
    return "".join(
        "  ".join(
            line[name].ljust(widths[name]) if name in text else line[name].rjust(widths[name])
            for name in COLUMNS
        ).rstrip()
        + "\n"
        for line in lines
    )


def _write_csv(file: Path, cells: Iterable[dict[str, str]]) -> None:
    """Writes the whole file or leaves the old one."""
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(cells)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def _with_progress(found: Iterator[Row], total: int) -> Iterator[Row]:
    """Passes rows on; on stderr a bar on a terminal that has rich, else a line now and then."""
    track = _track() if sys.stderr.isatty() else None
    if track is not None:
        yield from track(found, total)
        return
    last = time.monotonic()
    for done, row in enumerate(found, 1):
        yield row
        if time.monotonic() - last > _SECONDS_BETWEEN_NEWS:
            last = time.monotonic()
            sys.stderr.write(f"{done} of {total} kernels\n")


def _track() -> Callable[[Iterator[Row], int], Iterator[Row]] | None:
    """A rich progress bar on stderr, None where rich is not installed."""
    try:
        from rich.console import Console
        from rich.progress import track
    except ImportError:
        return None
    return lambda found, total: iter(
        track(found, "compiling", total=total, console=Console(stderr=True))
    )


if __name__ == "__main__":
    raise SystemExit(main())
