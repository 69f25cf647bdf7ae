"""`python -m support.study_page`: what the committed study shows, for docs/choosing.md."""

import re
from pathlib import Path

from support import readme
from triton_acts.study import Study

DOCS = Path(__file__).parents[2] / "docs"
PAGE, FOLDER = DOCS / "choosing.md", DOCS / "study"
KINDS = {  # of tasks, by a pattern of their names
    "small CNNs (digits, defects)": "(digits|defects).*",
    "small tables": "tabular.*",
    "33 plain layers, Xavier's initialisation": "33 layers, plain Xavier",
    "33 plain layers, initialisation chosen": "33 layers",
    "an LSTM's gates and cell": "sequences",
}
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
    when = (
        "So, on these tasks, within [the report's limits](study/study.md#limits); where nothing is "
        "said, no difference from the baseline was shown:"
    )
    shown = [table(report, caption) for caption in TABLES]
    return "\n\n".join([intro, when, which_when(about), *shown])


def which_when(study):
    """A row a kind of task: who was better than its baseline and never worse, who was worse."""
    verdicts = study.verdicts().dropna(subset=["difference"])
    lines = ["| on | compared with | better at least once, worse never | worse at least once |"]
    lines.append("|---|---|---|---|")
    for kind, pattern in KINDS.items():
        rows = verdicts[verdicts["task"].str.fullmatch(pattern)]
        (base,) = {study.protocol["tasks"][task]["baseline"] for task in rows["task"]}
        by = rows.groupby("variant", sort=False)["verdict"].agg(set)
        worse = [v for v, found in by.items() if "worse" in found]
        better = [v for v, found in by.items() if "better" in found and v not in worse]
        lines.append(f"| {kind} | {base} | {_names(better)} | {_names(worse)} |")
    return "\n".join(lines)


def _names(variants):
    return "; ".join(variants) or "none"


def table(report, caption):
    """A table of a report with its caption."""
    (found,) = re.findall(rf"^\*\*{caption}[^\n]*\*\*\n\n(?:\|[^\n]*\n)+", report, re.MULTILINE)
    return found.rstrip()


if __name__ == "__main__":
    readme.replace_section(PAGE, "study", f"{section()}\n")
