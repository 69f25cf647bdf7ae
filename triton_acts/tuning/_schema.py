"""What a file of block sizes holds: its text, and everything that is checked about it."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from .config import MAX_THREADS, Config

__all__ = ["MAX_BYTES", "SCHEMA", "ConfigFile", "ConfigFileError", "NewerSchemaError"]
__all__ += ["Entries", "parse", "render"]

SCHEMA = 1
MAX_BYTES = 1 << 20  # of a file
LARGEST_SIZE = 62  # log2 elements

Entries = Mapping[str, Mapping[int, Config]]


class ConfigFileError(ValueError):
    """A file does not hold what it must."""


class NewerSchemaError(ConfigFileError):
    """A file was written by a newer version of this package."""


@dataclass(frozen=True)
class ConfigFile:
    """What a file holds.

    Attributes:
        gpu: slug, vendor, arch, sm_count, mem_gib, warp_size; those that a group of GPUs does not
            share are None or left out, never slug, vendor and warp_size.
        provenance: kind ("measured", "common-best" or "model") and run_ids; torch, triton, ptxas,
            driver and kernel_hash where they are known.
        entries: configs by key ("scaled_sigmoid/forward/bfloat16/aligned") and log2 size.
    """

    gpu: Mapping[str, Any]
    provenance: Mapping[str, Any]
    entries: Entries


_Rule = tuple[Callable[[Any], bool], str]  # whether a value is allowed, and what is
_NAMES = {"schema", "gpu", "provenance", "entries"}
_KINDS = ("measured", "common-best", "model")
_TEXT: _Rule = (lambda v: type(v) is str and v != "", "a text")
_TEXT_OR_NULL: _Rule = (lambda v: v is None or _TEXT[0](v), "a text or null")
_GPU: dict[str, _Rule] = {
    "slug": _TEXT,
    "vendor": _TEXT,
    "arch": _TEXT_OR_NULL,
    "sm_count": (lambda v: v is None or (type(v) is int and v > 0), "a positive integer or null"),
    "mem_gib": (
        lambda v: v is None or (type(v) in (int, float) and 0 < v < math.inf),
        "a positive number or null",
    ),
    "warp_size": (
        lambda v: type(v) is int and 0 < v <= MAX_THREADS and not v & (v - 1),
        f"a power of two up to {MAX_THREADS}",
    ),
}
_PROVENANCE: dict[str, _Rule] = {
    "kind": (lambda v: v in _KINDS, " or ".join(_KINDS)),
    "run_ids": (
        lambda v: type(v) is list and all(type(name) is str for name in v),
        "a list of texts",
    ),
    **dict.fromkeys(("torch", "triton", "ptxas", "driver", "kernel_hash"), _TEXT_OR_NULL),
}
_KEY = re.compile(r"[A-Za-z0-9_.<=-]+(/[A-Za-z0-9_.<=-]+){3,}")
_SIZE = re.compile(r"0|[1-9][0-9]?")
_BRIEF = reprlib.Repr()  # a hostile value may be long or deep
_BRIEF.maxstring = 120


def parse(text: str) -> ConfigFile:
    """The content of a file.

    Raises:
        NewerSchemaError: its schema is newer than SCHEMA.
        ConfigFileError: anything else is wrong; says where, what was given, and what is allowed.
    """
    if len(text) > MAX_BYTES:
        raise ConfigFileError(f"it has {len(text)} characters, allowed are {MAX_BYTES}")
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except ConfigFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigFileError(f"it is no JSON: {error}") from None
    if type(data) is not dict:
        _refuse("the file", data, "an object")
    schema = data.get("schema")
    if type(schema) is not int or schema < 1:
        _refuse("schema", schema, f"an integer from 1 to {SCHEMA}")
    if schema > SCHEMA:
        raise NewerSchemaError(
            f"schema is {_short(schema)}, allowed is at most {SCHEMA}: update triton_acts, or "
            f"remove the file and tune again"
        )
    if set(data) != _NAMES:
        _refuse("the set of names", sorted(data), f"exactly {sorted(_NAMES)}")
    _check_fields("gpu", data["gpu"], _GPU)
    _check_fields("provenance", data["provenance"], _PROVENANCE)
    entries = _entries(data["entries"], data["gpu"]["warp_size"])
    return ConfigFile(data["gpu"], data["provenance"], entries)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ConfigFileError(f"the name {_short(name)} is given twice, allowed is once")
        found[name] = value
    return found


def _no_constant(name: str) -> NoReturn:
    _refuse("a number", name, "a finite one")


def _check_fields(where: str, given: Any, rules: Mapping[str, _Rule]) -> None:
    """Known names by their rules; others, which a newer version may write, if they are scalars."""
    if type(given) is not dict:
        _refuse(where, given, "an object")
    for name, (holds, allowed) in rules.items():
        if not holds(given.get(name)):
            _refuse(f"{where}.{name}", given.get(name), allowed)
    for name, value in given.items():
        plain = value is None or type(value) in (str, bool, int, float)
        if name not in rules and not (plain and value not in (math.inf, -math.inf)):
            _refuse(f"{where}.{_short(name)}", value, "a text, a finite number, a bool or null")


def _entries(given: Any, warp_size: int) -> dict[str, dict[int, Config]]:
    if type(given) is not dict:
        _refuse("entries", given, "an object")
    for key, sizes in given.items():
        if not _KEY.fullmatch(key):
            _refuse("a key of entries", key, "op/direction/dtype/aligned, of A-Za-z0-9_.<=- each")
        if type(sizes) is not dict:
            _refuse(f"entries[{_short(key)}]", sizes, "an object")
    return {
        key: {
            _size(key, size): _config(f"entries[{_short(key)}][{_short(size)}]", config, warp_size)
            for size, config in sizes.items()
        }
        for key, sizes in given.items()
    }


def _size(key: str, given: str) -> int:
    if not _SIZE.fullmatch(given) or int(given) > LARGEST_SIZE:
        _refuse(f"a size of entries[{_short(key)}]", given, f'"0" to "{LARGEST_SIZE}" (log2)')
    return int(given)


def _config(where: str, given: Any, warp_size: int) -> Config:
    required = {"elements_per_thread", "num_warps"}
    if type(given) is not dict or not required <= set(given) <= required | {"unroll"}:
        _refuse(where, given, 'an object of elements_per_thread, num_warps and maybe "unroll"')
    for name, value in given.items():
        if type(value) is not int:
            _refuse(f"{where}.{name}", value, "a power of two")
    try:
        return Config(**given, warp_size=warp_size)
    except ValueError as error:
        raise ConfigFileError(f"{where}: {str(error)[:200]}") from None


def _refuse(where: str, given: Any, allowed: str) -> NoReturn:
    said = "missing or null" if given is None else _short(given)
    raise ConfigFileError(f"{where} is {said}, allowed is {allowed}")


def _short(value: Any) -> str:
    return _BRIEF.repr(value)


def render(file: ConfigFile) -> str:
    """The text of a file, the same for the same content; `parse` gives the file back.

    Raises:
        ConfigFileError: a config is for another warp size than the GPU's.
        TypeError: a value has no JSON.
        ValueError: a number is not finite.
    """
    entries = {
        key: _object({str(size): _line(file, sizes[size]) for size in sorted(sizes)}, depth=2)
        for key, sizes in sorted(file.entries.items())
    }
    parts = {
        "schema": _json(SCHEMA),
        "gpu": _object({name: _json(file.gpu[name]) for name in sorted(file.gpu)}, depth=1),
        "provenance": _object(
            {name: _json(file.provenance[name]) for name in sorted(file.provenance)}, depth=1
        ),
        "entries": _object(entries, depth=1),
    }
    return _object(parts, depth=0) + "\n"


def _line(file: ConfigFile, config: Config) -> str:
    if config.warp_size != file.gpu.get("warp_size"):
        _refuse("warp_size of a config", config.warp_size, f"the GPU's {file.gpu.get('warp_size')}")
    fields = {"elements_per_thread": config.elements_per_thread, "num_warps": config.num_warps}
    if config.unroll != 1:
        fields["unroll"] = config.unroll
    return _json(fields)


def _object(fields: Mapping[str, str], depth: int) -> str:
    """A JSON object of rendered values, one a line."""
    lines = [f"\n{'  ' * (depth + 1)}{_json(name)}: {value}" for name, value in fields.items()]
    return "{" + ",".join(lines) + f"\n{'  ' * depth}}}" if lines else "{}"


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, allow_nan=False)
