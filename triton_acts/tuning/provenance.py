"""What config files say of where they come from: versions are provenance, never keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from triton_acts import _triton

from .config import Config
from .golden import versions
from .records import Row
from .registry import REGISTRY, Variant

__all__ = ["kernel_hash", "provenance"]


def provenance(runs: Sequence[Row], arch: str) -> dict[str, Any]:
    """The provenance of configs that these runs measured here.

    Args:
        runs: rows of runs.csv.
        arch: the GPU's architecture.
    """
    return {
        "kind": "measured",
        "run_ids": [str(run["run_id"]) for run in runs],
        "torch": str(torch.__version__),
        "triton": str(_triton.triton.__version__) if _triton.INSTALLED else None,
        "ptxas": _ptxas(arch),
        "driver": next((str(run["driver"]) for run in runs if run["driver"]), None),
        "kernel_hash": kernel_hash(),
    }


def _ptxas(arch: str) -> str | None:
    """The version of the assembler that Triton uses for an architecture; None if unknown."""
    try:
        return versions(arch)[1] or None
    except (RuntimeError, ValueError):
        return None


def kernel_hash() -> str | None:
    """A hash of the kernels' sources as Triton sees them; None without its compiler."""
    if not _triton.INSTALLED or _triton.INTERPRETED:
        return None
    kernels = {id(k): k for spec in REGISTRY.values() for v in spec.variants for k in [_kernel(v)]}
    keys = sorted(str(kernel.cache_key) for kernel in kernels.values())
    return hashlib.sha256("".join(keys).encode()).hexdigest()[:16]


def _kernel(variant: Variant) -> Any:
    return variant.plan(torch.float32, Config(4)).kernel
