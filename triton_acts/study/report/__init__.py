"""The report of a study: tables, pictures, verdicts and a decision sheet."""

from __future__ import annotations

from pathlib import Path

from triton_acts.study._packages import need
from triton_acts.study._study import Study
from triton_acts.tuning.writing import write_text

from ._claims import claims_section
from ._curves import training_section
from ._decision import decision_sheet
from ._document import Document, Picture
from ._families import also_section, norm_section
from ._html import as_html
from ._markdown import FIGURES, as_markdown
from ._method import choices_section, dropped_section, limits_section, protocol_section
from ._panels import png
from ._verdicts import verdict_section
from ._view import views

__all__ = ["PACKAGES", "document", "write_report"]

PACKAGES = ("matplotlib", "pandas", "scipy")


def write_report(study: Study, folder: Path) -> list[Path]:
    """Writes `study.md` and `study.html` with their pictures, and returns the files.

    Both say the same; the HTML file has its pictures inside, the other in `figures/`. What a study
    has no data for is left out.

    Args:
        study: what was found.
        folder: made if missing.

    Raises:
        ImportError: matplotlib, pandas or SciPy is missing.
    """
    need("the report of a study", *PACKAGES)
    found = document(study)
    drawn = {
        block.name: png(block.draw)
        for section in found.sections
        for block in section.blocks
        if isinstance(block, Picture)
    }
    figures = folder / FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    files = [folder / "study.md", folder / "study.html"]
    write_text(files[0], as_markdown(found))
    write_text(files[1], as_html(found, drawn))
    for old in figures.glob("[0-9][0-9]-*.png"):  # of tasks that are not in the study any more
        if old.stem not in drawn:
            old.unlink()
    for name, content in drawn.items():
        files.append(figures / f"{name}.png")
        files[-1].write_bytes(content)
    return files


def document(study: Study) -> Document:
    """What the report says."""
    main = views(study)
    sections = [
        decision_sheet(study, main),
        verdict_section(main),
        training_section(study, main),
        claims_section(study),
        also_section(study, main),
        norm_section(study, main),
        choices_section(study, main),
        protocol_section(study),
        dropped_section(study),
        limits_section(study),
    ]
    names = [*study.protocol["tasks"]]
    title = "Study of activations" + (f": {names[0]}" if len(names) == 1 else "")
    return Document(title, [section for section in sections if section.blocks])
