"""The golden table: what every kernel's machine code costs, as a file that changes are held to.

It also stands in for a compiler where there is none: plans and model configs read their counts
here. Counts depend on the versions of Triton and ptxas, which every row names.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch

from triton_acts import _triton, gpus

from .compile import compile_plan
from .config import Config
from .device import checkout
from .inspect import DTYPES, default_config, hardware_of_arch
from .machine_code import Counts, count
from .registry import REGISTRY, RULES, Variant
from .writing import write_csv

__all__ = ["COLUMNS", "Entry", "Kernel", "Key", "Table", "compile_entries", "default_file"]
__all__ += ["entry", "kernels", "read", "versions", "write"]

_DECIMALS = 4  # of the counts an element, in the file and in an `Entry`
_COUNTS = {field.name: float if field.type == "float" else int for field in fields(Counts)}
_NAMES = ("op", "variant", "direction", "layout", "dtype", "arch")
_CONFIG = ("elements_per_thread", "num_warps", "unroll")
COLUMNS = (*_NAMES, *_CONFIG, *_COUNTS, "triton", "ptxas")


class Key(NamedTuple):
    """What the counts of a kernel depend on: a thread's code does not on the number of warps."""

    op: str
    variant: str
    direction: str
    layout: str
    dtype: str
    arch: str
    elements_per_thread: int
    unroll: int

    def __str__(self) -> str:
        """As a report names it."""
        ahead = f" x{self.unroll}" if self.unroll > 1 else ""
        return " ".join(self[:6]) + f" {self.elements_per_thread} elements{ahead}"


class Kernel(NamedTuple):
    """One kernel to compile."""

    op: str
    variant: Variant
    dtype: torch.dtype
    arch: str
    config: Config

    @property
    def key(self) -> Key:
        """The key of its entry."""
        return _key(*self)


@dataclass(frozen=True)
class Entry:
    """One row of the table.

    Attributes:
        op: the op's name in the registry.
        variant: name of the kernel variant.
        direction: "forward" or "backward".
        layout: the variant's layout.
        dtype: storage dtype of x, torch's name.
        arch: architecture.
        elements_per_thread: of the config.
        num_warps: of the config it was compiled with.
        unroll: of the config.
        counts: those an element to 4 decimals; None where the machine code could not be read.
        triton: version of Triton.
        ptxas: version of the ptxas for that architecture, "" on AMD.
    """

    op: str
    variant: str
    direction: str
    layout: str
    dtype: str
    arch: str
    elements_per_thread: int
    num_warps: int
    unroll: int
    counts: Counts | None
    triton: str
    ptxas: str

    @property
    def key(self) -> Key:
        """What it is looked up by."""
        return Key(*(getattr(self, name) for name in Key._fields))

    def cells(self) -> dict[str, str]:
        """The row as text by `COLUMNS`; blank where counts is None."""
        counted = dict.fromkeys(_COUNTS, "") if self.counts is None else vars(self.counts)
        known = {**vars(self), **counted}
        return {name: _text(known[name]) for name in COLUMNS}


def _text(value: object) -> str:
    return f"{value:.{_DECIMALS}f}" if isinstance(value, float) else str(value)


class Table:
    """Counts by kernel and config."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._counts = {entry.key: entry.counts for entry in entries}

    def counts_of(
        self, op: str, variant: Variant, dtype: torch.dtype, arch: str, config: Config
    ) -> Counts | None:
        """Counts of a kernel with that config, whatever its warps; None if they are not known."""
        return self._counts.get(_key(op, variant, dtype, arch, config))


def _key(op: str, variant: Variant, dtype: torch.dtype, arch: str, config: Config) -> Key:
    name = str(dtype).removeprefix("torch.")
    kernel = (op, variant.name, variant.direction, variant.layout)
    return Key(*kernel, name, arch, config.elements_per_thread, config.unroll)


def kernels(archs: Sequence[str] | None = None, ops: Sequence[str] | None = None) -> list[Kernel]:
    """What the table holds: the registry's kernels in three dtypes on every architecture.

    Each with its default config, those that the search tunes also with every other number of
    elements a thread and tiles ahead among the candidates.

    Args:
        archs: architectures of the table of GPUs, None for all.
        ops: names in the registry, None for all.

    Raises:
        ValueError: an architecture is unknown.
        KeyError: an op is unknown.
    """
    found = []
    for op in REGISTRY if ops is None else ops:
        for variant in REGISTRY[op].variants:
            for dtype in DTYPES:
                for arch in gpus.architectures() if archs is None else archs:
                    configs = _configs(op, variant, dtype, arch)
                    found += [Kernel(op, variant, dtype, arch, config) for config in configs]
    return found


def _configs(op: str, variant: Variant, dtype: torch.dtype, arch: str) -> list[Config]:
    """One for each (elements a thread, unroll), its warps those nearest to the default's."""
    default = default_config(op, variant, dtype, arch)
    found = {(default.elements_per_thread, default.unroll): default}
    if variant.bench is not None:
        rule = RULES[op, variant.direction, variant.dims.layout]
        candidates = rule.candidates(dtype, hardware_of_arch(arch), variant.dims)
        for config in sorted(candidates, key=lambda c: abs(c.num_warps - default.num_warps)):
            found.setdefault((config.elements_per_thread, config.unroll), config)
    return list(found.values())


