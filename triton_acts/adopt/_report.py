"""What a swap did, and how to take it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from torch import nn

__all__ = ["Change", "Replaced", "SwapReport", "Unreplaced"]


class Replaced(NamedTuple):
    """One activation that was replaced.

    Attributes:
        name: its qualified name; a function call has the name of the module that calls it, and the
            function's.
        before: what it was.
        after: what it is now.
        how: "module", "attribute" (a function that a module held) or "function" (a call, replaced
            in the traced model).
        module: the new module.
    """

    name: str
    before: str
    after: str
    how: Literal["module", "attribute", "function"]
    module: nn.Module


class Unreplaced(NamedTuple):
    """One activation that was asked for and is as it was.

    Attributes:
        name: as in `Replaced`.
        what: its type, or the function.
        reason: why, and what to do.
    """

    name: str
    what: str
    reason: str


class Change(NamedTuple):
    """An attribute of a module, before and after. Modules keep their place among their siblings."""

    owner: nn.Module
    attribute: str
    before: Any
    after: Any

    def apply(self) -> None:
        """Sets the new value."""
        _set(self.owner, self.attribute, self.after)

    def undo(self) -> None:
        """Sets the old one."""
        _set(self.owner, self.attribute, self.before)

    @property
    def stands(self) -> bool:
        """Whether the new value is still there."""
        return getattr(self.owner, self.attribute, None) is self.after


@dataclass(eq=False)
class SwapReport:
    """The result of `swap`; printed, it is a table.

    Attributes:
        model: the model to use from here on: the one given, unless that is an activation itself or
            calls functions that were replaced in a traced copy of its forward.
        replaced: what was replaced, in the order of the model, calls of functions last.
        unreplaced: what was asked for and could not be replaced, with the reason.
        params_added: the parameters that the model has more than before; negative if it has less.
        dry_run: whether nothing was done.
    """

    model: nn.Module
    replaced: list[Replaced]
    unreplaced: list[Unreplaced]
    params_added: int
    dry_run: bool = False
    _original: nn.Module | None = field(default=None, repr=False)
    _changes: Sequence[Change] = field(default=(), repr=False)
    _undone: bool = field(default=False, repr=False)

    def undo(self) -> nn.Module:
        """Puts every replaced module back, the same objects in the same places.

        Returns:
            The original model, which `model` is from then on. A traced model is not changed back:
            drop it.

        Raises:
            RuntimeError: it was a dry run, undo was called before, or a replacement is no longer
                where swap put it. Nothing is changed then.
        """
        if self.dry_run:
            raise RuntimeError(
                "SwapReport.undo: a dry run changed nothing; there is nothing to undo"
            )
        if self._undone:
            raise RuntimeError("SwapReport.undo: it was called before; it can be undone only once")
        for change in self._changes:
            if not change.stands:
                raise RuntimeError(
                    f"SwapReport.undo: '{change.attribute}' of {type(change.owner).__name__} is no "
                    f"longer what swap set; undo later changes first"
                )
        for change in reversed(self._changes):
            change.undo()
        assert self._original is not None
        self.model, self._undone = self._original, True
        return self.model

    def __str__(self) -> str:
        verb = "would be replaced" if self.dry_run else "replaced"
        lines = [
            f"{len(self.replaced)} {verb}, {len(self.unreplaced)} not, "
            f"{self.params_added:+,} parameters"
        ]
        if self.replaced:
            rows = [(_place(r.name), r.before, r.after, r.how) for r in self.replaced]
            lines += ["", *_table(("name", "before", "after", "how"), rows)]
        if self.unreplaced:
            left = [(_place(u.name), u.what, u.reason) for u in self.unreplaced]
            lines += ["", *_table(("not replaced", "what", "reason"), left)]
        return "\n".join(lines)

    __repr__ = __str__


def _set(owner: nn.Module, attribute: str, value: Any) -> None:
    if isinstance(value, nn.Module) and attribute in owner._modules:
        owner._modules[attribute] = value  # keeps its place in the order
        return
    owner._modules.pop(attribute, None)
    vars(owner).pop(attribute, None)
    if isinstance(value, nn.Module):
        owner._modules[attribute] = value
    else:
        vars(owner)[attribute] = value


def _place(name: str) -> str:
    return name or "(root)"


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns as wide as their longest cell, the last one ragged."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)][:-1]
    rule = ("-" * width for width in (*widths, len(header[-1])))
    return [
        "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[-1]])
        for row in (header, tuple(rule), *rows)
    ]
