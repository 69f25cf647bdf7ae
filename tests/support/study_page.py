"""`python -m support.study_page`: what the committed study shows, for docs/choosing.md."""

import re
from pathlib import Path

from support import readme
from triton_acts.study import Study

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "choosing.md", DOCS / "study"
TABLES = ("All tasks: ", "All activations: ", "Claims")


def section():
    """Where the study ran, and three tables of its report."""
    about = Study.read(FOLDER)
    machine, seeds = about.machine, len(about.protocol["seeds"])
    report = (FOLDER / "study.md").read_text(encoding="utf-8")
    intro = (
        f"`make study` on {machine['processor']}, {machine['cores']} cores, torch "
        f"{machine['torch']}, {machine['utc_time'][:10]}: {len(about.protocol['tasks'])} tasks, "
        f"{seeds} seeds each. [The whole report](study/study.md) has the intervals, the costs, the "
        f"training curves, the choices and the limits."
    )
    return "\n\n".join([intro, *(table(report, caption) for caption in TABLES)])


def table(report, caption):
    """A table of a report with its caption."""
    (found,) = re.findall(rf"^\*\*{caption}[^\n]*\*\*\n\n(?:\|[^\n]*\n)+", report, re.MULTILINE)
    return found.rstrip()


if __name__ == "__main__":
    readme.replace_section(PAGE, "study", f"{section()}\n")
