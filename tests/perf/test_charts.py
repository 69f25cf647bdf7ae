"""The figures: units on every axis, one colour a provider, nothing cut off or covered."""

import itertools
import re

import pytest
from support import fake_records

from perf import frames, panels, report

mpl = pytest.importorskip("matplotlib")

UNIT = re.compile(r"\((MiB|GB/s|%|ms|ratio|count|elements|us a million elements)\)$")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Every chart of the report by its caption, predictions of KAF's cost among them."""
    book = report.load([fake_records.write(tmp_path_factory.mktemp("records"))])
    single = book.rows[
        (book.rows["gpu"] != "h200") | ~book.rows["what"].str.match("kaf, (8|4|6|1)")
    ]
    book = frames.Book(book.runs, single, book.trials, [])
    with mpl.rc_context(panels.STYLE):
        found = [p for section in report.sections(book, []) for p in section.pictures]
        return {picture.caption: picture.draw() for picture in found}


def test_the_palette_is_fixed():
    """A colour is a promise: who reads two reports knows the provider by it."""
    assert panels.PALETTE == {
        "triton_acts": "#0072B2",
        "triton_acts compiled": "#56B4E9",
        "eager": "#D55E00",
        "torch.compile": "#E69F00",
        "yardstick": "#767676",
        "relu": "#999933",
        "penalized_tanh": "#009E73",
        "kaf": "#CC79A7",
        "kaf as published": "#882255",
        "liger relu^2": "#332288",
        "liger DyT": "#44AA99",
        "fla sigmoid": "#661100",
    }
    everyone = [*panels.PALETTE.values(), *panels.OTHERS]
    assert len(set(everyone)) == len(everyone)


def test_providers_that_are_not_listed_get_colours_of_their_own():
    found = panels.colours(["zeta", "eager", "alpha"])
    assert list(found) == ["eager", "alpha", "zeta"]
    assert found["eager"] == panels.PALETTE["eager"]
    assert found == panels.colours(["alpha", "eager", "zeta"])
    assert len(set(found.values())) == 3


def test_every_axis_has_a_label_with_a_unit(pictures):
    assert len(pictures) == 10
    for caption, figure in pictures.items():
        for ax in figure.axes:
            assert UNIT.search(ax.get_xlabel()), caption
            is_bars = bool(ax.patches)
            assert is_bars or UNIT.search(ax.get_ylabel()), caption
            if is_bars:
                assert all(text.get_text() for text in ax.get_yticklabels())
            assert ax.get_title()


@mpl.rc_context(panels.STYLE)
def test_nothing_is_cut_off_and_no_legend_covers_a_panel(pictures):
    for caption, figure in pictures.items():
        width, height = figure.bbox.width, figure.bbox.height
        boxes = [ax.get_tightbbox() for ax in figure.axes]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        for box in boxes:
            assert box.x0 >= 0, caption
            assert box.y0 >= 0, caption
            assert box.x1 <= width, caption
            assert box.y1 <= height, caption
        for i, box in enumerate(boxes):
            for other in boxes[i + 1 :]:
                assert not box.overlaps(other), caption


def test_figures_are_as_wide_as_a_page_of_800_pixels(pictures):
    assert {figure.get_figwidth() * 96 for figure in pictures.values()} == {768.0}


def test_rates_have_log_sizes_a_band_a_yardstick_and_the_peak(pictures):
    (figure,) = (f for caption, f in pictures.items() if caption.startswith("h200, bfloat16: rate"))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "yardstick: plain copy or add" in labels
    assert labels[-1] == "DRAM peak, 4800 GB/s"
    assert [ax.get_title() for ax in figure.axes[:2]] == [
        "penalized_tanh, forward",
        "penalized_tanh, backward",
    ]
    for ax in figure.axes:
        assert ax.get_xscale() == ax.get_yscale() == "log"
        assert ax.collections  # the bands
        assert 4800 in [line.get_ydata()[0] for line in ax.lines]
    (cpu,) = (f for caption, f in pictures.items() if caption.startswith("cpu, float32: rate"))
    assert not any("peak" in text.get_text() for text in cpu.legends[0].get_texts())


@mpl.rc_context(panels.STYLE)
def test_points_of_a_single_size_stand_side_by_side(pictures):
    """Peers are timed at one size, and were dots on each other."""
    (figure,) = (f for caption, f in pictures.items() if caption.startswith("h200, bfloat16: rate"))
    figure.canvas.draw()
    (ax,) = (ax for ax in figure.axes if ax.get_title() == "scaled_sigmoid, forward")
    single = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert len(single) >= 2
    places = sorted(line.get_transform().transform(line.get_xydata())[0][0] for line in single)
    assert all(right - left > 5 for left, right in itertools.pairwise(places))
    low, high = ax.get_ylim()
    assert all(low < y < high for line in ax.lines for y in line.get_ydata())


def test_a_provider_has_its_colour_in_every_legend(pictures):
    for figure in pictures.values():
        for legend in figure.legends:
            for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
                name = text.get_text().split(":")[0].split(",")[0]
                if handle in marked(legend):  # our ops, told apart by their marks
                    name = "triton_acts"
                if name in panels.PALETTE:
                    bar = hasattr(handle, "get_facecolor")
                    colour = handle.get_facecolor() if bar else handle.get_color()
                    expected = panels.PALETTE[name]
                    assert hex_of(colour) == expected.lower(), name


def marked(legend):
    """Lines that are marks alone."""
    lines = (h for h in legend.legend_handles if hasattr(h, "get_linestyle"))
    return [h for h in lines if h.get_linestyle() == "None"]


def test_bars_and_lines_are_drawn_in_the_colours_of_the_legend(pictures):
    for figure in pictures.values():
        named = {hex_of(c).lower() for c in panels.PALETTE.values()} | {"#000000"}
        legend = {
            hex_of(h.get_facecolor() if hasattr(h, "get_facecolor") else h.get_color())
            for one in figure.legends
            for h in one.legend_handles
        }
        for ax in figure.axes:
            drawn = {hex_of(bar.get_facecolor()) for bar in ax.patches}
            drawn |= {hex_of(line.get_color()) for line in ax.lines} - {"#000000"}
            assert drawn <= legend & named


def hex_of(colour):
    from matplotlib.colors import to_hex

    return to_hex(colour)


def test_what_is_measured_is_not_called_predicted(pictures):
    """And the other way round."""
    (measured,) = (f for c, f in pictures.items() if c.startswith("KAF's"))
    assert all("predicted" not in ax.get_ylabel() for ax in measured.axes)
    (errors,) = (f for c, f in pictures.items() if c.startswith("Predicted against"))
    assert all(ax.get_ylabel() == "predicted time (ms)" for ax in errors.axes)


def test_bars_are_labelled_with_their_values(pictures):
    (figure,) = (f for c, f in pictures.items() if c.startswith("Price over ReLU"))
    for ax in figure.axes:
        widths = [f"{bar.get_width():.3g}" for bar in ax.patches]
        assert [text.get_text() for text in ax.texts] == widths


def test_a_heat_map_says_each_ratio(pictures):
    figure = next(f for c, f in pictures.items() if "every candidate" in c)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts.count("1.00") == 1
    assert len(texts) == 19  # of 20 candidates one spills


def test_the_same_frames_make_the_same_file(pictures):
    figure = next(iter(pictures.values()))
    first, second = (panels.svg(lambda: figure) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")
