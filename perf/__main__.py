"""`python -m perf`: run, report, compare, import, export, gpu, sweep.

Exit codes: 0; 1 if something failed or could not be written; 2 for a wrong argument; 130 after
Ctrl-C.
"""

from __future__ import annotations

import time

STARTED = time.monotonic()  # before torch is imported: a run's budget counts from here

import argparse  # noqa: E402
import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402


def _quit(*_: object) -> None:
    """What Ctrl-C does while torch is imported, which takes seconds: no traceback of imports."""
    print("perf: interrupted; nothing was measured yet", file=sys.stderr, flush=True)
    os._exit(130)


if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _quit)

from perf import (  # noqa: E402
    LOCAL,
    RECORDS,
    ROOT,
    compare,
    export,
    gpu,
    merge,
    prices,
    readme,
    report,
    static,
    sweep,
    training,
)
from perf.history import places  # noqa: E402
from perf.run import run  # noqa: E402
from triton_acts.tuning.records import OtherColumns  # noqa: E402

REPORT = ROOT / "perf" / "report"


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    args = _parser().parse_args(argv)
    try:
        code: int = args.command(args)
    except (OtherColumns, FileExistsError, NotADirectoryError) as error:
        print(f"perf: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a full disk, a folder that may not be written to
        print(f"perf: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("perf: interrupted; what was written is kept", file=sys.stderr)
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m perf", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("run", help="measure this device, predict the others, write a report")
    one.add_argument("--quick", action="store_true", help="at most a minute: fewer cases")
    one.add_argument("--records", type=Path, metavar="DIR", help="where the CSV files go")
    one.add_argument("--report", type=Path, metavar="DIR", default=REPORT, help="and the report")
    one.set_defaults(command=_run)
    again = commands.add_parser("report", help="write the report of all records once more")
    again.add_argument("--records", type=Path, metavar="DIR", help="where the CSV files are")
    again.add_argument("--report", type=Path, metavar="DIR", default=REPORT, help="report folder")
    again.set_defaults(command=_report)
    two = commands.add_parser("compare", help="what changed from one run to another")
    for name in ("base", "head"):
        two.add_argument(name, metavar=name.upper(), help="run id, its beginning, or a CSV file")
    two.add_argument("--csv", type=Path, metavar="FILE", help="gets every case")
    two.add_argument("--all", action="store_true", help="show what is the same, too")
    two.set_defaults(command=_compare)
    fastest = commands.add_parser("export", help="the best row of each case as CSV and JSON")
    fastest.add_argument("--out", type=Path, metavar="DIR", required=True, help="where they go")
    fastest.set_defaults(command=lambda args: export.main(args.records, args.out))
    both = places(None)
    for command in (two, fastest):
        command.add_argument(
            "--records", type=Path, nargs="+", metavar="DIR", default=both, help="CSV files' places"
        )
    taken = commands.add_parser("import", help="merge the records in a folder, by run_id")
    taken.add_argument("folder", type=Path, metavar="DIR")
    taken.add_argument("--records", type=Path, metavar="DIR", default=RECORDS, help="into these")
    taken.set_defaults(command=_import)
    shown = commands.add_parser("readme", help="write the README's speed table anew")
    shown.set_defaults(command=_readme)
    steps = commands.add_parser("gpu", help="tests, measurements and the sweep, on a GPU machine")
    steps.add_argument("--out", type=Path, metavar="DIR", required=True, help="where results go")
    steps.add_argument("--steps", default=",".join(gpu.STEPS), help=f"of {','.join(gpu.STEPS)}")
    steps.set_defaults(command=lambda args: gpu.main(args.out, args.steps))
    every = commands.add_parser("sweep", help="every float32 input against float64, on the GPU")
    every.add_argument("--csv", type=Path, metavar="FILE", required=True)
    every.set_defaults(command=lambda args: sweep.main(args.csv))
    return parser


def _run(args: argparse.Namespace) -> int:
    outcome = run(
        quick=args.quick, records_dir=args.records, report_dir=args.report, started=STARTED
    )
    print()
    print(report.terminal_table(outcome.rows))
    promised = report.promises_table(outcome.rows)
    if promised:
        print(f"\n{promised}")
    steps = prices.summary(outcome.meta, outcome.rows)
    if steps:
        print("", *steps, sep="\n")
    print()
    print("\n".join(report.summary(outcome.meta, outcome.rows)))
    archs = list(dict.fromkeys(str(row["arch"]) for row in outcome.static))
    if archs:
        print(f"In the report, {static.BASIS} and not measured: rates on {', '.join(archs)}")
    if outcome.interrupted:
        print("Interrupted: the rows that were complete are kept.")
    print(f"Finished after {time.monotonic() - STARTED:.0f} s. Files:")
    for path in outcome.files:
        print(f"  {path}")
    print(*report.ending(outcome.meta, places(args.records), args.records), sep="\n")
    bad = [*report.our_failures(outcome.rows), *training.failures(outcome.rows)]
    for line in bad:
        print(f"FAILED: {line}", file=sys.stderr)
    return 130 if outcome.interrupted else int(bool(bad))


def _report(args: argparse.Namespace) -> int:
    book = report.load(places(args.records))
    for problem in book.problems:
        print(problem, file=sys.stderr)
    if not book.gpus:
        print("there are no records yet; make some with: python -m perf run", file=sys.stderr)
    for path in report.write(args.report, book, static.read(args.report / "static.csv")):
        print(path)
    return 0


def _compare(args: argparse.Namespace) -> int:
    return compare.main(args.base, args.head, args.records, args.csv, every=args.all)


def _readme(_args: argparse.Namespace) -> int:
    try:
        readme.write(ROOT / "README.md", RECORDS)
    except ValueError as error:
        print(f"readme: {error}", file=sys.stderr)
        return 1
    return 0


def _import(args: argparse.Namespace) -> int:
    try:
        done = merge.merge(args.folder, args.records, LOCAL if args.records == RECORDS else None)
    except (FileNotFoundError, ValueError) as error:
        print(f"import: {error}", file=sys.stderr)
        return 1
    for problem in done.problems:
        print(problem, file=sys.stderr)
    print(f"{done.runs} new runs, {done.rows} new rows in {args.records}")
    return 0


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) is _quit:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main())
