"""Where and with what a study ran."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata

from triton_acts import __version__
from triton_acts.tuning.device import commit, cpu_name

__all__ = ["machine"]


def machine() -> dict[str, str]:
    """Processor, cores, versions, UTC date and, in a git checkout, the commit."""
    versions = {name: _version(name) for name in ("torch", "triton", "numpy", "scikit-learn")}
    return {
        "utc_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processor": cpu_name().rpartition(",")[0],
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "triton_acts": __version__,
        "commit": commit(),
        **versions,
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
