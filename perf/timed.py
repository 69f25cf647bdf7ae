"""What one row of the records says about time."""

from __future__ import annotations

from dataclasses import dataclass

from triton_acts.tuning.records import Row

__all__ = ["Timed", "timed"]


@dataclass(frozen=True)
class Timed:
    """Percentiles of a call's time in ms, and how many samples they are of; 0 where unknown."""

    p20: float
    p50: float
    p80: float
    samples: int = 0


def timed(row: Row) -> Timed | None:
    """The row's time; None where it was not measured, was not "ok", or cannot be a time."""
    p20, p50, p80 = (row[name] for name in ("ms_p20", "ms_p50", "ms_p80"))
    if not (isinstance(p20, float) and isinstance(p50, float) and isinstance(p80, float)):
        return None
    sound = 0 < p20 <= p50 <= p80 < float("inf")
    status, samples = str(row["status"]), row["samples"]
    count = samples if isinstance(samples, int) else 0
    return Timed(p20, p50, p80, count) if sound and (status + ":").startswith("ok:") else None
