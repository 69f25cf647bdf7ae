"""What a compiled kernel costs, counted in its machine code.

Counted is one pass over full blocks, as `control_flow` finds it; loops that the compiler unrolled
are divided by what the pass stores.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triton_acts import _triton

from .control_flow import Instruction, full_path, parse
from .registry import Plan, Pointer

__all__ = ["Counts", "Pass", "Resources", "count", "disassemble", "full_pass", "resources", "tally"]

_MUFU = re.compile(r"MUFU|v_(exp|log|rcp|rsq|sqrt|sin|cos|tanh)(_iflag)?_(f|bf)\d")
_FP32 = re.compile(
    r"F(ADD|MUL|FMA|SETP|SET|SEL|MNMX|CHK)\d*"
    r"|v_(pk_)?(add|sub|subrev|mul|fma|fmac|fmaak|fmamk|mac|mad|max|min|med|cmpx?_\w+)\d?_f32"
)


@dataclass(frozen=True)
class Resources:
    """What a thread occupies.

    Attributes:
        regs: registers; on AMD vector registers.
        spill_bytes: bytes in local memory (AMD: scratch).
    """

    regs: int
    spill_bytes: int


@dataclass(frozen=True)
class Counts:
    """Costs of a kernel's full-block path.

    Attributes:
        instr_per_elt: instructions of a thread for one element, NOPs excluded.
        mufu_per_elt: special-function instructions among them.
        fp32_per_elt: float32 arithmetic and comparisons among them.
        load_bytes: width of a global load: the narrowest that carries a quarter of the bytes, so
            that a weight does not hide the tensors, nor an aligned tensor a misaligned one.
        store_bytes: the same of the stores; 0 without any.
        thread_load_bytes: bytes that a thread loads in one pass and tile.
        regs: registers a thread.
        spill_bytes: bytes a thread keeps in local memory.
    """

    instr_per_elt: float
    mufu_per_elt: float
    fp32_per_elt: float
    load_bytes: int
    store_bytes: int
    thread_load_bytes: int
    regs: int
    spill_bytes: int


@dataclass(frozen=True)
class Pass:
    """One pass of a thread over full blocks.

    Attributes:
        path: its instructions.
        tile: elements of a tile that a thread handles.
        itemsize: bytes of an element of x.
    """

    path: Sequence[Instruction]
    tile: int
    itemsize: int

    @property
    def elements(self) -> int:
        """Elements that it handles: those it stores, or a tile where it stores nothing."""
        return sum(i.stores for i in self.path) // self.itemsize or self.tile

    def opcodes(self) -> dict[str, float]:
        """Instructions for one element by opcode, without modifiers ("FFMA") and NOPs."""
        found = Counter(i.opcode.split(".")[0] for i in self.path if not i.idle)
        return {opcode: number / self.elements for opcode, number in found.items()}


def count(compiled: Any, plan: Plan) -> Counts:
    """Counts a kernel that `compile_plan` compiled.

    Raises:
        RuntimeError: the disassembler failed or printed nothing, or no path handles whole tiles.
    """
    return tally(full_pass(compiled, plan), resources(compiled))


def full_pass(compiled: Any, plan: Plan) -> Pass:
    """The pass over full blocks that is counted.

    Raises:
        RuntimeError: the disassembler failed or printed nothing, or no path handles whole tiles.
    """
    threads = plan.num_warps * compiled.metadata.target.warp_size
    tile = max(1, plan.elements // threads)
    itemsize = next(a.dtype.itemsize for a in plan.args.values() if isinstance(a, Pointer))
    path = full_path(parse(disassemble(compiled)), tile * itemsize)
    return Pass(path, tile, itemsize)


def disassemble(compiled: Any) -> str:
    """The machine code as text: SASS, or AMD's assembly. Takes 0.5 s for SASS.

    Raises:
        RuntimeError: the disassembler failed or printed nothing.
    """
    if "amdgcn" in compiled.asm:
        return str(compiled.asm["amdgcn"])
    text, reason = _cuobjdump(compiled, "-sass")
    if reason or "/*0000*/" not in text:
        raise RuntimeError(
            f"cuobjdump of Triton {_triton.triton.__version__} cannot disassemble "
            f"sm_{compiled.metadata.target.arch}: {reason or 'it printed nothing'}"
        )
    return text


def resources(compiled: Any) -> Resources:
    """Registers and spills, without a disassembly (milliseconds).

    Raises:
        RuntimeError: the compiler's output does not state them.
    """
    amd = compiled.asm.get("amdgcn")
    text = amd or _cuobjdump(compiled, "-res-usage")[0]
    pattern = r"\.(\w+):\s+(\d+)\s*$" if amd else r"\b(REG|STACK|LOCAL):(\d+)"
    found = {key: int(value) for key, value in re.findall(pattern, text, re.MULTILINE)}
    try:
        if amd:
            spilled = max(4 * found["vgpr_spill_count"], found["private_segment_fixed_size"])
            return Resources(found["vgpr_count"], spilled)
        return Resources(found["REG"], max(found["STACK"], found["LOCAL"]))
    except KeyError as missing:
        raise RuntimeError(
            f"Triton {_triton.triton.__version__} does not state {missing} of a kernel for "
            f"{compiled.metadata.target.arch}"
        ) from missing


def _cuobjdump(compiled: Any, option: str) -> tuple[str, str]:
    """What Triton's cuobjdump prints of a cubin, and why it failed ('' if it did not)."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(compiled.asm["cubin"])
        command = [_triton.triton.knobs.nvidia.cuobjdump.path, option, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout, " ".join(done.stderr.split()) if done.returncode else ""


def tally(one: Pass, used: Resources) -> Counts:
    """Counts per element of a pass."""
    path, elements = one.path, one.elements
    opcodes = [i.opcode for i in path if not i.idle]
    return Counts(
        instr_per_elt=len(opcodes) / elements,
        mufu_per_elt=sum(bool(_MUFU.match(o)) for o in opcodes) / elements,
        fp32_per_elt=sum(bool(_FP32.match(o)) for o in opcodes) / elements,
        load_bytes=_prevailing([i.loads for i in path if i.loads]),
        store_bytes=_prevailing([i.stores for i in path if i.stores]),
        thread_load_bytes=sum(i.loads for i in path) * one.tile // elements,
        regs=used.regs,
        spill_bytes=used.spill_bytes,
    )


def _prevailing(widths: Sequence[int]) -> int:
    """The narrowest width that carries a quarter of the bytes."""
    return min((w for w in widths if 4 * w * widths.count(w) >= sum(widths)), default=0)
