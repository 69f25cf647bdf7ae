"""`explain`: which config a launch gets, which tier answers, and why."""

from __future__ import annotations

import argparse
import sys

import torch

from triton_acts.tuning import lookup
from triton_acts.tuning.config import describe
from triton_acts.tuning.keys import ROW_LAYOUTS
from triton_acts.tuning.registry import REGISTRY, RULES, Dims
from triton_acts.tuning.target import target_of, target_of_slug

from ._options import DTYPES, add_gpu, size

__all__ = ["add", "run"]


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "explain",
        help="say which block size a call gets, and why",
        description="Says which config a kernel is launched with and which tier answered: your "
        "own file, the file shipped for this GPU, the nearest GPU's, its architecture's, its "
        "vendor's, or the analytic rule.",
    )
    parser.add_argument("op", choices=tuple(REGISTRY), metavar="OP", help=", ".join(REGISTRY))
    add_gpu(parser, "by default the one at hand")
    parser.add_argument("--direction", choices=("forward", "backward"), default="forward")
    parser.add_argument("--dtype", choices=tuple(DTYPES), default="bfloat16")
    parser.add_argument("--numel", type=size, default=1 << 24, metavar="N", help="elements of x")
    parser.add_argument(
        "--layout",
        choices=("flat", *ROW_LAYOUTS),
        help="flat; with learned weights inner1 (N x C), innerN (N x C x H x W), small (planes "
        "below 256 elements), shared (one weight)",
    )
    parser.add_argument("--nodes", type=size, default=20, help="of KAF's dictionary")
    parser.add_argument("--free", action="store_true", help="free nodes instead of a grid")
    parser.add_argument("--misaligned", action="store_true", help="x off a 16-byte boundary")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Runs the command."""
    flat = (args.op, args.direction, "flat") in RULES
    layout = args.layout or ("flat" if flat else "inner1")
    dims = Dims(layout, 0 if flat else args.nodes, args.free and not flat)
    if args.gpu is None and not torch.cuda.is_available():
        sys.stderr.write("explain: there is no GPU here; name one with --gpu\n")
        return 1
    try:
        target = target_of_slug(args.gpu) if args.gpu else target_of(None)
        answer = lookup.answer(
            args.op,
            args.direction,
            DTYPES[args.dtype],
            args.numel,
            not args.misaligned,
            dims,
            target,
        )
    except ValueError as error:
        sys.stderr.write(f"explain: {error}\n")
        return 2
    sys.stdout.write(
        f"{args.op} {args.direction}, {args.dtype}, {args.numel} elements, {layout}, on "
        f"{target.slug}:\n"
        f"  config  {describe(answer.config)} (block {answer.config.block})\n"
        f"  tier    {answer.tier}\n"
        f"  reason  {answer.reason}\n"
    )
    return 0
