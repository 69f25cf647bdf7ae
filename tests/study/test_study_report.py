"""The report: both formats say what the intervals say, whatever names or gaps there are."""

import html
import math
import re
import sys

import pytest
from support.study_frames import study

from triton_acts.study.report import _panels, document, write_report
from triton_acts.study.report._document import Cell, Facts, Picture, Table
from triton_acts.study.report._html import as_html
from triton_acts.study.report._markdown import as_markdown
from triton_acts.study.report._words import number, steps

BASE = [0.50, 0.51, 0.49, 0.50]
UP = [x + d for x, d in zip(BASE, [0.2, 0.21, 0.19, 0.2], strict=True)]
DOWN = [x - d for x, d in zip(BASE, [0.2, 0.21, 0.19, 0.2], strict=True)]
SAME = [0.49, 0.52, 0.48, 0.51]
RUNS = {"relu": BASE, "up": UP, "down": DOWN, "same": SAME}
HOSTILE = "<script>x</script>|`b` $y$ [a](javascript:z) _u_ &lt; 'q\" *s*\n# h"


class NoPictures(dict):
    def __missing__(self, name):
        return b""


def texts(found):
    """The document in both formats, without drawing anything."""
    return as_markdown(found), as_html(found, NoPictures())


def markdown_rows(text):
    """Cells of the tables' rows, as a reader sees them."""
    for line in text.splitlines():
        if line.startswith("| "):
            cells = re.split(r"(?<!\\) \| ", line[2:-2])
            yield [html.unescape(re.sub(r"\\(.)", r"\1", c)).strip() for c in cells]


def html_rows(text):
    for line in re.findall("<tr>(.*?)</tr>", text, re.DOTALL):
        cells = re.findall("<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)
        yield [re.sub(r"\s", " ", html.unescape(cell)).strip() for cell in cells]


def parsed(interval):
    text = interval.replace("\N{MINUS SIGN}", "-")
    return [float(x) for x in re.findall(r"[-+]?[\d.]+", text)]


@pytest.mark.parametrize("higher", [True, False])
def test_verdicts_agree_with_their_intervals_in_both_formats(higher):
    metric = "accuracy" if higher else "rmse"
    found = document(study({"mine": RUNS}, metric=metric, higher_is_better=higher))
    seen = []
    for rows in map(list, (markdown_rows(texts(found)[0]), html_rows(texts(found)[1]))):
        start = next(i for i, row in enumerate(rows) if "detectable" in row)
        table = rows[start + 1 : start + 5 + (rows[start + 1][0] == "---")]
        verdicts = {}
        for row in table:
            if "[" not in row[3]:
                continue
            middle, low, high = parsed(row[3])
            assert low <= middle <= high
            right = "no difference shown"
            if low > 0 or high < 0:
                right = "better" if (middle > 0) == higher else "worse"
            assert row[4].lstrip("▲▼ ") == right
            verdicts[row[0]] = row[4]
        seen.append(verdicts)
    assert seen[0] == seen[1]
    good, bad = ("up", "down") if higher else ("down", "up")
    assert seen[0] == {good: "▲ better", bad: "▼ worse", "same": "no difference shown"}


def test_both_formats_have_the_same_cells():
    made = study({"mine": RUNS, "other": RUNS}, also={"miss rate": False}, dropped=[("mine", "x")])
    markdown, page = texts(document(made))
    assert [r for r in markdown_rows(markdown) if r[0] != "---"] == [*html_rows(page)]


def sheet(made):
    """The decision sheet's boxes, by task."""
    section = document(made).sections[0]
    assert section.title == "Decision sheet"
    return {block.title: dict(block.rows) for block in section.blocks if isinstance(block, Facts)}


def test_decision_sheet_names_gain_cost_and_risk():
    other = {"relu": BASE, "up": DOWN}
    box = sheet(study({"mine": RUNS, "other": other}, curves=False))["mine"]
    assert box["What changed"].startswith("relu is replaced by up")
    assert "up is better" in box["Gain"]
    assert "percentage points" in box["Gain"]
    assert {"training", "inference", "memory", "parameters"} <= set(
        re.findall("[a-z]+", box["Cost"])
    )
    assert "worse on other" in box["Risk"]
    assert "Worse than the baseline here: down" in box["Risk"]
    assert "Over learning rates 0.01 to 0.1" in box["Risk"]
    assert "Only 4 seeds" in box["Risk"]
    assert "the largest learning rate" not in box["Risk"]
    assert "at least 8 seeds" in box["Next step"]


def test_cost_is_told_for_each_point():
    made = study({"mine": RUNS}, curves=False)
    made.runs.loc[made.runs["variant"] == "up", "epoch_s"] = 2.5
    cost = sheet(made)["mine"]["Cost"]
    assert "training 2.5 instead of 0.5 s an epoch (5 times), 0.1 for each percentage" in cost
    assert "inference 20 instead of 20 us an example (1 times);" in cost  # nothing a point


def test_nothing_is_called_better_where_nothing_is():
    made = study({"mine": {"relu": BASE, "same": SAME}}, curves=False)
    box = sheet(made)["mine"]
    assert box["Gain"].startswith("Nothing is better than relu")
    assert "would have been missed" in box["Gain"]
    assert "Cost" not in box
    assert box["Next step"].startswith("Keep relu")
    tones = [
        cell.tone
        for section in document(made).sections
        for block in section.blocks
        if isinstance(block, Table)
        for row in block.rows
        for cell in row
        if isinstance(cell, Cell)
    ]
    assert not {"better", "worse"} & {*tones}


def test_hostile_names_are_text(tmp_path, monkeypatch):
    monkeypatch.setattr(_panels, "_DPI", 20)
    task = {HOSTILE: BASE, "_hidden": UP, "$\\frac{": DOWN, "名前 🙂 " * 9: SAME}
    made = study({HOSTILE: task, HOSTILE + "!": task}, about=HOSTILE)
    files = write_report(made, tmp_path)
    markdown, page = (file.read_text(encoding="utf-8") for file in files[:2])
    assert "<script" not in markdown + page
    assert not re.search(r"(?<!\\)\]\(javascript", markdown)
    for line in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in line.splitlines()}
        assert len(widths) == 1, line
    assert not re.search("^# h", markdown, re.MULTILINE)
    shown = {" ".join(row[0].split()) for row in html_rows(page)}
    assert " ".join(HOSTILE.split()) in shown
    pictures = re.findall(r"!\[.*\]\((figures/[a-z0-9-]+\.png)\)", markdown)
    assert len(pictures) == len(set(pictures)) == 6  # both tasks have files of their own
    assert {tmp_path / name for name in pictures} == {*files[2:]}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files[2:])
    assert page.count("data:image/png;base64,") == 6
    assert not re.search('(src|href)="(?!data:|#)', page)


