"""Which GPU a device is, by what it has rather than by what its driver calls it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from math import inf

import torch

from triton_acts.gpus._table import GPU, table

__all__ = ["DeviceRate", "GpuId", "classify", "device_rate", "identify"]

MEMORY_TOLERANCE = 0.1  # drivers report up to 8 % less than data sheets (L4: 22 of 24 GiB)
MEMORY = re.compile(r"[0-9]+gb")
QUALIFIERS = ("d", "ti", "super", "laptop", "mobile", "max-q")  # of other parts of one name
NAMES = {"rtx-pro-6000-bw": "rtx-pro-6000-blackwell", "mi250x-gcd": "mi250x"}  # in drivers


@dataclass(frozen=True)
class GpuId:
    """What a GPU is.

    Attributes:
        slug: its name in files: of [a-z0-9.-], starting with a letter or digit.
        vendor: "nvidia", "amd" or "unknown".
        arch: "sm_90", "gfx942", ...
        sm_count: multiprocessors, or AMD's compute units.
        mem_gib: memory in GiB, as the driver reports it.
        mig: whether it is a MIG slice of an NVIDIA GPU.
    """

    slug: str
    vendor: str
    arch: str
    sm_count: int
    mem_gib: float
    mig: bool


def identify(device: int | torch.device | None = None) -> GpuId:
    """What a GPU that is present is; its driver is asked once.

    Args:
        device: a GPU or its index; None is the current one.

    Raises:
        ValueError: the device is no GPU.
    """
    index = device.index if isinstance(device, torch.device) else device
    is_gpu = not isinstance(device, torch.device) or device.type == "cuda"
    if not is_gpu or (index is not None and index < 0):  # -1 is a CPU tensor's get_device()
        raise ValueError(
            "identify: device must be a GPU (torch calls AMD's 'cuda' too), its index or None for "
            f"the current one, got {device!r}"
        )
    return _identified(torch.cuda.current_device() if index is None else index)


@cache
def _identified(index: int) -> GpuId:
    properties = torch.cuda.get_device_properties(index)
    return classify(
        properties.name,
        properties.gcnArchName if torch.version.hip else f"sm_{properties.major}{properties.minor}",
        properties.multi_processor_count,
        properties.total_memory / 2**30,
    )


def classify(raw_name: str, arch: str, sm_count: int, mem_gib: float) -> GpuId:
    """Which GPU has these properties.

    A GPU of the table has its architecture and multiprocessors, and its memory within 10 %,
    whatever its name. A part with fewer multiprocessors and no more memory than the GPU that its
    name says, and a MIG slice also with all of them, gets that GPU's slug, the qualifiers in its
    name and `-sm<N>`: `rtx-4090-laptop-sm76`. Anything else is `<vendor>-<arch>-sm<N>-<G>g`, and a
    slice of it has `-mig` after that.

    Args:
        raw_name: as the driver says.
        arch: "sm_90", "gfx942:sramecc+:xnack-", ...; what follows a colon is ignored.
        sm_count: multiprocessors, or AMD's compute units.
        mem_gib: memory in GiB.

    Raises:
        ValueError: no architecture, multiprocessors or memory.
    """
    short_arch = arch.split(":")[0]
    if not short_arch:
        raise ValueError(f"classify: arch must be one such as 'sm_90' or 'gfx942', got {arch!r}")
    if sm_count < 1:
        raise ValueError(f"classify: sm_count must be at least 1, got {sm_count!r}")
    if not 0 < mem_gib < inf:
        raise ValueError(f"classify: mem_gib must be positive and finite, got {mem_gib!r}")
    said, mig = _read(raw_name)
    rows = [gpu for gpu in table() if gpu.arch == short_arch]
    whole = None if mig else _whole(rows, said, sm_count, mem_gib)
    base = whole or _base(rows, said, sm_count + (not mig), mem_gib)
    vendor = {"gfx": "amd", "sm_": "nvidia"}.get(short_arch[:3], "unknown")
    if whole:
        slug = whole.slug
    elif base:
        slug = "-".join([base.slug, *(q for q in QUALIFIERS if q in said), f"sm{sm_count}"])
    else:
        in_files = re.sub(r"[^a-z0-9]", "", short_arch.lower())
        slug = f"{vendor}-{in_files}-sm{sm_count}-{mem_gib:.0f}g{'-mig' if mig else ''}"
    return GpuId(slug, vendor, short_arch, sm_count, mem_gib, mig)


def _read(raw_name: str) -> tuple[set[str], bool]:
    """The words of a name, and whether it is a MIG slice's.

    What follows 'MIG' is the slice's and no word of the GPU: '3g.40gb' is not its memory.
    """
    words = re.findall(r"max-q\b|[^\W_]+", raw_name.lower())
    mig = "mig" in words
    return set(words[: words.index("mig")] if mig else words), mig


def _whole(rows: list[GPU], said: set[str], sm_count: int, mem_gib: float) -> GPU | None:
    """The GPU that has just this; of several the one whose name fits best, then whose memory.

    Of equals the table's first, which is SXM where PCIe has the same.
    """
    fitting = (
        gpu
        for gpu in rows
        if gpu.sm_count == sm_count and abs(gpu.mem_gib - mem_gib) <= MEMORY_TOLERANCE * gpu.mem_gib
    )
    return min(
        fitting,
        key=lambda gpu: (-len(_name(gpu) & said), abs(gpu.mem_gib - mem_gib)),
        default=None,
    )


def _base(rows: list[GPU], said: set[str], min_sms: int, mem_gib: float) -> GPU | None:
    """The GPU that a part is cut from: named, with so many multiprocessors and no less memory."""
    fitting = (
        gpu
        for gpu in rows
        if _is_named(gpu, said)
        and gpu.sm_count >= min_sms
        and mem_gib <= (1 + MEMORY_TOLERANCE) * gpu.mem_gib
    )
    return min(fitting, key=lambda gpu: gpu.mem_gib, default=None)


def _name(gpu: GPU) -> set[str]:
    """The words of a GPU's name."""
    return set(NAMES.get(gpu.slug, gpu.slug).split("-"))


def _is_named(gpu: GPU, said: set[str]) -> bool:
    """Whether all words of a GPU's name are said, as far as drivers say them.

    SXM is 'SXM4' or left out ('NVIDIA H100 80GB HBM3') where PCIe and NVL are said; the memory is
    often left out.
    """
    name = _name(gpu)
    if not said & {"pcie", "nvl"}:
        name -= {"sxm"}
    if not any(map(MEMORY.fullmatch, said)):
        name = {word for word in name if not MEMORY.fullmatch(word)}
    return name <= said


@dataclass(frozen=True)
class DeviceRate:
    """What the analytic block-size rule needs to know of a device."""

    warp_size: int
    bytes_per_clock_sm: float


@cache
def device_rate(device: int) -> DeviceRate:
    """The rate of a GPU that is present, by its own properties (0 where they do not say)."""
    properties = torch.cuda.get_device_properties(device)
    memory_khz = getattr(properties, "memory_clock_rate", 0)
    bus_bits = getattr(properties, "memory_bus_width", 0)
    clock_khz = getattr(properties, "clock_rate", 0)
    if not (memory_khz and bus_bits and clock_khz):
        return DeviceRate(properties.warp_size, 0.0)
    bytes_per_ms = 2 * memory_khz * bus_bits / 8  # two transfers a memory clock
    rate = bytes_per_ms / (clock_khz * properties.multi_processor_count)
    return DeviceRate(properties.warp_size, rate)
