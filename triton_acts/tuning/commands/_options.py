"""Options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from triton_acts import gpus
from triton_acts.tuning import store
from triton_acts.tuning.device import checkout
from triton_acts.tuning.registry import REGISTRY

__all__ = ["DTYPES", "add_gpu", "add_ops", "chosen_ops", "records_folder", "size"]

DTYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}


def add_gpu(parser: argparse.ArgumentParser, text: str) -> None:
    """Adds --gpu, a slug of the table."""
    slugs = [gpu.slug for gpu in gpus.table()]
    parser.add_argument(
        "--gpu", choices=slugs, metavar="SLUG", help=f"{text}; any of {', '.join(slugs)}"
    )


def add_ops(parser: argparse.ArgumentParser) -> None:
    """Adds --ops, names separated by commas."""
    parser.add_argument(
        "--ops",
        type=_ops,
        metavar="OP,..",
        default=None,
        help=f"of {', '.join(REGISTRY)}; by default all",
    )


def _ops(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in REGISTRY]
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"invalid ops: {', '.join(unknown) or 'none'} (allowed are {', '.join(REGISTRY)})"
        )
    return names


def chosen_ops(ops: Sequence[str] | None) -> list[str]:
    """The ops that were named, or all."""
    return list(dict.fromkeys(ops or REGISTRY))


def size(text: str) -> int:
    """A number of elements, at least 1."""
    try:
        numel = int(text)
    except ValueError:
        numel = 0
    if not 1 <= numel < 1 << 63:
        raise argparse.ArgumentTypeError(f"invalid size: {text!r} (allowed are 1 to 2^63 - 1)")
    return numel


def records_folder() -> Path:
    """Where measurements go: in a checkout a folder that git ignores, else the cache folder."""
    root = checkout()
    return root / "perf" / "records" / "local" if root else store.user_folder().parent / "records"
