"""`python -m triton_acts.study [my_task.py]`: an A/B of activations, and its report.

Exit codes: 0; 1 if something cannot be done here; 2 for a wrong argument; 130 after Ctrl-C; 143
after SIGTERM.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ._compare import check_settings, run_study, task_of
from ._packages import need
from ._runner import load_module
from ._study import Study
from ._task import Task
from .report import PACKAGES, write_report

__all__ = ["main"]

_QUICK_SEEDS = 3
_FOLDER = Path("build/study")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    args = _parser().parse_args(argv)
    folder = args.out or _FOLDER / (args.file.stem if args.file else "standard")
    if args.quick and not args.out:
        folder = folder.with_name(f"{folder.name}-quick")
    try:
        need("a study", *PACKAGES)  # now and not after an hour
        study = Study.read(folder) if args.report else _run(args, folder)
        files = write_report(study, folder)
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted; the same command goes on with what is in {folder}\n")
        return 130
    except (FileNotFoundError, ImportError, TypeError, ValueError) as error:
        if args.file and _from_file(error, args.file):
            traceback.print_exc()
            return 1
        sys.stderr.write(f"study: {error}\n")
        return 1
    sys.stdout.write("".join(f"{file}\n" for file in files))
    return 0


def _from_file(error: BaseException, file: Path) -> bool:
    """Whether an error arose in a user's file, whose place then helps."""
    places = [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]
    return file.name in places or f'{file.name}"' in str(error.__cause__)  # of another process


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m triton_acts.study",
        description="Compares activations on a task, with equal budgets and several seeds.",
    )
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        help="a Python file with make_model(activation) and data(), and perhaps `settings`, a "
        "dict of what triton_acts.study.compare passes on: variants, metric, budget and the "
        "further ones; without it, the tasks that come with the package",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything, for a look")
    parser.add_argument("--seeds", type=int, help="fresh seeds that count (8; quick: 3)")
    parser.add_argument("--minutes", type=float, help="begin nothing after that (55; quick: 4.5)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--out", type=Path, help=f"folder for records and report ({_FOLDER}/NAME)")
    parser.add_argument(
        "--report", action="store_true", help="only writes the report of what is in the folder"
    )
    return parser


def _run(args: argparse.Namespace, folder: Path) -> Study:
    seeds, minutes = (_QUICK_SEEDS, 4.5) if args.quick else (8, 55.0)
    study = run_study(
        _tasks(args),
        seeds=seeds if args.seeds is None else args.seeds,
        minutes=minutes if args.minutes is None else args.minutes,
        workers=args.workers,
        folder=folder,
        file=args.file,
    )
    study.save(folder)
    return study


def _tasks(args: argparse.Namespace) -> list[Task]:
    if args.file is None:
        from .tasks import quick_tasks, standard_tasks

        return quick_tasks() if args.quick else standard_tasks()
    if not args.file.is_file():
        raise FileNotFoundError(f"there is no file {args.file}")
    module = load_module(args.file)
    missing = [name for name in ("make_model", "data") if not hasattr(module, name)]
    if missing:
        raise ValueError(f"{args.file} has no {' and no '.join(missing)}")
    settings: dict[str, Any] = {"name": args.file.stem, **getattr(module, "settings", {})}
    check_settings(settings)
    task = task_of(module.make_model, module.data, **settings)
    return [replace(task, variants=_defaults(task)) if args.quick else task]


def _defaults(task: Task) -> list[Any]:
    """The variants without a search of their options."""
    return [replace(variant, options=variant.options[:1]) for variant in task.variants]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # ends the processes, as Ctrl-C does
    raise SystemExit(main())
