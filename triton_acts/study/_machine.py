"""Where and with what the cells of a study ran."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata

from triton_acts import __version__
from triton_acts.tuning.device import commit, cpu_name

__all__ = ["machine", "machines"]


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


def machines(all_: Sequence[dict[str, str]]) -> dict[str, str]:
    """Those of several cells as one: where they differ all values, of the times the two ends."""
    found = {}
    for name in dict.fromkeys(key for one in all_ for key in one):
        values = sorted({one.get(name, "unknown") for one in all_})
        ends = values if name != "utc_time" else dict.fromkeys((values[0], values[-1]))
        found[name] = (" to " if name == "utc_time" else " and ").join(ends)
    return found


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
