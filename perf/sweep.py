"""Every float32 input of every activation, forward and derivative, against float64.

A binade of one sign is 2^23 consecutive bit patterns, so a binade is swept in one piece and its
largest error is one row of the CSV.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from perf.ops import Op, ops
from perf.progress import progress

__all__ = ["Worst", "binades", "limit", "main", "sweep_range", "ulp"]

BINADE = 1 << 23
FLUSHED = 2.0**-123  # below this magnitude 0 passes, and so does an error of at most this


@dataclass(frozen=True)
class Worst:
    """The largest error in a range of bit patterns, a row of the CSV.

    Attributes:
        op: the activation.
        direction: "forward", or "derivative" for incoming gradient 1.
        sign: "+" or "-".
        exponent: of the binade of the inputs, -127 for zero and subnormals, 128 for infinity, NaN.
        inputs: how many inputs.
        max_ulp: largest error in ULP of the reference, of inputs whose |reference| >= 2^-123.
        worst_input: the input with that error, as a hexadecimal float.
        flushed: inputs with |reference| < 2^-123 whose result is 0 though the reference is not.
        failures: inputs whose NaN is lost or made up, or beyond the rule for |reference| < 2^-123.
    """

    op: str
    direction: str
    sign: str
    exponent: int
    inputs: int
    max_ulp: float
    worst_input: str
    flushed: int
    failures: int


def binades() -> Iterator[tuple[int, int]]:
    """All float32 bit patterns, as half-open ranges of one sign and binade each."""
    for start in range(0, 1 << 32, BINADE):
        yield start, start + BINADE


def limit(direction: str, exponent: int) -> float:
    """The error in ULP that the GPU kernels must keep with default parameters."""
    if direction == "forward":
        return 4.0
    return 16.0 if exponent < 2 else 80.0


def sweep_range(op: Op, direction: str, start: int, stop: int, device: torch.device) -> Worst:
    """Runs the public function on the inputs with bit patterns start to stop (exclusive).

    Args:
        op: a scalar activation.
        direction: "forward" or "derivative".
        start: first bit pattern, 0 to 2^32 - 1.
        stop: one past the last, of the same sign and binade as `start`.
        device: a GPU for the kernels, a CPU for the composite.

    Raises:
        ValueError: another direction, or a range that is empty or leaves the binade.
    """
    if direction not in ("forward", "derivative"):
        raise ValueError(f"sweep: direction must be 'forward' or 'derivative', got {direction!r}")
    if not 0 <= start < stop <= 1 << 32 or start // BINADE != (stop - 1) // BINADE:
        raise ValueError(f"sweep: {start:#x} to {stop:#x} is no range within one binade and sign")
    bits = torch.arange(start, stop, dtype=torch.int64, device=device)
    x = (bits - ((bits >> 31) << 32)).to(torch.int32).view(torch.float32)
    forward = direction == "forward"
    y = _value(op.ours, x) if forward else _slope(op.ours, x)
    reference = (op.reference if forward else op.derivative)(x.double())
    error = (y.double() - reference).abs_()
    error[y.double() == reference] = 0  # infinities too
    tiny = reference.abs() < FLUSHED
    nan = torch.isnan(reference)
    failed = torch.isnan(y) != nan
    failed |= tiny & (y != 0) & (error > FLUSHED)
    units = torch.where(tiny | nan | failed, 0.0, error / ulp(reference))
    worst = int(units.argmax())
    return Worst(
        op=op.name,
        direction=direction,
        sign="-" if start >> 31 else "+",
        exponent=(start >> 23 & 0xFF) - 127,
        inputs=stop - start,
        max_ulp=units[worst].item(),
        worst_input=float(x[worst].item()).hex(),
        flushed=int((tiny & (y == 0) & (reference != 0)).sum()),
        failures=int(failed.sum()),
    )


def ulp(reference: Tensor) -> Tensor:
    """One unit in the last place of float32 at each float64; subnormals have the smallest one."""
    exponent = torch.frexp(reference).exponent.clamp(-125, 128) - 24
    exponent = torch.where(reference == 0, -149, exponent)
    return ((exponent.long() + 1023) << 52).view(torch.float64)  # 2^exponent, bit by bit


def _value(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.no_grad():
        return function(x)


def _slope(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(function(x), x, torch.ones_like(x))
    return slope


def main(path: Path, device: torch.device | None = None) -> int:
    """Sweeps everything on the GPU, a row at a time into a CSV file; 1 if a limit is broken."""
    if device is None:
        if not torch.cuda.is_available():
            print("sweep: there is no GPU here, and 2^32 inputs take hours on a CPU")
            return 2
        device = torch.device("cuda")
    path.parent.mkdir(parents=True, exist_ok=True)
    ranges = list(binades())
    work = [(op, way) for op in ops() if op.variant == "scalar" for way in _DIRECTIONS]
    broken = []
    with (
        path.open("w", encoding="utf-8", newline="", buffering=1) as file,
        progress("sweep", len(work)) as bar,
    ):
        writer = csv.DictWriter(file, [field.name for field in fields(Worst)], lineterminator="\n")
        writer.writeheader()
        for op, way in work:
            bar.step(f"{op.name} {way}")
            rows = []
            for start, stop in ranges:
                rows.append(sweep_range(op, way, start, stop, device))
                writer.writerow(asdict(rows[-1]))
            broken += [
                row for row in rows if row.failures or row.max_ulp > limit(way, row.exponent)
            ]
            bar.say(_summary(op.name, way, rows))
            bar.finish()
    for row in broken[:20]:
        print(f"beyond the limit of {limit(row.direction, row.exponent):.0f} ULP: {row}")
    return 1 if broken else 0


_DIRECTIONS = ("forward", "derivative")


def _summary(op: str, way: str, rows: list[Worst]) -> str:
    worst = max(rows, key=lambda row: row.max_ulp)
    inputs = sum(row.inputs for row in rows)
    failures = sum(row.failures for row in rows)
    value = float.fromhex(worst.worst_input) if worst.worst_input != "nan" else math.nan
    return (
        f"{op} {way}: {inputs} inputs, at most {worst.max_ulp:.2f} ULP (at {value:.9g}), "
        f"{sum(row.flushed for row in rows)} flushed, {failures} failures"
    )
