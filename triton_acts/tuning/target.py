"""The GPU that configs are looked up for: the one at hand, or one of the table."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch

from triton_acts import _triton, gpus

from .registry import Hardware
from .store import check_slug

__all__ = ["Target", "hardware_of", "index_of", "target_of", "target_of_slug"]


@dataclass(frozen=True)
class Target:
    """A GPU to look up configs for; it need not be there."""

    slug: str
    vendor: str
    arch: str
    hardware: Hardware


def target_of(device: int | torch.device | None) -> Target:
    """The GPU at hand; TRITON_ACTS_GPU replaces its slug.

    Raises:
        ValueError: the device is no GPU, or TRITON_ACTS_GPU is no slug.
    """
    if _triton.INTERPRETED:
        return Target("interpreter", "none", "none", Hardware())
    index = index_of(device)
    gpu = gpus.identify(index)
    slug = os.environ.get("TRITON_ACTS_GPU") or gpu.slug
    return Target(check_slug(slug), gpu.vendor, gpu.arch, hardware_of(index))


def hardware_of(device: int | torch.device | None) -> Hardware:
    """What the analytic rules ask of a GPU that is there: the table knows, or its driver."""
    if _triton.INTERPRETED:
        return Hardware()
    index = index_of(device)
    known = gpus.constants(gpus.identify(index).slug)
    if known is not None:
        return Hardware(known.warp_size, known.bytes_per_clock_sm)
    rate = gpus.device_rate(index)
    return Hardware(rate.warp_size, rate.bytes_per_clock_sm)


def index_of(device: int | torch.device | None) -> int:
    """As `Tensor.get_device` says it: -1 for a CPU."""
    if isinstance(device, int):
        return device
    if device is not None and device.type != "cuda":
        return -1
    index = None if device is None else device.index
    return torch.cuda.current_device() if index is None else index


def target_of_slug(slug: str) -> Target:
    """A GPU of the table, there or not.

    Raises:
        ValueError: the table has no such GPU.
    """
    gpu = gpus.constants(slug)
    if gpu is None:
        known = ", ".join(gpu.slug for gpu in gpus.table())
        raise ValueError(f"unknown GPU {slug!r}, allowed are {known}")
    return Target(slug, gpu.vendor, gpu.arch, Hardware(gpu.warp_size, gpu.bytes_per_clock_sm))
