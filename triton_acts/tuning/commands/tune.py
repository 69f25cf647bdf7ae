"""`tune`: picks block sizes by measuring, on the GPU at hand.

Exit codes: 0; 1 if it cannot be done here; 2 if another GPU is named than the one at hand, or for a
wrong argument; 130 after Ctrl-C. With --or-plan the plan is printed where nothing can be measured,
and the exit code is 0.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from triton_acts import _triton, gpus
from triton_acts.tuning._files import make_private
from triton_acts.tuning.clocks import CudaClock
from triton_acts.tuning.config import describe
from triton_acts.tuning.device import here
from triton_acts.tuning.exhaustive import KEYS, NEAR, Regret, draw, exhaustive
from triton_acts.tuning.jobs import Job, jobs
from triton_acts.tuning.tuner import Tuned, refuse_other_ranks, tune

from ._options import DTYPES, add_gpu, add_ops, chosen_ops, records_folder
from ._output import table, with_progress
from .plan import print_plan

__all__ = ["add", "run"]

EXAMPLE = "h200"  # whose plan is shown where there is no GPU and none is named
REGRET_S = 3.0  # for the second rounds of a key
COLUMNS = ("key", "log2_numel", "config")
REGRETS = ("key", "log2_numel", "chosen", "best", "regret", "model's_choice", "model's_regret")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "tune",
        help="measure block sizes on this GPU and use the best from then on",
        description="Measures every kernel with every candidate, appends the measurements to the "
        "records, and writes the winners to your own file, which later calls read. Ctrl-C keeps "
        "what was measured; a second run keeps its choices unless they are clearly beaten.",
    )
    add_gpu(parser, "which GPU this must be; by default the one at hand")
    add_ops(parser)
    parser.add_argument(
        "--budget", type=_seconds, default=300.0, metavar="SECONDS", help="in all; 300 by default"
    )
    parser.add_argument("--records", type=Path, metavar="DIR", help="where measurements go")
    parser.add_argument(
        "--exhaustive",
        action="store_true",
        help=f"afterwards time every candidate of {KEYS} keys: how good were the choices?",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the keys for --exhaustive")
    parser.add_argument(
        "--or-plan", action="store_true", help="print the plan where nothing can be measured"
    )
    parser.set_defaults(run=run)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"invalid seconds: {text!r} (must be positive)")
    return seconds


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    ops = chosen_ops(args.ops)
    obstacle, code = _obstacle(args.gpu)
    if obstacle:
        if not args.or_plan:
            sys.stderr.write(f"tune: {obstacle}\n")
            return code
        gpu = gpus.constants(args.gpu or EXAMPLE)
        assert gpu is not None  # argparse takes slugs of the table
        example = "" if args.gpu else f" The plan for {EXAMPLE} serves as an example."
        sys.stdout.write(f"Nothing is tuned: {obstacle}.{example}\n\n")
        sys.stdout.flush()  # the plan may take minutes to compile
        return print_plan(gpu, ops, list(DTYPES.values()), 1 << 24)
    try:
        return _measure(args, ops)
    except (RuntimeError, OSError, ValueError) as error:
        sys.stderr.write(f"tune: {str(error).removeprefix('tune: ')}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("tune: interrupted; what was measured is kept\n")
        return 130


def _measure(args: argparse.Namespace, ops: Sequence[str]) -> int:
    device, todo = here(), jobs(ops)
    folder = args.records or records_folder()
    if not args.records:
        make_private(folder)  # the user's alone, in the cache as in a checkout
    sys.stderr.write(
        f"Tuning {device.slug}: {len(todo)} keys and sizes in at most {args.budget:.0f} s, the "
        "most used first. Ctrl-C keeps what was measured.\n"
    )
    sys.stderr.flush()

    def watch(items: Iterable[Job], total: int) -> Iterable[Job]:
        return with_progress(items, total, "tuning", "keys and sizes", args.budget)

    tuned = tune(todo, folder, budget_s=args.budget, device=device, watch=watch)
    _print_choices(tuned, device.slug)
    if tuned.interrupted:
        return 130
    if args.exhaustive:
        clock = CudaClock(device.torch, device.flush_bytes)
        done = [job for job in todo if job.octave in tuned.chosen.get(job.key, {})]
        drawn = draw(done, args.seed)
        regrets: list[Regret] = []
        try:
            for regret in exhaustive(
                drawn, folder, tuned.run_id, device, clock, REGRET_S, _watch_regrets
            ):
                regrets.append(regret)  # one by one: Ctrl-C keeps them
        finally:
            _print_regrets(regrets)
    return 0


def _obstacle(gpu: str | None) -> tuple[str, int]:
    """Why nothing can be measured here, and the exit code for it; "" if it can."""
    if not torch.cuda.is_available():
        asked = f"no {gpu}" if gpu else "no GPU"
        return f"there is {asked} here (torch {torch.__version__} finds no GPU)", 2 if gpu else 1
    slug = gpus.identify(None).slug
    if gpu not in (None, slug):
        return f"the GPU here is {slug}, not {gpu}", 2
    named = os.environ.get("TRITON_ACTS_GPU")
    if named not in (None, "", slug):
        return f"the GPU here is {slug}, but TRITON_ACTS_GPU is {named}: unset it", 2
    if not _triton.INSTALLED or _triton.INTERPRETED:
        return "Triton's compiler is needed: install Triton, unset TRITON_INTERPRET", 1
    try:
        refuse_other_ranks()
    except RuntimeError as error:
        return str(error).removeprefix("tune: "), 1
    return "", 0


def _watch_regrets(items: Iterable[Job], total: int) -> Iterable[Job]:
    return with_progress(items, total, "timing every candidate", "keys and sizes")


def _print_choices(tuned: Tuned, slug: str) -> None:
    cells = [
        {"key": key, "log2_numel": str(octave), "config": describe(config)}
        for key, sizes in sorted(tuned.chosen.items())
        for octave, config in sorted(sizes.items())
    ]
    sys.stdout.write(table(COLUMNS, cells, {"key", "config"}))
    reasons = list(tuned.left_out.values())
    total = len(cells) + len(reasons)
    for reason in dict.fromkeys(reasons):
        first = next(label for label, why in tuned.left_out.items() if why == reason)
        count = reasons.count(reason)
        sys.stdout.write(
            f"left out, {reason}: {count} of {total} keys and sizes, the first {first}\n"
        )
    bad = [row for row in tuned.rows if str(row["status"]).startswith(("failed", "wrong"))]
    if bad:
        sys.stdout.write(
            f"{len(bad)} of {len(tuned.rows)} candidates failed or were wrong, the first: "
            f"{bad[0]['status']} (see the column status)\n"
        )
    ended = "interrupted; what was measured is kept" if tuned.interrupted else "done"
    sys.stdout.write(f"{slug}: {ended}. Files:\n")
    for path in tuned.files:
        sys.stdout.write(f"  {path}\n")


def _print_regrets(found: list[Regret]) -> None:
    cells = [
        {
            "key": r.job.key,
            "log2_numel": str(r.job.octave),
            "chosen": describe(r.chosen),
            "best": describe(r.best),
            "regret": _percent(r.chosen_regret),
            "model's_choice": describe(r.predicted) if r.predicted else "",
            "model's_regret": _percent(r.predicted_regret),
        }
        for r in found
    ]
    sys.stdout.write(table(REGRETS, cells, {"key", "chosen", "best", "model's_choice"}))
    near = sum(r.chosen_regret <= NEAR for r in found)
    model = [r.predicted_regret for r in found if not math.isnan(r.predicted_regret)]
    sys.stdout.write(f"chosen within {NEAR:.0%} of the best: {near} of {len(found)}\n")
    if model:
        near = sum(regret <= NEAR for regret in model)
        sys.stdout.write(f"the model's choice within {NEAR:.0%}: {near} of {len(model)}\n")


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.1%}"
