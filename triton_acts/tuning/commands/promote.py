"""`promote`: derives the shipped config files from records and the golden table.

Exit codes: 0; 1 if --check finds a difference; 2 if there is nothing to derive them from.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from triton_acts.tuning import golden
from triton_acts.tuning.device import checkout
from triton_acts.tuning.promotion import measurements, promoted
from triton_acts.tuning.store import render
from triton_acts.tuning.writing import write_text

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "promote",
        help="derive triton_acts/configs from records and the golden table",
        description="Writes the config files that the package ships: measured where the records "
        "have a tune of that GPU, else the model's choice from perf/golden.csv. The same input "
        "gives the same bytes.",
    )
    parser.add_argument(
        "--records", type=Path, metavar="DIR", help="by default perf/records of this checkout"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if files would change"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    root, table = checkout(), golden.default_file()
    if root is None or table is None:
        sys.stderr.write("promote: works in a checkout of the sources, which this is not\n")
        return 2
    try:
        texts = texts_from(args.records or root / "perf" / "records", table)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"promote: {error}\n")
        return 2
    folder = root / "triton_acts" / "configs"
    folder.mkdir(exist_ok=True)
    stale = [file for file in sorted(folder.glob("*.json")) if file.stem not in texts]
    changed = [
        folder / f"{name}.json" for name, text in texts.items() if _differs(folder, name, text)
    ]
    if args.check:
        for file in (*changed, *stale):
            sys.stdout.write(f"{file} would change\n")
        return int(bool(changed or stale))
    for file in changed:
        write_text(file, texts[file.stem])
    for file in stale:
        file.unlink()
    sys.stdout.write(
        f"{len(texts)} files in {folder}: {len(changed)} written, {len(stale)} removed\n"
    )
    return 0


def texts_from(records: Path, table: Path) -> dict[str, str]:
    """The shipped files' texts by name.

    Raises:
        OSError: the golden table cannot be read.
        ValueError: it, or a record, is damaged.
    """
    files = promoted(measurements(records), golden.read(table))
    return {name: render(file) for name, file in sorted(files.items())}


def _differs(folder: Path, name: str, text: str) -> bool:
    file = folder / f"{name}.json"
    return not file.exists() or file.read_text(encoding="utf-8") != text