def test_a_table_says_what_training_left_behind():
    made = study({"mine": {"relu": BASE}})
    made.curves.loc[made.curves["epoch"] == 2, ["weight_norm", "saturation"]] = 6.0, 0.5
    section = next(s for s in document(made).sections if s.title == "Training")
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    assert table.rows == [["relu", "4", "6", "2", "50", "0", "0", "0.2"]]


def titles(made):
    return [section.title for section in document(made).sections]


def test_sections_without_data_are_left_out():
    short = ["Decision sheet", "Verdicts", "Choices", "Protocol and machine", "Limits"]
    made = study({"mine": RUNS}, curves=False)
    assert titles(made) == short
    assert document(made).title == "Study of activations: mine"
    assert "Training" in titles(study({"mine": RUNS}))
    assert "Further metrics" in titles(study({"mine": RUNS}, also={"miss rate": False}))
    assert "Dropped for time" in titles(study({"mine": RUNS}, dropped=[("mine", "tanh")]))
    norms = {"digits, batch norm before": RUNS, "digits, batch norm after": RUNS}
    assert "Batch norm" in titles(study(norms, curves=False))
    assert "Batch norm" not in titles(study({"digits": RUNS}, curves=False))


def test_nothing_was_run():
    made = study({}, dropped=[("mine", "relu"), ("mine", "tanh")])
    markdown, _ = texts(document(made))
    assert "mine: relu and tanh" in markdown
    assert "## Verdicts" not in markdown


def test_without_the_baseline_nothing_is_compared():
    made = study({"mine": RUNS}, baseline="tanh")
    assert "Not tested: the baseline tanh was not run" in sheet(made)["mine"]["Gain"]
    rows = [row for row in markdown_rows(texts(document(made))[0]) if row[0] == "up"]
    assert rows[0][3:6] == ["", "not compared", ""]


