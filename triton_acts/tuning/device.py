"""The device at hand, and what a run is recorded with."""

from __future__ import annotations

import platform
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from triton_acts import _triton, gpus
from triton_acts._version import __version__
from triton_acts.gpus import GPU

from .records import Row

__all__ = ["Device", "checkout", "cpu_name", "describe", "here"]

MIN_FLUSH_BYTES = 512 * 2**20  # outlasts the host's part of a call, see `CudaClock`


@dataclass(frozen=True)
class Device:
    """A device to measure on.

    Attributes:
        torch: the device for torch.
        slug: its short name in files.
        name: its raw name.
        gpu: its row in the constants table, or None for a part or one that is not in it.
        flush_bytes: bytes that are read before each call to empty its caches; 0 on a CPU.
    """

    torch: torch.device
    slug: str
    name: str
    gpu: GPU | None
    flush_bytes: int

    @property
    def kind(self) -> str:
        """Either "cpu" or "gpu"."""
        return "cpu" if self.torch.type == "cpu" else "gpu"


def here() -> Device:
    """The current GPU, or the CPU where there is none."""
    if not torch.cuda.is_available():
        return Device(torch.device("cpu"), "cpu", cpu_name(), None, 0)
    index = torch.cuda.current_device()
    properties = torch.cuda.get_device_properties(index)
    slug = gpus.identify(index).slug
    gpu = gpus.constants(slug)
    cache = int(gpu.llc_mib * 2**20) if gpu else int(getattr(properties, "L2_cache_size", 0))
    flush_bytes = max(MIN_FLUSH_BYTES, 2 * cache)
    return Device(torch.device("cuda", index), slug, properties.name, gpu, flush_bytes)


def describe(device: Device, canary_gbps: float, seed: int, argv: list[str]) -> Row:
    """The row of `runs.csv` for a run that starts now."""
    driver, sm_clock, memory_clock, power = _nvidia_smi(device)
    now = time.gmtime()
    return {
        "run_id": f"{time.strftime('%Y%m%dT%H%M%SZ', now)}-{device.slug}-{secrets.token_hex(3)}",
        "utc_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        "commit": commit(),
        "triton_acts": __version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "triton": str(_triton.triton.__version__) if _triton.INSTALLED else "",
        "cuda": str(torch.version.hip or torch.version.cuda or ""),
        "driver": driver,
        "gpu_slug": device.slug,
        "gpu_name": device.name,
        "sm_clock_mhz": sm_clock,
        "memory_clock_mhz": memory_clock,
        "power_limit_w": power,
        "canary_gbps": canary_gbps,
        "flush_bytes": device.flush_bytes,
        "seed": seed,
        "argv": " ".join(argv),
    }


def checkout() -> Path | None:
    """The folder of the source checkout that runs; None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "perf").is_dir() else None


def commit() -> str:
    """The git commit of this checkout, with " dirty" where files differ; "" outside git."""
    root = checkout()
    if root is None:
        return ""
    head = _output("git", "-C", str(root), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(root), "status", "--porcelain", "--", ".", ":!perf/records")
    return f"{head}{' dirty' if changed else ''}" if head else ""


def _nvidia_smi(device: Device) -> tuple[str, float | None, float | None, float | None]:
    """Driver, clocks under load in MHz and power limit in W; unknown where the tool is missing."""
    if device.kind == "cpu" or torch.version.hip:
        return "", None, None, None
    uuid = getattr(torch.cuda.get_device_properties(device.torch), "uuid", None)
    select = ["-i", f"GPU-{uuid}"] if uuid else []
    query = "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit"
    line = _output("nvidia-smi", *select, query, "--format=csv,noheader,nounits")
    fields = [part.strip() for part in line.splitlines()[0].split(",")] if line else []
    if len(fields) != 4:
        return "", None, None, None
    return fields[0], _number(fields[1]), _number(fields[2]), _number(fields[3])


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def cpu_name() -> str:
    """The processor, and how many threads PyTorch has."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.processor() or platform.machine()
    return f"{model}, {torch.get_num_threads()} threads"


def _output(*command: str) -> str:
    """What a command prints; "" if it is missing, fails or hangs."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except subprocess.TimeoutExpired:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""
