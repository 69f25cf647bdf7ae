"""The way that a kernel's machine code takes through one pass over full blocks.

The kernels have a second, masked path for the tail, often inside the same loop, so a count follows
the control flow: one pass is the innermost loop that loads (and, if any does, stores) global
memory, or without such a loop the program from its entry to an exit. Of all ways through it that
load and store whole tiles, the full-block path is the one with the fewest predicated accesses and
then the fewest instructions a tile.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

__all__ = ["Instruction", "full_path", "parse", "width"]

_LOAD = re.compile(r"LDG|(global|buffer|flat)_load")
_STORE = re.compile(r"STG|(global|buffer|flat)_store")
_NOP = re.compile(r"NOP|s_nop|s_code_end")
# NVIDIA's default is 4 bytes; AMD spells every width out.
_WIDTH = re.compile(
    r"\.(256|128|64|[US]16|[US]8)\b|_(?:(dword)|[us]?(short)|[us]?(byte)|[bui](\d+))(?:x(\d))?"
)
_SASS = re.compile(r"\s+/\*([0-9a-f]{4,})\*/\s+(?:@(!?U?P\w+)\s+)?([A-Z]\S*)\s*([^;]*);")


def width(opcode: str) -> int:
    """Bytes a thread moves with one memory instruction."""
    found = _WIDTH.search(opcode)
    if not found:
        return 4
    nvidia, dword, short, byte, bits, times = found.groups()
    if nvidia:
        return int(nvidia.lstrip("US")) // 8
    size = 4 if dword else 2 if short else 1 if byte else int(bits) // 8
    return size * int(times or 1)


@dataclass(frozen=True)
class Instruction:
    """One machine instruction.

    Attributes:
        opcode: with its modifiers and without its predicate.
        guarded: runs under a predicate or a narrowed exec mask.
        successors: indices of the instructions that may follow; empty where the program ends.
        ends: whether the program may end here.
    """

    opcode: str
    guarded: bool
    successors: tuple[int, ...]
    ends: bool = False

    @cached_property
    def loads(self) -> int:
        """Bytes a thread loads from global memory."""
        return width(self.opcode) if _LOAD.match(self.opcode) else 0

    @cached_property
    def stores(self) -> int:
        """Bytes a thread stores to global memory."""
        return width(self.opcode) if _STORE.match(self.opcode) else 0

    @cached_property
    def idle(self) -> bool:
        """True of a NOP."""
        return _NOP.match(self.opcode) is not None


def parse(text: str) -> list[Instruction]:
    """Instructions and control flow of SASS or of AMD's assembly.

    Raises:
        RuntimeError: there are no instructions, or a branch leads nowhere known.
    """
    found = _parse_sass(text) if _SASS.search(text) else _parse_amd(text)
    if not found:
        raise RuntimeError("the disassembly is empty: nothing to count")
    return found


def _parse_sass(text: str) -> list[Instruction]:
    lines = [match.groups() for match in _SASS.finditer(text)]
    index = {int(address, 16): i for i, (address, *_) in enumerate(lines)}
    barriers: dict[str, int] = {}
    found = []
    for i, (_, guard, opcode, operands) in enumerate(lines):
        name = opcode.split(".")[0]
        successors: tuple[int, ...] = (i + 1,)
        goal = re.search(r"(?:^|\s|\()(0x[0-9a-f]+)\)?\s*$", operands)
        # `@P2 BRA P1, 0x10d0` and `BRA.U !UP1, 0x590` are conditional by an operand
        conditional = guard is not None or re.match(r"!?U?P\d", operands) is not None
        if name == "BSSY" and goal:
            barriers[operands.split(",")[0]] = index[int(goal[1], 16)]
        elif name == "BSYNC":
            successors = (barriers.get(operands.strip(), i + 1),)
        elif name in ("BRA", "JMP") or (conditional and opcode == "CALL.REL.NOINC"):
            # the latter is how ptxas leaves a loop on sm_80 together; only subroutines come back
            if not goal or int(goal[1], 16) not in index:
                raise RuntimeError(f"cannot follow the branch {opcode} {operands}")
            there = index[int(goal[1], 16)]
            successors = (there, i + 1) if conditional else (there,)
        elif name in ("BRX", "JMX"):
            raise RuntimeError(f"cannot follow the indirect branch {opcode} {operands}")
        ends = name in ("EXIT", "RET")
        if ends and not conditional:
            successors = ()
        found.append(Instruction(opcode, guard is not None, successors, ends))
    return found


def _parse_amd(text: str) -> list[Instruction]:
    lines: list[tuple[str, str]] = []
    labels: dict[str, int] = {}
    for line in text.splitlines():
        code = line.split(";")[0].strip()
        if label := re.match(r"([.\w$]+):$", code):
            labels[label[1]] = len(lines)
        elif re.match(r"(s|v|ds|global|buffer|flat|scratch)_\w+", code):
            opcode, _, operands = code.partition(" ")
            lines.append((opcode.strip(), operands.strip()))
    narrowed = False  # lanes are switched off since the last saveexec
    found = []
    for i, (opcode, operands) in enumerate(lines):
        successors: tuple[int, ...] = (i + 1,)
        if "saveexec" in opcode:
            narrowed = True
        elif re.match(r"s_(or|mov)_b(32|64)$", opcode) and operands.startswith("exec"):
            narrowed = False
        if opcode.startswith("s_cbranch"):
            successors = (labels[operands], i + 1)
        elif opcode == "s_branch":
            successors = (labels[operands],)
        elif opcode == "s_endpgm":
            successors = ()
        found.append(Instruction(opcode, narrowed, successors, opcode == "s_endpgm"))
        narrowed = narrowed and i + 1 in successors
    return found


def full_path(code: Sequence[Instruction], tile_bytes: int) -> list[Instruction]:
    """The instructions of one pass over full blocks.

    Args:
        code: the program.
        tile_bytes: bytes a thread stores for one tile; a path stores a multiple of it.

    Raises:
        RuntimeError: no path loads, and stores whole tiles.
    """
    loops = [(h, b) for h, b in _loops(code).items() if any(code[i].loads for i in b)]
    loops = [(h, b) for h, b in loops if any(code[i].stores for i in b)] or loops
    regions = [(h, b) for h, b in loops if not any(other < b for _, other in loops)]
    passes = [_cheapest_pass(code, header, body, tile_bytes) for header, body in regions]
    if not loops:
        passes = [_cheapest_pass(code, None, set(range(len(code))), tile_bytes)]
    found = min((p for p in passes if p), default=None)
    if found is None:
        raise RuntimeError(
            f"no path through the machine code loads, and stores a multiple of {tile_bytes} bytes"
        )
    return [code[i] for i in found[-1]]


def _loops(code: Sequence[Instruction]) -> dict[int, set[int]]:
    """Natural loops: the instructions of each, by its header."""
    predecessors: dict[int, list[int]] = {}
    for i, instruction in enumerate(code):
        for following in instruction.successors:
            predecessors.setdefault(following, []).append(i)
    loops: dict[int, set[int]] = {}
    for latch, header in _back_edges(code):
        body = loops.setdefault(header, {header})
        pending = [latch]
        while pending:
            i = pending.pop()
            if i not in body:
                body.add(i)
                pending += predecessors.get(i, [])
    return loops


def _back_edges(code: Sequence[Instruction]) -> Iterator[tuple[int, int]]:
    """Branches to an instruction on the way to them, by a search in depth from the entry."""
    visited, active = {0}, {0}
    stack = [(0, iter(code[0].successors))]
    while stack:
        i, following = stack[-1]
        for j in following:
            if j in active:
                yield i, j
            elif j not in visited and j < len(code):
                visited.add(j)
                active.add(j)
                stack.append((j, iter(code[j].successors)))
                break
        else:
            active.remove(i)
            stack.pop()


_UNROLLED = 64  # tiles a pass may handle; bounds the search where stores sit in a loop of their own


def _cheapest_pass(
    code: Sequence[Instruction], header: int | None, body: set[int], tile_bytes: int
) -> tuple[float, float, list[int]] | None:
    """Predicated accesses and instructions a tile, and the way.

    It leads from the header of a loop back to it, or without a header from the entry up to an
    exit, which is not part of it. Dijkstra's algorithm; a state is an instruction, whether a load
    came before it, and the bytes stored before it.
    """
    must_store = any(code[i].stores for i in body)
    start = (header or 0, False, 0)
    costs = {start: (0, 0)}
    came_from: dict[tuple[int, bool, int], tuple[int, bool, int]] = {}
    heap = [((0, 0), start)]
    ends = []
    while heap:
        cost, state = heapq.heappop(heap)
        if cost > costs[state]:
            continue
        i, loaded, stored = state
        loaded |= code[i].loads > 0
        stored += code[i].stores
        access = bool(code[i].loads or code[i].stores)
        cost = (cost[0] + (access and code[i].guarded), cost[1] + (not code[i].idle))
        whole = not stored % tile_bytes and bool(stored) == must_store and loaded
        if whole and (header in code[i].successors or (header is None and code[i].ends)):
            tiles = stored // tile_bytes or 1
            ends.append((cost[0] / tiles, cost[1] / tiles, state))
        for j in code[i].successors:
            following = (j, loaded, stored)
            if j == header or j not in body or stored > _UNROLLED * tile_bytes:
                continue
            if following not in costs or cost < costs[following]:
                costs[following], came_from[following] = cost, state
                heapq.heappush(heap, (cost, following))
    if not ends:
        return None
    guarded, instructions, state = min(ends)
    way = [state[0]]
    while state in came_from:
        state = came_from[state]
        way.append(state[0])
    return guarded, instructions, way[:0:-1] if header is None else way[::-1]
