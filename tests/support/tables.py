"""`python -m support.tables`: what the compiler makes of the kernels, for docs/speed.md."""

from pathlib import Path

import torch

import triton_acts  # noqa: F401 - registers the ops
from support import readme
from triton_acts.tuning import golden
from triton_acts.tuning.inspect import default_config
from triton_acts.tuning.registry import REGISTRY

FILE = Path(__file__).parents[2] / "docs" / "speed.md"
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
    """Markdown for bfloat16 on one architecture, from the golden table that tests compile anew."""
    counts_of = golden.Table(golden.read(golden.default_file())).counts_of
    lines = [HEADER]
    for op in ("scaled_sigmoid", "penalized_tanh", "kaf"):
        for variant in REGISTRY[op].variants:
            if (variant.name, variant.layout) not in SHOWN:
                continue
            config = default_config(op, variant, torch.bfloat16, arch)
            c = counts_of(op, variant, torch.bfloat16, arch, config)
            lines.append(
                f"| {op} | {SHOWN[variant.name, variant.layout]} | {variant.direction} "
                f"| {c.instr_per_elt:.1f} | {c.mufu_per_elt:.0f} "
                f"| {c.load_bytes} / {c.store_bytes} | {c.regs} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    readme.replace_section(FILE, "inspect", f"bfloat16, sm_90:\n\n{table('sm_90')}\n")
