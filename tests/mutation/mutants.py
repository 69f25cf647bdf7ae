"""Mutants of device code: one small change of the syntax tree each.

Every operator, comparison, constant, mask, cast, branch and choice of a function that Triton
compiles gives its mutants; signatures, docstrings and what only the compiler sees do not. A cast to
the type that a pointer has, `.to(ptr.dtype.element_ty)`, gives none either: the store would cast,
so dropping it changes nothing.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Mutant", "mutants", "sample"]

BINARY = {
    ast.Add: ["-"],
    ast.Sub: ["+"],
    ast.Mult: ["+"],
    ast.Div: ["*"],
    ast.FloorDiv: ["*"],
    ast.Mod: ["+"],
    ast.BitAnd: ["|"],
    ast.BitOr: ["&"],
}
COMPARED = {
    ast.Lt: ["<=", ">"],
    ast.LtE: ["<", ">="],
    ast.Gt: [">=", "<"],
    ast.GtE: [">", "<="],
    ast.Eq: ["!="],
    ast.NotEq: ["=="],
}
SWAPPED = {"minimum": "maximum", "maximum": "minimum"}
CASTS = {"tl.int64": "tl.int32", "tl.int32": "tl.int16", "tl.float32": "tl.float16"}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: path within the package.
        function: the device function.
        before: the text that is replaced.
        after: what takes its place.
        count: which of the equal changes in that function, from 0.
        start: offset of the text in the file.
    """

    file: str
    function: str
    before: str
    after: str
    count: int
    start: int

    @property
    def name(self) -> str:
        """What identifies it as long as the function stays."""
        which = f" #{self.count + 1}" if self.count else ""
        before, after = (" ".join(text.split()) for text in (self.before, self.after))
        return f"{self.file} {self.function}: {before} -> {after}{which}"

    def applied(self, source: str) -> str:
        """The file's text with the change."""
        return source[: self.start] + self.after + source[self.start + len(self.before) :]


def mutants(package: Path) -> list[Mutant]:
    """All mutants of a package, in the order of its files."""
    found = []
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for function in _device_functions(ast.parse(source)):
            seen: Counter[tuple[str, str]] = Counter()
            for before, after, start in _changes(function, _Text(source)):
                file = str(path.relative_to(package))
                count = seen[before, after]
                found.append(Mutant(file, function.name, before, after, count, start))
                seen[before, after] += 1
    return found


def sample(found: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many of them in their order; the same for the same seed, but for what joins or leaves."""

    def lot(mutant: Mutant) -> bytes:
        return hashlib.sha256(f"{seed} {mutant.name}".encode()).digest()

    chosen = set(sorted(found, key=lot)[:count])
    return [mutant for mutant in found if mutant in chosen]


class _Text:
    """A file's text by the positions that a syntax tree has: lines, and bytes within a line."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines = source.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def offset(self, line: int, column: int) -> int:
        before = self._lines[line - 1].encode()[:column].decode()
        return self._starts[line - 1] + len(before)

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.offset(node.lineno, node.col_offset),
            self.offset(node.end_lineno, node.end_col_offset),
        )

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end]


def _device_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            marks = [m.func if isinstance(m, ast.Call) else m for m in node.decorator_list]
            if any(isinstance(mark, ast.Name) and mark.id == "jit" for mark in marks):
                yield node


def _changes(function: ast.FunctionDef, text: _Text) -> Iterator[tuple[str, str, int]]:
    """(text before, text after, offset) of every change of a function's body."""
    for statement in function.body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # the docstring
        for node in _nodes(statement):
            start, _ = text.span(node) if hasattr(node, "lineno") else (0, 0)
            for after in _replacements(node, text):
                yield text.of(node), after, start


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, as they are read; annotations left out."""
    yield node
    for name, value in ast.iter_fields(node):
        if name == "annotation":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _nodes(child)


def _replacements(node: ast.AST, text: _Text) -> Iterator[str]:
    if isinstance(node, ast.BinOp) and not isinstance(node.right, ast.Tuple):
        for symbol in BINARY.get(type(node.op), []):
            yield f"({text.of(node.left)}) {symbol} ({text.of(node.right)})"
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for symbol in COMPARED.get(type(node.ops[0]), []):
            yield f"{text.of(node.left)} {symbol} {text.of(node.comparators[0])}"
    elif isinstance(node, ast.BoolOp):
        symbol = " and " if isinstance(node.op, ast.Or) else " or "
        yield symbol.join(text.of(value) for value in node.values)
    elif isinstance(node, ast.UnaryOp):
        yield text.of(node.operand)
    elif isinstance(node, ast.Constant):
        yield from _constants(node.value)
    elif isinstance(node, ast.AugAssign):
        yield f"{text.of(node.target)} = {text.of(node.value)}"
    elif isinstance(node, ast.Call):
        yield from _calls(node, text)


def _constants(value: object) -> Iterator[str]:
    """One per cent for floats, which a test of accuracy has to feel; else one more."""
    if isinstance(value, bool):
        yield str(not value)
    elif isinstance(value, int):
        yield str(value + 1)
    elif isinstance(value, float):
        yield repr(value * 1.01 if value else 1.0)


def _calls(node: ast.Call, text: _Text) -> Iterator[str]:
    name = text.of(node.func)
    arguments = [text.of(argument) for argument in node.args]
    keywords = [(k.arg, text.of(k.value)) for k in node.keywords]

    def call(callee: str, args: Sequence[str], kws: Sequence[tuple[str | None, str]]) -> str:
        return f"{callee}({', '.join([*args, *(f'{key}={value}' for key, value in kws)])})"

    last = name.rpartition(".")[2]
    if last in SWAPPED:
        yield call(name.removesuffix(last) + SWAPPED[last], arguments, keywords)
    if last == "where":
        yield call(name, [arguments[0], arguments[2], arguments[1]], keywords)
    if last == "fma":
        yield f"({arguments[0]}) * ({arguments[1]}) - ({arguments[2]})"
    if last in ("abs", "exp2", "rsqrt"):
        yield arguments[0]
    if last in ("to", "cast") and arguments[-1] in CASTS:
        yield call(name, [*arguments[:-1], CASTS[arguments[-1]]], keywords)
    if any(key == "mask" for key, _ in keywords):
        kept = [pair for pair in keywords if pair[0] not in ("mask", "other")]
        yield call(name, arguments, kept)
    if any(key == "propagate_nan" for key, _ in keywords):
        yield call(name, arguments, [pair for pair in keywords if pair[0] != "propagate_nan"])
