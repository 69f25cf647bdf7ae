"""The study in docs/study: its report says what its records say, and names its machine."""

import io

import numpy
import pytest
from PIL import Image
from support import study_page

from triton_acts.study import Study
from triton_acts.study.report import _panels, document
from triton_acts.study.report._document import Picture
from triton_acts.study.report._markdown import as_markdown

FOLDER = study_page.FOLDER


@pytest.fixture(scope="module")
def study():
    return Study.read(FOLDER)


def test_the_report_is_that_of_the_records(study):
    assert (FOLDER / "study.md").read_text(encoding="utf-8") == as_markdown(document(study))


def test_verdicts_agree_with_their_intervals(study):
    found = study.verdicts().dropna(subset=["difference"])
    assert len(found) > 100
    for row in found.to_dict("records"):
        sign = 1 if study.higher_is_better(row["task"]) else -1
        low, high = sorted((sign * row["difference_low"], sign * row["difference_high"]))
        says = "better" if low > 0 else "worse" if high < 0 else "no difference shown"
        assert row["verdict"] == says, row


def test_every_seed_and_activation_is_there_or_listed_as_dropped(study):
    for task, about in study.protocol["tasks"].items():
        dropped = {variant for name, variant in study.dropped if name == task}
        runs = study.runs[study.runs["task"] == task]
        assert {*runs["variant"]} | dropped == {*about["variants"]}
        assert not {*runs["variant"]} & dropped
        counts = runs.groupby("variant")["seed"].agg(list)
        assert all(seeds == study.protocol["seeds"] for seeds in counts)


def test_the_machine_is_named(study):
    text = (FOLDER / "study.md").read_text(encoding="utf-8")
    for what in ("processor", "cores", "torch", "utc_time", "commit"):
        assert study.machine[what]
        assert study.machine[what] in text
    assert "dirty" not in study.machine["commit"]


def test_the_page_shows_the_study():
    text = study_page.PAGE.read_text(encoding="utf-8")
    assert f"<!-- study -->\n\n{study_page.section()}\n\n<!-- /study -->" in text


def test_few_colours_leave_pale_areas_as_they_are(study, monkeypatch):
    """The baseline's grey band is not to become the green of another activation."""
    exact, quantize = [], Image.Image.quantize

    def remembering(image, *args, **options):
        exact.append(numpy.asarray(image, int))
        return quantize(image, *args, **options)

    monkeypatch.setattr(Image.Image, "quantize", remembering)
    blocks = [block for section in document(study).sections for block in section.blocks]
    pictures = {block.name: block for block in blocks if isinstance(block, Picture)}
    drawn = _panels.png(pictures["04-defects-100-of-the-data-training"].draw)
    away = numpy.abs(numpy.asarray(Image.open(io.BytesIO(drawn)).convert("RGB"), int) - exact[0])
    assert (away.max(-1) > 8).mean() < 0.02
