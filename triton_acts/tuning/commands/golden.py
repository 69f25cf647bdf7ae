"""`golden`: the table of machine-code counts that changes to the kernels are held to.

Exit codes: 0; 1 if a check finds a regression, or nothing can be compiled here; 2 if there is no
table to write or check, or it was made with other versions; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from triton_acts import gpus
from triton_acts.tuning import golden
from triton_acts.tuning.golden_changes import improvements, regressions
from triton_acts.tuning.registry import REGISTRY

from ._output import with_progress

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "golden",
        help="write or check the golden table of machine-code counts",
        description="Compiles every kernel for every architecture, without a GPU, with its "
        "default config and those that the search would try, and writes what its machine code "
        "costs to perf/golden.csv, or compares it with that file. All of it takes 40 minutes on "
        "two cores.",
    )
    archs, ops = gpus.architectures(), tuple(REGISTRY)
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 if a kernel spills more, loads or stores less at a time, or "
        "has over 10 %% more instructions an element, or if entries are missing or additional",
    )
    parser.add_argument(
        "--arch", action="append", choices=archs, metavar="ARCH", help=f"any of {', '.join(archs)}"
    )
    parser.add_argument(
        "--op", action="append", choices=ops, metavar="OP", help=f"any of {', '.join(ops)}"
    )
    parser.add_argument(
        "--file", type=Path, metavar="FILE", help="instead of perf/golden.csv of this checkout"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    try:
        return _run(args)
    except ValueError as error:
        sys.stderr.write(f"golden: {error}\n")
        return 2
    except RuntimeError as error:
        sys.stderr.write(f"golden: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("golden: stopped; the file is as it was\n")
        return 130


def _run(args: argparse.Namespace) -> int:
    file: Path | None = args.file or golden.default_file()
    if file is None:
        raise ValueError("this is no checkout with perf/golden.csv: name a table with --file FILE")
    archs = tuple(dict.fromkeys(args.arch or gpus.architectures()))
    ops = tuple(dict.fromkeys(args.op or REGISTRY))
    everything = not args.arch and not args.op
    known = _read(file, args.check) if args.check or not everything else []
    chosen = [e for e in known if everything or (e.arch in archs and e.op in ops)]
    kept = [e for e in known if not (everything or (e.arch in archs and e.op in ops))]
    _same_versions(file, chosen if args.check else kept)
    kernels = golden.kernels(archs, ops)
    entries = golden.compile_entries(kernels)
    made = list(with_progress(entries, len(kernels), "compiling", "kernels"))
    if args.check:
        return _report(chosen, made)
    golden.write(file, [*kept, *made])
    sys.stdout.write(f"{file}: {len(made)} of {len(kept) + len(made)} entries are new\n")
    blank = [str(e.key) for e in made if e.counts is None]
    if blank:
        sys.stderr.write(
            f"note: {len(blank)} of them without counts, such as {blank[0]}: the command inspect "
            "says why\n"
        )
    return 0


def _read(file: Path, needed: bool) -> list[golden.Entry]:
    if not file.exists() and not needed:
        return []
    try:
        return golden.read(file)
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}; `make golden` makes it") from error


def _same_versions(file: Path, entries: Iterable[golden.Entry]) -> None:
    """Refuses to compare with, or write beside, what other versions made."""
    for arch, *old in dict.fromkeys((e.arch, e.triton, e.ptxas) for e in entries):
        for tool, was, now in zip(("Triton", "ptxas"), old, golden.versions(arch), strict=True):
            if was != now:
                raise ValueError(
                    f"{file} was made with {tool} {was} for {arch}, here is {tool} {now}, and "
                    "counts of two versions do not compare: `make golden` makes it anew"
                )


def _report(old: Sequence[golden.Entry], new: Sequence[golden.Entry]) -> int:
    better, worse = improvements(old, new), regressions(old, new)
    for line in better:
        sys.stdout.write(f"improvement: {line}\n")
    for line in worse:
        sys.stdout.write(f"regression: {line}\n")
    sys.stdout.write(
        f"{len(new)} entries compiled: {len(worse)} regressions, {len(better)} improvements\n"
    )
    return 1 if worse else 0