def compile_entries(wanted: Iterable[Kernel]) -> Iterator[Entry]:
    """Compiles and counts, in the given order, as the entries become ready.

    Raises:
        RuntimeError: Triton is not installed or runs in its interpreter.
    """
    with ThreadPoolExecutor() as pool:  # ptxas and the disassembler are processes of their own
        yield from pool.map(_compile, wanted)


def _compile(kernel: Kernel) -> Entry:
    plan = kernel.variant.plan(kernel.dtype, kernel.config)
    try:
        compiled = compile_plan(plan, kernel.arch)
    except Exception as error:
        error.add_note(f"while compiling {kernel.key}")
        raise
    try:
        counts = count(compiled, plan)
    except RuntimeError:  # this compiler's disassembler does not know the architecture
        return entry(kernel, None)
    return entry(kernel, counts)


def entry(kernel: Kernel, counts: Counts | None) -> Entry:
    """The entry of a kernel that was counted here and now."""
    if counts is not None:
        rounded = {
            name: round(getattr(counts, name), _DECIMALS)
            for name, kind in _COUNTS.items()
            if kind is float
        }
        counts = replace(counts, **rounded)
    key, config = kernel.key, kernel.config
    sizes = (config.elements_per_thread, config.num_warps, config.unroll)
    return Entry(*key[:6], *sizes, counts, *versions(kernel.arch))


@cache
def versions(arch: str) -> tuple[str, str]:
    """Versions of Triton and of the ptxas it uses for an architecture, "" on AMD.

    Raises:
        RuntimeError: Triton is not installed, or its ptxas does not say its version.
    """
    if not _triton.INSTALLED:
        raise RuntimeError("golden: Triton is not installed, so there is nothing to compile with")
    triton = str(_triton.triton.__version__)
    if not arch.startswith("sm_"):
        return triton, ""
    from triton.backends.nvidia.compiler import get_ptxas

    path = get_ptxas(int(arch.removeprefix("sm_"))).path
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"\bV(\d[\d.]*)", text)
    if version is None:
        raise RuntimeError(f"golden: {path} --version does not name its version: {text!r}")
    return triton, version[1]


def default_file() -> Path | None:
    """perf/golden.csv of the checkout, which need not exist; None for an installed package."""
    root = checkout()
    return root / "perf" / "golden.csv" if root else None


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Writes the whole file, sorted by key, or leaves the old one."""
    ordered = sorted(entries, key=lambda e: e.key)
    write_csv(path, COLUMNS, [entry.cells() for entry in ordered])


def read(path: Path) -> list[Entry]:
    """The entries of a file.

    Raises:
        OSError: it cannot be read.
        ValueError: something in it is no golden table; the message names file, line and column.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            differ = sorted(set(header) ^ set(COLUMNS)) or "in their order"
            raise ValueError(
                f"{path}, line 1: the columns are not those of this version, they differ "
                f"{differ}: `make golden` makes the file anew"
            )
        lines: dict[Key, int] = {}
        found = []
        for row in reader:
            where = f"{path}, line {reader.line_num}"
            if len(row) != len(COLUMNS):
                raise ValueError(f"{where}: {len(row)} columns, expected {len(COLUMNS)}")
            made = _parse(dict(zip(COLUMNS, row, strict=True)), where)
            first = lines.setdefault(made.key, reader.line_num)
            if first != reader.line_num:
                raise ValueError(f"{where}: {made.key} is in line {first} already")
            found.append(made)
    return found


def _parse(cells: Mapping[str, str], where: str) -> Entry:
    def number(name: str, kind: type[int] | type[float]) -> float:
        text = cells[name]
        pattern = r"\d+" if kind is int else rf"\d+\.\d{{{_DECIMALS}}}"
        if not re.fullmatch(pattern, text):
            shape = "a whole number" if kind is int else f"a number with {_DECIMALS} decimals"
            raise ValueError(f"{where}, column {name}: {text!r} is not {shape}")
        return kind(text)

    for name in (*_NAMES, "triton"):
        if not cells[name]:
            raise ValueError(f"{where}, column {name}: it is empty")
    op, variant, direction, layout, dtype, arch = (cells[name] for name in _NAMES)
    elements, num_warps, unroll = (int(number(name, int)) for name in _CONFIG)
    counts = None
    if any(cells[name] for name in _COUNTS):
        counts = Counts(*(number(name, kind) for name, kind in _COUNTS.items()))  # type: ignore[arg-type]
    kernel = (op, variant, direction, layout, dtype, arch)
    return Entry(*kernel, elements, num_warps, unroll, counts, cells["triton"], cells["ptxas"])
