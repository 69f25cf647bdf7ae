"""`plan`: what a tune would try on a GPU that need not be there, and what the model expects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from triton_acts import _triton, gpus
from triton_acts.gpus import GPU
from triton_acts.tuning import golden
from triton_acts.tuning.config import Config, describe
from triton_acts.tuning.jobs import Job, jobs
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.outlook import Outlook, candidates_for, choose, outlook
from triton_acts.tuning.screening import compiled_counts
from triton_acts.tuning.target import target_of, target_of_slug
from triton_acts.tuning.writing import write_csv

from ._options import DTYPES, add_gpu, add_ops, chosen_ops, size
from ._output import table, with_progress

__all__ = ["add", "print_plan", "run"]

COLUMNS = ("key", "elements", "warps", "unroll", "block", "predicted_ms", "bound", "verdict")
BRIEF = ("key", "tried", "dropped", "default", "predicted_best", "predicted_ms", "bound")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "plan",
        help="say what tune would try on a GPU, and the predicted times",
        description="Lists the candidates of every kernel, which of them the static filter drops "
        "and why, and the time that the model predicts for the others. Nothing is measured, and "
        "no GPU is needed.",
    )
    add_gpu(parser, "by default the one at hand")
    add_ops(parser)
    parser.add_argument("--dtype", choices=tuple(DTYPES), action="append", help="by default all")
    parser.add_argument("--numel", type=size, default=1 << 24, metavar="N", help="elements of x")
    parser.add_argument("--all", action="store_true", help="a line for every candidate")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write every candidate there")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    slug = args.gpu
    if slug is None:
        if not torch.cuda.is_available():
            sys.stderr.write("plan: there is no GPU here; name one with --gpu\n")
            return 1
        slug = target_of(None).slug
    gpu = gpus.constants(slug)
    if gpu is None:
        sys.stderr.write(f"plan: {slug} is not in the table of GPUs, so nothing is predicted\n")
        return 1
    dtypes = [DTYPES[name] for name in dict.fromkeys(args.dtype or DTYPES)]
    return print_plan(gpu, chosen_ops(args.ops), dtypes, args.numel, args.all, args.csv)


def print_plan(
    gpu: GPU,
    ops: Sequence[str],
    dtypes: Sequence[torch.dtype],
    numel: int,
    every: bool = False,
    file: Path | None = None,
) -> int:
    """Prints the plan for a GPU of the table; 1 if nothing can be compiled here."""
    todo = jobs(ops, dtypes, (numel.bit_length() - 1,))
    known = _golden(gpu)
    if known is None and (not _triton.INSTALLED or _triton.INTERPRETED):
        sys.stderr.write("plan: needs Triton's compiler: install Triton, unset TRITON_INTERPRET\n")
        return 1
    found = [
        (job, default, _look(job, gpu, numel, default, candidates, known))
        for job, default, candidates in with_progress(
            _with_candidates(todo, gpu),
            len(todo),
            "compiling" if known is None else "planning",
            "keys",
        )
    ]
    cells = [cell for job, default, rows in found for cell in _cells(job, default, rows)]
    sys.stdout.write(
        f"Plan for {gpu.slug} ({gpu.arch}), {numel} elements: predicted, nothing is measured.\n\n"
    )
    if every:
        sys.stdout.write(table(COLUMNS, cells, {"key", "bound", "verdict"}))
    else:
        brief = [_brief(job, default, rows) for job, default, rows in found]
        text = {"key", "default", "predicted_best", "bound"}
        sys.stdout.write(table(BRIEF, brief, text))
        sys.stdout.write("\nAll candidates: python -m triton_acts.tuning plan ")
        sys.stdout.write(f"--gpu {gpu.slug} --all\n")
    if file:
        try:
            write_csv(file, COLUMNS, cells)
        except OSError as error:
            sys.stderr.write(f"plan: {file} is not written: {error.strerror or error}\n")
            return 1
    return 0


def _golden(gpu: GPU) -> golden.Table | None:
    """The committed counts, if this is a checkout and Triton is the one that made them."""
    file = golden.default_file()
    if file is None or not file.exists():
        return None
    try:
        entries = [entry for entry in golden.read(file) if entry.arch == gpu.arch]
    except ValueError as error:
        sys.stderr.write(f"plan: compiles everything, since {error}\n")
        return None
    installed = str(_triton.triton.__version__) if _triton.INSTALLED else None
    if installed is not None and any(entry.triton != installed for entry in entries):
        return None
    return golden.Table(entries) if entries else None


def _with_candidates(
    todo: Sequence[Job], gpu: GPU
) -> Iterator[tuple[Job, Config, tuple[Config, ...]]]:
    hardware = target_of_slug(gpu.slug).hardware
    for job in todo:
        yield job, *candidates_for(job.op, job.variant, job.dtype, hardware)


def _look(
    job: Job,
    gpu: GPU,
    numel: int,
    default: Config,
    candidates: tuple[Config, ...],
    known: golden.Table | None,
) -> list[Outlook]:
    counts: dict[Config, Counts | str | None] = {}
    for config in candidates:
        found = known and known.counts_of(job.op, job.variant, job.dtype, gpu.arch, config)
        if found:
            counts[config] = found
    if len(counts) < len(candidates):
        counts = compiled_counts(job.variant, job.dtype, gpu.arch, candidates)
    return outlook(job.variant, job.dtype, gpu, numel, default, counts)


def _cells(job: Job, default: Config, rows: Sequence[Outlook]) -> Iterator[dict[str, str]]:
    best = choose(rows, default)
    for row in rows:
        marks = ["default"] * (row.config == default) + ["predicted best"] * (row.config == best)
        yield {
            "key": job.key,
            "elements": str(row.config.elements_per_thread),
            "warps": str(row.config.num_warps),
            "unroll": str(row.config.unroll),
            "block": str(row.config.block),
            "predicted_ms": f"{row.prediction.ms:.4f}" if row.prediction else "",
            "bound": row.prediction.bound if row.prediction else "",
            "verdict": f"dropped: {row.dropped}" if row.dropped else ", ".join(marks),
        }


def _brief(job: Job, default: Config, rows: Sequence[Outlook]) -> dict[str, str]:
    best = choose(rows, default)
    prediction = next((row.prediction for row in rows if row.config == best), None)
    return {
        "key": job.key,
        "tried": str(sum(not row.dropped for row in rows)),
        "dropped": str(sum(bool(row.dropped) for row in rows)),
        "default": describe(default),
        "predicted_best": "the default" if best == default else describe(best),
        "predicted_ms": f"{prediction.ms:.4f}" if prediction else "",
        "bound": prediction.bound if prediction else "",
    }
