"""Performance records: CSV schemas, an append-only writer, and a reader that loses nothing.

`runs.csv` has one row a run, `<slug>.csv` one row a measurement on that GPU. One row is one line,
so that a damaged line costs that row alone.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

__all__ = ["RESULTS", "RUNS", "OtherColumns", "Row", "Schema", "Table", "append", "check", "read"]

Value = str | int | float | bool | None
Row = dict[str, Value]


@dataclass(frozen=True)
class Schema:
    """The columns of a file, in order.

    Attributes:
        name: what a row is, for errors.
        columns: type of each column; an empty field reads as None where the type is no str.
        required: columns that must not be empty.
    """

    name: str
    columns: Mapping[str, type]
    required: frozenset[str]

    def encode(self, row: Mapping[str, Value]) -> str:
        """The row as one CSV line.

        Raises:
            ValueError: columns are missing, unknown or of another type; all are named.
        """
        faults = [f"{name} is missing" for name in self.columns if name not in row]
        faults += [f"{name} is no column" for name in row if name not in self.columns]
        fields = []
        for name, kind in self.columns.items():
            value = row.get(name)
            if isinstance(value, float) and not math.isfinite(value):
                value = None
            if value is None or value == "":
                if name in self.required and name in row:
                    faults.append(f"{name} is empty")
                fields.append("")
                continue
            if kind is float and type(value) is int:
                value = float(value)
            if type(value) is not kind:
                faults.append(f"{name} is {value!r}, allowed is {kind.__name__}")
            elif isinstance(value, str) and any(c in value for c in "\r\n\0"):
                faults.append(f"{name} has a line break: {value!r}")
            fields.append(f"{value:.9g}" if isinstance(value, float) else str(value))
        if faults:
            raise ValueError(f"{self.name} row: {'; '.join(faults)}")
        return _line(fields)

    def decode(self, line: str) -> Row:
        """The row of one CSV line.

        Raises:
            ValueError: the line is no complete row of this schema; says which field is wrong.
        """
        try:
            fields = next(csv.reader([line], strict=True), [])
        except csv.Error as error:
            raise ValueError(f"is no CSV ({error})") from None
        if len(fields) != len(self.columns):
            raise ValueError(f"has {len(fields)} fields, expected {len(self.columns)}")
        return {
            name: self._value(name, kind, text)
            for (name, kind), text in zip(self.columns.items(), fields, strict=True)
        }

    def _value(self, name: str, kind: type, text: str) -> Value:
        if text == "":
            if name in self.required:
                raise ValueError(f"has an empty {name}")
            return "" if kind is str else None
        if kind is bool:
            if text not in ("True", "False"):
                raise ValueError(f"has {name} = {text!r}, allowed are True and False")
            return text == "True"
        try:
            value: Value = kind(text)
        except ValueError:
            raise ValueError(f"has {name} = {text!r}, allowed is {kind.__name__}") from None
        return value

    @property
    def header(self) -> str:
        """The first line of a file."""
        return _line(list(self.columns))


class OtherColumns(ValueError):
    """A file has another header than that of its schema."""


@dataclass
class Table:
    """What a file held.

    Attributes:
        rows: the sound rows, in order.
        problems: one sentence for each damaged row, naming file and line.
    """

    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def check(path: Path, schema: Schema) -> None:
    """Makes sure that rows could be appended, before work is done for them.

    Raises:
        OtherColumns: the file has another header.
    """
    if path.exists() and path.stat().st_size:
        with path.open("rb") as file:
            _check_header(path, schema, file.readline().decode(errors="replace"))


def append(path: Path, schema: Schema, rows: Iterable[Mapping[str, Value]]) -> int:
    """Appends rows, each checked, written whole and flushed before the next; returns their number.

    A last line without its end (an interrupted write) is closed first, so that it has more fields
    than a row: wherever it was cut, `read` names it.

    Raises:
        ValueError: a row does not fit the schema; rows before it are written.
        OtherColumns: the file has another header.
        OSError: the disk is full, or the file cannot be written: rows before it are written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("a+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(0)
            _check_header(path, schema, file.readline().decode(errors="replace"))
            file.seek(size - 1)
            if file.read(1) != b"\n":
                _write(file, path, b"," * len(schema.columns) + b"\n")
        else:
            _write(file, path, schema.header.encode())
        for row in rows:
            _write(file, path, schema.encode(row).encode())
            count += 1
    return count


def _write(file: FileIO, path: Path, line: bytes) -> None:
    """Appends a line or nothing: a disk that fills up takes the beginning of one.

    Raises:
        OSError: it does not fit, or the file cannot be written.
    """
    before, written = file.seek(0, os.SEEK_END), 0
    try:
        while written < len(line):
            written += file.write(line[written:])
    except OSError as error:
        with suppress(OSError):  # then `read` names the cut row
            if file.seek(0, os.SEEK_END) == before + written:  # else another process went on
                file.truncate(before)
        message = f"{error.strerror}; the rows before are kept; free space or name another folder"
        raise OSError(error.errno, message, str(path)) from error


def read(path: Path, schema: Schema) -> Table:
    """Reads a file; a damaged row becomes a problem, and every other row is kept.

    Raises:
        FileNotFoundError: there is no such file.
        OtherColumns: the file has another header.
    """
    lines = path.read_bytes().decode(errors="replace").split("\n")
    table = Table()
    if lines == [""]:
        return table
    _check_header(path, schema, lines[0])
    last = len(lines)
    for number, line in enumerate(lines[1:], start=2):
        text = line.removesuffix("\r")
        if not text:
            continue
        try:
            if number == last:
                raise ValueError("is cut off")
            table.rows.append(schema.decode(text))
        except ValueError as error:
            table.problems.append(f"{path}, line {number}: the row {error}; it is left out")
    return table


def _line(fields: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(fields)
    return buffer.getvalue()


def _check_header(path: Path, schema: Schema, line: str) -> None:
    found = line.strip("\r\n")
    expected = schema.header.strip("\n")
    if found == expected:
        return
    columns = found.split(",")
    missing = [name for name in schema.columns if name not in columns]
    unknown = [name for name in columns if name not in schema.columns]
    raise OtherColumns(
        f"{path}: not a file of {schema.name} rows: columns missing {missing}, unknown {unknown}"
        f"{'' if missing or unknown else ', order differs'}; expected {expected}; "
        "move the file away or convert it"
    )


RUNS = Schema(
    "run",
    {
        "run_id": str,
        "utc_time": str,
        "commit": str,
        "triton_acts": str,
        "python": str,
        "torch": str,
        "triton": str,
        "cuda": str,
        "driver": str,
        "gpu_slug": str,
        "gpu_name": str,
        "sm_clock_mhz": float,
        "memory_clock_mhz": float,
        "power_limit_w": float,
        "canary_gbps": float,
        "flush_bytes": int,
        "seed": int,
        "argv": str,
    },
    frozenset({"run_id", "utc_time", "gpu_slug", "torch"}),
)

RESULTS = Schema(
    "measurement",
    {
        "run_id": str,
        "op": str,
        "variant": str,
        "direction": str,
        "provider": str,
        "dtype": str,
        "shape": str,
        "layout": str,
        "numel": int,
        "aligned": bool,
        "block": int,
        "elements_per_thread": int,
        "num_warps": int,
        "unroll": int,
        "config_source": str,
        "is_winner": bool,
        "ms_p20": float,
        "ms_p50": float,
        "ms_p80": float,
        "samples": int,
        "bytes": int,
        "gbps": float,
        "share_of_peak": float,
        "yardstick": str,
        "share_of_yardstick": float,
        "speedup_vs_eager": float,
        "regs": int,
        "spills": int,
        "instr_per_elt": float,
        "mufu_per_elt": float,
        "predicted_ms": float,
        "predicted_bound": str,
        "max_err": float,
        "status": str,
    },
    frozenset(
        {"run_id", "op", "direction", "provider", "dtype", "shape", "layout", "numel", "status"}
    ),
)
