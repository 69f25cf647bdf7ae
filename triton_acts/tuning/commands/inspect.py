"""`inspect`: what the compiler makes of every kernel.

Exit codes: 0, also if some machine code could not be read (its row is blank and a note goes to
stderr); 1 if nothing can be compiled here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from triton_acts import gpus
from triton_acts.tuning.inspect import COLUMNS, DTYPES, row_count, rows
from triton_acts.tuning.registry import REGISTRY
from triton_acts.tuning.writing import write_csv

from ._output import table, with_progress

__all__ = ["add", "run"]

TEXT = {"op", "variant", "direction", "dtype", "layout", "arch"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
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
    archs, ops = gpus.architectures(), tuple(REGISTRY)
    parser.add_argument(
        "--arch", action="append", choices=archs, metavar="ARCH", help=f"any of {', '.join(archs)}"
    )
    parser.add_argument(
        "--op", action="append", choices=ops, metavar="OP", help=f"any of {', '.join(ops)}"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the rows there as well")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    archs = tuple(dict.fromkeys(args.arch or gpus.architectures()))
    ops = tuple(dict.fromkeys(args.op or REGISTRY))
    total = row_count(archs, ops, DTYPES)
    try:
        found = list(with_progress(rows(archs, ops), total, "compiling", "kernels"))
    except RuntimeError as error:
        sys.stderr.write(f"inspect: {error}\n")
        return 1
    cells = [row.cells() for row in found]
    sys.stdout.write(table(COLUMNS, cells, TEXT))
    for note in dict.fromkeys(row.note for row in found if row.note):
        sys.stderr.write(f"note: blank rows: {note}\n")
    if args.csv:
        write_csv(args.csv, COLUMNS, cells)
    return 0
