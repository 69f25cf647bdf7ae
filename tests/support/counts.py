"""Machine code counted once a process: tests of several files ask for the same kernels."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

from triton_acts.tuning import machine_code
from triton_acts.tuning.compile import compile_plan
from triton_acts.tuning.golden import Kernel
from triton_acts.tuning.inspect import default_config


@dataclass(frozen=True)
class Counted:
    """A kernel's counts, and its instructions an element by opcode."""

    counts: machine_code.Counts
    opcodes: dict[str, float]


def default_kernel(op, variant, dtype, arch):
    """The kernel with its default config."""
    return Kernel(op, variant, dtype, arch, default_config(op, variant, dtype, arch))


@cache
def counted(kernel):
    """Compiles and disassembles, which takes a second."""
    plan = kernel.variant.plan(kernel.dtype, kernel.config)
    compiled = compile_plan(plan, kernel.arch)
    one = machine_code.full_pass(compiled, plan)
    return Counted(machine_code.tally(one, machine_code.resources(compiled)), one.opcodes())


def all_counted(kernels):
    """The same for many, in threads: most of the time is the disassembler's."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(counted, kernels))
