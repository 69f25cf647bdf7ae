"""Which candidates are worth timing: what their machine code says before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

import torch

from .compile import compile_plan
from .config import Config
from .machine_code import Counts, count
from .predict import REGISTERS
from .registry import Variant

__all__ = ["Known", "Screened", "compiled_counts", "screen"]

WIDE = 16  # bytes: the widest access

Known = Mapping[Config, Counts | str | None]


@dataclass(frozen=True)
class Screened:
    """A candidate after the static filter.

    Attributes:
        config: the candidate.
        counts: of its machine code; None where that could not be had.
        dropped: why it is not timed, "" if it is.
    """

    config: Config
    counts: Counts | None
    dropped: str


def screen(
    candidates: Sequence[Config],
    default: Config,
    counts: Known,
    numel: int,
    sm_count: int,
    aligned: bool,
) -> list[Screened]:
    """Drops what spills, loads narrowly, or cannot fill the machine; never the default.

    A program whose threads together need more registers than a multiprocessor has would spill, too:
    counts are of the fewest warps.

    Narrow is below 16 bytes, or below the default's width where that is less. Too few to fill the
    machine are fewer programs than multiprocessors, unless no other candidate has as many.

    Args:
        candidates: of one rule.
        default: the analytic config.
        counts: by config; None where they are unknown, a text where that is a fault.
        numel: elements of x.
        sm_count: multiprocessors of the GPU.
        aligned: whether tensors start at multiples of 16 bytes; if not, all load narrowly.
    """
    known = counts[default]
    needed = min(WIDE, known.load_bytes) if isinstance(known, Counts) and aligned else 0
    faults = {c: "" if c == default else _fault(c, counts[c], needed) for c in candidates}
    programs = {c: _programs(c, numel) for c in candidates}
    if max(programs[c] for c in candidates if not faults[c]) >= sm_count:
        for c in candidates:
            if programs[c] < sm_count and c != default and not faults[c]:
                faults[c] = f"fills {programs[c]} of {sm_count} multiprocessors"
    return [
        Screened(c, found if isinstance(found := counts[c], Counts) else None, faults[c])
        for c in candidates
    ]


def _fault(config: Config, found: Counts | str | None, needed: int) -> str:
    if found is None or isinstance(found, str):
        return found or ""
    if found.spill_bytes:
        return f"spills {found.spill_bytes} bytes a thread"
    vendor = "amd" if config.warp_size == 64 else "nvidia"
    if found.regs * config.threads > REGISTERS[vendor]:
        return f"{config.threads} threads of {found.regs} registers exceed {REGISTERS[vendor]}"
    if found.load_bytes < needed:
        return f"loads {found.load_bytes} bytes at a time, not {needed}"
    return ""


def _programs(config: Config, numel: int) -> int:
    return -(-numel // (config.block * config.unroll))


def compiled_counts(
    variant: Variant,
    dtype: torch.dtype,
    arch: str,
    candidates: Sequence[Config],
    load: bool = False,
) -> dict[Config, Counts | str | None]:
    """Compiles a variant with each config; where that fails, the text says why.

    None where it compiles, but its machine code cannot be read: disassemblers lag behind new
    architectures.

    What a thread does is the same with any number of warps, so of configs with the same elements
    and unroll one is counted. With `load` the others are compiled as well, in parallel, so that
    Triton's cache has them when they are launched.
    """
    firsts: dict[tuple[int, int], Config] = {}
    for config in candidates:
        firsts.setdefault(_code(config), config)

    def one(config: Config) -> Counts | str | None:
        try:
            plan = variant.plan(dtype, config)
            compiled = compile_plan(plan, arch)
        except Exception as error:  # Triton's own: out of resources, of shared memory, ...
            lines = str(error).splitlines() or [""]
            return f"does not compile: {type(error).__name__}: {lines[0]}"
        try:
            return count(compiled, plan)
        except RuntimeError:
            return None

    def compiled(config: Config) -> None:
        with suppress(Exception):  # the launch will say
            compile_plan(variant.plan(dtype, config), arch)

    with ThreadPoolExecutor() as pool:
        if load:
            others = [config for config in candidates if config not in firsts.values()]
            for config in others:
                pool.submit(compiled, config)
        found = dict(zip(firsts, pool.map(one, firsts.values()), strict=True))
    return {config: found[_code(config)] for config in candidates}


def _code(config: Config) -> tuple[int, int]:
    return config.elements_per_thread, config.unroll
