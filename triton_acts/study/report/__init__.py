"""The report of a study: tables, pictures, verdicts and a decision sheet."""

from __future__ import annotations

from pathlib import Path

from triton_acts.study._study import Study

__all__ = ["write_report"]


def write_report(study: Study, folder: Path) -> list[Path]:
    """Writes `study.md` and `study.html` with their pictures, and returns the files."""
    raise NotImplementedError
