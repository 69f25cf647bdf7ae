"""What a change to the kernels made of the golden table: what is worse, and what is better."""

from __future__ import annotations

from collections.abc import Iterable

from .golden import Entry, Key
from .machine_code import Counts

__all__ = ["improvements", "regressions"]

_GROWTH = 1.1  # instructions an element that are no regression, as a multiple of what they were


def regressions(old: Iterable[Entry], new: Iterable[Entry]) -> list[str]:
    """What is worse in `new`, a line each.

    More spilled bytes, a narrower access, over 10 % more instructions an element, counts that
    cannot be read any more; and an entry too few or too many.
    """
    before, after = _by_key(old), _by_key(new)
    lines = []
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            lines.append(f"{key}: was in the table, is missing")
        elif key not in before:
            lines.append(f"{key}: was not in the table, is additional")
        else:
            names = _worse(before[key].counts, after[key].counts)
            lines += _changes(names, before[key], after[key])
    return lines


def improvements(old: Iterable[Entry], new: Iterable[Entry]) -> list[str]:
    """What would be a regression from `new` to `old`, of the entries in both."""
    before, after = _by_key(old), _by_key(new)
    lines = []
    for key in sorted(before.keys() & after.keys()):
        names = _worse(after[key].counts, before[key].counts)
        lines += _changes(names, before[key], after[key])
    return lines


def _by_key(entries: Iterable[Entry]) -> dict[Key, Entry]:
    return {entry.key: entry for entry in entries}


def _worse(before: Counts | None, after: Counts | None) -> list[str]:
    """The columns in which `after` is worse."""
    if before is None or after is None:
        return ["instr_per_elt"] if before is not None else []
    checks = {
        "instr_per_elt": after.instr_per_elt > _GROWTH * before.instr_per_elt,
        "load_bytes": after.load_bytes < before.load_bytes,
        "store_bytes": after.store_bytes < before.store_bytes,
        "spill_bytes": after.spill_bytes > before.spill_bytes,
    }
    return [name for name, worse in checks.items() if worse]


def _changes(names: Iterable[str], before: Entry, after: Entry) -> list[str]:
    was, now = before.cells(), after.cells()
    return [
        f"{before.key}: {name} was {was[name] or 'unreadable'}, is {now[name] or 'unreadable'}"
        for name in names
    ]
