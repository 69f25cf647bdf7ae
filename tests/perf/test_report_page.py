"""report.md and index.html: complete, self-contained, honest about what is predicted."""

import base64
import re

import pytest
from support import fake_records
from support.report_page import TITLES

from perf import blocks, page, report


def test_every_section_is_there(full, paths):
    assert full.texts["h2"] == TITLES
    markdown = paths[0].read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", markdown, re.M) == TITLES


def test_nothing_is_loaded_from_elsewhere(full, paths):
    """All links lead to places in the page, and all images are inside."""
    assert full.links
    for link in full.links:
        assert link.startswith(("#", "data:image/svg+xml;base64,")), link[:80]
    assert {link[1:] for link in full.links if link.startswith("#")} == set(full.ids)
    text = paths[1].read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"@import|url\(", text)


def test_the_charts_load_nothing_either(full):
    for image in full.images:
        chart = base64.b64decode(image["src"].split(",", 1)[1]).decode()
        links = re.findall(r'href="([^"]*)"', chart)
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
        assert "<script" not in chart
        assert image["alt"]


def test_every_chart_of_three_devices_is_there(full):
    captions = full.texts["figcaption"]
    for slug in fake_records.DEVICES:
        assert sum(
            f"{slug}, " in caption and "rate against size" in caption for caption in captions
        )
        assert any(caption.startswith("Share of yardstick") and slug in caption
                   for caption in captions)  # fmt: skip
        assert any(
            caption.startswith("Price over ReLU") and slug in caption for caption in captions
        )
    for slug in ("h200", "mi300x"):
        assert any(c.startswith(f"{slug}: time of every candidate") for c in captions)
    assert len(captions) == len(full.images) == 10


def test_every_provider_has_its_numbers_in_a_table(full):
    """Those of other packages, too: a chart is no table."""
    everyone = {"triton_acts", "eager", "torch.compile", "liger DyT", "fla sigmoid"}
    captions = full.texts["caption"] + full.texts["summary"]
    for what in (
        "Rates in the chart of h200",
        "Share of yardstick",
        "Medians of every provider on",
    ):
        assert any(caption.startswith(what) for caption in captions), what
    found = [table for table in full.tables if everyone <= set(table[0])]
    assert len(found) >= 3
    assert all(table[0].index("triton_acts") < table[0].index("eager") for table in found)
    assert "yardstick" in found[-1][0]


def test_predictions_are_labelled(full):
    captions = full.texts["caption"] + full.texts["summary"] + full.texts["figcaption"]
    where = [text for text in captions if "redicted" in text]
    assert sum("Predicted rate" in text for text in where) == 1
    assert "Machine code, counted" in captions
    assert sum(text.startswith("Predicted and measured on") for text in where) == 2
    assert "2538 (issue)" in full.table("GPU", "kaf, 20 nodes, forward, inner1")[1]
    head, *lines = full.table("measured (ms)")
    assert head[6:] == ["predicted (ms)", "error of the prediction (%)", "predicted bound"]
    assert all(line[8] == "dram" for line in lines)
    for line in lines:
        measured, predicted, error = map(float, line[5:8])
        assert error == pytest.approx(100 * (predicted / measured - 1), abs=0.1)


def test_the_training_table_has_the_price_over_relu(full):
    head, *lines = full.table("model", "relu")
    assert head == ["GPU", "model", "mode", "dtype", "relu", "penalized_tanh", "kaf",
                    "kaf as published"]  # fmt: skip
    (line,) = (line for line in lines if line[:3] == ["h200", "cnn", "eager"])
    assert line[4:] == ["10 ms (1.00 x)", "10.6 ms (1.06 x)", "13.5 ms (1.35 x)", "88 ms (8.80 x)"]
    assert len(lines) == 3 * 4
    memory = [t for t in full.tables if "relu" in t[0]][1]
    assert memory[1][4:6] == ["200 MiB (1.00 x)", "212 MiB (1.06 x)"]


def test_block_sizes_are_a_pivot_by_gpu(full):
    head, *lines = full.table("elements")
    assert head[3:] == ["elements", "mi300x (measured)", "h200 (measured)"]
    assert ["scaled_sigmoid", "forward", "bfloat16", "2^20 to 2^24", *["2048 / 4"] * 2] in lines


def test_maps_that_are_not_drawn_are_named(book, monkeypatch):
    monkeypatch.setattr(blocks, "PANELS", 2)
    found = next(s for s in report.sections(book, []) if s.title == "Block sizes")
    (text,) = (text for text in found.text if text.startswith("Maps of h200 that are not drawn: "))
    assert len(text.split("; ")) == len(blocks.heat(book.trials[book.trials["gpu"] == "h200"])) - 2
    assert "penalized_tanh, forward, bfloat16, 2^24 elements" in text
    for word in ("x4: so many tiles ahead", "'shipped, measured'", "dropped or failed"):
        assert word in found.text[0]


def test_long_tables_are_folded(full):
    folded = [t for t in full.tables if len(t) - 1 > page.LONG]
    assert len(full.texts["details"]) == len(folded) > 0
