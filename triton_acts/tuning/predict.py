"""Predicts a kernel's time on a GPU of the table from its counts: a model, never a measurement.

The time is that of the slowest of three pipes (DRAM, instruction issue, special functions), longer
where the resident warps do not keep enough bytes in flight, and never below a launch.
"""

from __future__ import annotations

from dataclasses import dataclass

from triton_acts.gpus import GPU

from .machine_code import Counts

__all__ = [
    "LATENCY_S",
    "LAUNCH_S",
    "REGISTERS",
    "Prediction",
    "occupancy_factor",
    "predict",
    "resident_warps",
]

LATENCY_S = 700e-9  # of a DRAM access under load
LAUNCH_S = 3e-6  # an empty kernel


@dataclass(frozen=True)
class Prediction:
    """What the model says of one launch.

    Attributes:
        ms: time in milliseconds.
        gbs: bytes by time in GB/s (1e9 bytes).
        share: gbs as a share of the GPU's DRAM bandwidth, 0 to 1.
        bound: what limits it: "dram", "issue", "mufu" or "launch".
    """

    ms: float
    gbs: float
    share: float
    bound: str


def predict(gpu: GPU, counts: Counts, num_bytes: int, numel: int, num_warps: int) -> Prediction:
    """The model's answer for one launch.

    Args:
        gpu: a row of the table.
        counts: of the kernel compiled for that GPU's architecture.
        num_bytes: bytes moved, `variant.tensors * itemsize * numel`.
        numel: elements of x.
        num_warps: warps a program.

    Raises:
        ValueError: num_bytes, numel or num_warps is below 1.
    """
    for name, value in (("num_bytes", num_bytes), ("numel", numel), ("num_warps", num_warps)):
        if value < 1:
            raise ValueError(f"predict: {name} must be at least 1, got {value}")
    clocks = gpu.sm_count * gpu.boost_ghz * 1e9
    pipes = {
        "dram": num_bytes / (gpu.dram_gbs * 1e9),
        "issue": counts.instr_per_elt * numel / (clocks * gpu.issue_lanes_per_clk_sm),
        "mufu": counts.mufu_per_elt * numel / (clocks * gpu.mufu_per_clk_sm),
    }
    bound = max(pipes, key=lambda pipe: pipes[pipe])
    seconds = pipes[bound] / occupancy_factor(gpu, counts, num_warps)
    if seconds < LAUNCH_S:
        bound, seconds = "launch", LAUNCH_S
    gbs = num_bytes / seconds / 1e9
    return Prediction(seconds * 1e3, gbs, gbs / gpu.dram_gbs, bound)


def occupancy_factor(gpu: GPU, counts: Counts, num_warps: int) -> float:
    """Bytes in flight as a share of those that DRAM's latency asks for, at most 1."""
    lanes = resident_warps(gpu, counts.regs, num_warps) * gpu.warp_size * gpu.sm_count
    return min(1.0, lanes * counts.thread_load_bytes / (LATENCY_S * gpu.dram_gbs * 1e9))


# Registers of a multiprocessor: 64 Ki on NVIDIA; 512 for each of 64 lanes on 4 SIMDs on AMD's CDNA.
REGISTERS = {"nvidia": 65536, "amd": 4 * 512 * 64}


def resident_warps(gpu: GPU, regs: int, num_warps: int) -> int:
    """Warps that fit a multiprocessor, in whole programs; registers come in units of 8 a thread."""
    by_registers = REGISTERS[gpu.vendor] // (max(8, -(-regs // 8) * 8) * gpu.warp_size)
    return max(1, min(gpu.warps_per_sm, by_registers) // num_warps) * num_warps