def test_numbers_that_are_none_are_words():
    made = study({"mine": RUNS})
    made.runs.loc[made.runs["variant"] == "up", ["inference_us", "epoch_s"]] = math.nan
    made.runs.loc[made.runs["variant"] == "down", "epoch_s"] = math.inf
    made.curves.loc[made.curves["variant"] == "same", "validation"] = 0.0
    made.choices["options"] = math.nan  # as read from a file
    markdown, page = texts(document(made))
    assert not re.search(r"\b(nan|inf)\b", markdown + page, re.IGNORECASE)
    rows = {row[0]: row for row in markdown_rows(markdown) if len(row) == 12}
    assert rows["same"][6] == "not reached"
    assert rows["up"][8] == "no value"
    assert rows["down"][8] == "infinite"
    assert steps(None) == "no target"
    assert number(-1234567.0) == "\N{MINUS SIGN}1,234,567"


def test_a_baseline_that_learns_nothing_sets_no_target():
    made = study({"mine": RUNS})
    made.curves.loc[made.curves["variant"] == "relu", "validation"] = 0.1
    made.runs.loc[made.runs["variant"] == "relu", "validation"] = 0.1
    made.curves.loc[made.curves["epoch"] == 0, "validation"] = 0.1
    rows = [row for row in markdown_rows(texts(document(made))[0]) if len(row) == 12]
    assert {row[6] for row in rows[2:]} == {"no target"}
    box = sheet(made)["mine"]
    assert "relu learns nothing here" in box["Risk"]
    assert "gained" not in box["Cost"]
    assert "learns nothing" not in sheet(study({"mine": RUNS}))["mine"]["Risk"]


def test_choices_at_the_edge_are_marked():
    made = study({"mine": RUNS}, curves=False)
    made.protocol["tasks"]["mine"]["variants"] |= {
        "up": ["a=0.25", "a=0.1", "a=0.5"],
        "down": ["init=tanh, num_nodes=5", "init=tanh, num_nodes=10"],
    }
    made.choices.loc[made.choices["variant"] == "up", "options"] = "a=0.5"
    made.choices.loc[made.choices["variant"] == "down", "options"] = "init=tanh, num_nodes=10"
    made.choices.loc[made.choices["variant"] == "same", "learning_rate"] = 0.1
    section = next(s for s in document(made).sections if s.title == "Choices")
    marks = {row[0]: row[-1].text for row in section.blocks[1].rows}
    assert marks == {"relu": "", "up": "largest a of 3", "down": "", "same": "largest rate of 3"}
    risk = sheet(made)["mine"]["Risk"]
    assert "1 of 4 activations chose the smallest or the largest learning rate" in risk
    made.choices["learning_rate"] = 0.01
    assert "4 of 4 activations" in sheet(made)["mine"]["Risk"]
    assert "tried, relu among them" in sheet(made)["mine"]["Risk"]


def test_learning_curves_over_the_share_of_the_data(monkeypatch):
    monkeypatch.setattr(_panels, "_DPI", 20)
    shares = {f"defects, {n} % of the data": RUNS for n in (100, 30, 10)}
    made = study({"digits": RUNS} | shares, curves=False, also={"miss rate": False})
    section = next(s for s in document(made).sections if s.title == "Further metrics")
    (picture,) = [block for block in section.blocks if isinstance(block, Picture)]
    figure = picture.draw()
    labels = [ax.get_ylabel() for ax in figure.axes]
    assert [text for text in labels if text] == ["accuracy (%)", "miss rate (%)"]
    assert [text.get_text() for text in figure.axes[-1].get_xticklabels()] == ["10", "30", "100"]


def test_batch_norm_after_is_compared_with_before():
    names = ("digits, batch norm before", "digits, batch norm after")
    tests = {names[0]: {"relu": BASE, "tanh": DOWN}, names[1]: {"relu": SAME, "tanh": UP}}
    section = next(
        s for s in document(study(tests, curves=False)).sections if s.title == "Batch norm"
    )
    rows = {row[0]: row for row in section.blocks[1].rows}
    assert rows["tanh"][-1].tone == "better"
    assert rows["relu"][-1].text == "no difference shown"


def test_at_most_three_lines_and_the_baseline_are_coloured():
    names = ["relu", "tanh", "scaled sigmoid", "kaf", "kaf from elu", "kaf from tanh", "kaf 4"]
    found = _panels.groups(names, "relu")
    assert [title for title, _ in found] == ["scaled sigmoid", "kaf", "kaf"]
    assert all(len(lines) <= 3 for _, lines in found)
    assert len({line.colour for _, lines in found for line in lines}) == 5
    assert _panels.groups(["relu", "tanh"], "relu")[0][1][0].variant == "tanh"


def test_a_missing_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"matplotlib.*triton_acts\[study\]"):
        write_report(study({"mine": RUNS}), tmp_path / "out")
    assert not (tmp_path / "out").exists()
