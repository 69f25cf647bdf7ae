"""`python -m support.tables`: what the compiler makes of the kernels, for the README."""

from pathlib import Path

import torch

import triton_acts  # noqa: F401 - registers the ops
from support import readme
from triton_acts.tuning.inspect import rows
from triton_acts.tuning.registry import REGISTRY

HEADER = (
    "| activation | parameters | direction | instructions an element | special functions "
    "| bytes a load / store | registers |\n|---|---|---|---|---|---|---|"
)
SHOWN = {
    ("scalar", "flat"): "scalar",
    ("per_channel", "inner1"): "learned a, N x C",
    ("per_channel", "innerN"): "learned a, N x C x 56 x 56",
    ("per_channel", "inner49"): "learned a, N x C x 7 x 7",
    ("d20", "inner1"): "20 nodes, N x C",
    ("d20", "innerN"): "20 nodes, N x C x 56 x 56",
    ("d20", "inner49"): "20 nodes, N x C x 7 x 7",
    ("d20", "shared"): "20 nodes, one row of alpha",
    ("nodes20", "inner1"): "20 free nodes, N x C",
}


def table(arch):
    """Markdown for bfloat16 on one architecture."""
    lines = [HEADER]
    shown = lambda v: (v.name, v.layout) in SHOWN  # noqa: E731 - a predicate of one line
    for row in rows([arch], sorted(REGISTRY, reverse=True), [torch.bfloat16], shown):
        c, label = row.counts, SHOWN[row.variant.name, row.variant.layout]
        lines.append(
            f"| {row.op} | {label} | {row.variant.direction} | {c.instr_per_elt:.1f} "
            f"| {c.mufu_per_elt:.0f} | {c.load_bytes} / {c.store_bytes} | {c.regs} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    file = Path(__file__).parents[2] / "README.md"
    readme.replace_section(file, "inspect", f"bfloat16, sm_90:\n\n{table('sm_90')}\n")
