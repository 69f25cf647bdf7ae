"""Pictures of KAF layers: what they show, and that they can be read."""

import sys

import matplotlib as mpl
import pytest
import torch
from matplotlib.figure import Figure
from support.kaf_models import Net, batch

import triton_acts as ta
from triton_acts import kaf_tools


def panels(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def titles(figure):
    return [ax.get_title() for ax in panels(figure)]


def labels(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def curve(ax, label):
    (line,) = (line for line in ax.lines if line.get_label() == label)
    return line.get_data()


def bars(ax):
    return [patch for patch in ax.patches if patch.get_label() == "inputs"]


def test_each_channel_has_its_shape():
    kaf = ta.KAF(6, init=torch.tanh, grid=(-1, 5), channel_dim=-1)
    with torch.no_grad():
        kaf.alpha += 0.2 * torch.randn(6, 20)
    figure = kaf_tools.plot(kaf)
    assert isinstance(figure, Figure)
    assert titles(figure) == [f"channel {i}" for i in range(6)]
    assert labels(figure) == ["grid", "initial shape", "learned shape"]
    fresh = ta.KAF(1, init=torch.tanh, grid=(-1, 5))
    for channel, ax in enumerate(panels(figure)):
        x, y = map(torch.as_tensor, curve(ax, "learned shape"))
        assert (x[0] < -1.5) & (x[-1] > 5.5)
        expected = kaf(x[:, None].expand(-1, 6).float())[:, channel]
        torch.testing.assert_close(y.float(), expected.detach(), rtol=0, atol=1e-4)
        x, y = map(torch.as_tensor, curve(ax, "initial shape"))
        torch.testing.assert_close(y.float(), fresh(x.float()).detach(), rtol=0, atol=1e-4)
    assert "6 channels; 20 nodes from -1 to 5" in figure.get_suptitle()


def test_many_channels_are_summed_up_and_named():
    kaf = ta.KAF(40, init=torch.tanh)
    with torch.no_grad():
        kaf.alpha += torch.linspace(-1, 1, 40)[:, None] ** 3
    figure = kaf_tools.plot(kaf, max_panels=7)
    assert titles(figure)[0] == "all 40 channels"
    shown = [int(title.removeprefix("channel ")) for title in titles(figure)[1:]]
    assert len(set(shown)) == 6
    away = [abs(channel - 19.5) for channel in shown]  # from the mean shape
    assert away == sorted(away)
    assert away[0] == 0.5
    assert away[-1] == 19.5
    assert "40 channels, 6 shown" in figure.get_suptitle()
    band = panels(figure)[0]
    assert {"5 to 95 %", "median"} < set(labels(figure))
    assert len(curve(band, "median")[1])
    assert titles(kaf_tools.plot(ta.KAF(12)))[0] == "channel 0"
    assert len(titles(kaf_tools.plot(ta.KAF(13)))) == 12


def test_histograms_are_those_of_the_channel():
    x = torch.cat((torch.full((50, 1), -2.0), torch.full((50, 1), 1.0)), 1)
    x[0] = 9.0  # beyond the picture
    figure = kaf_tools.plot(ta.KAF(2), x)
    centres = []
    for ax in panels(figure):
        heights, edges, _ = bars(ax)[0].get_data()
        assert max(heights) == pytest.approx(0.33)
        (filled,) = heights.nonzero()[0]
        centres.append((edges[filled] + edges[filled + 1]) / 2)
    assert centres == pytest.approx([-2, 1], abs=0.12)
    assert "2.0% of inputs outside" in figure.get_suptitle()
    assert "initial shape" not in labels(figure)  # nobody knows it
    assert not bars(panels(kaf_tools.plot(ta.KAF(2)))[0])


def test_one_shape_for_all():
    figure = kaf_tools.plot(ta.KAF(1), torch.randn(4, 7, 3))
    assert titles(figure) == ["all channels"]
    assert "one shape for all channels" in figure.get_suptitle()


def test_inputs_from_within_a_model():
    model, x = Net().eval(), batch()
    figure = kaf_tools.plot(model.first, x, model=model)
    assert all(bars(ax) for ax in panels(figure))
    share = kaf_tools.coverage(model, x)["first"]
    assert f"{share:.1%} of inputs outside" in figure.get_suptitle()
    idle = kaf_tools.plot(model.idle, x, model=model)
    assert "outside" not in idle.get_suptitle()
    with pytest.raises(ValueError, match="the layer is no part of the Net given as model"):
        kaf_tools.plot(ta.KAF(3), x, model=model)
    with pytest.raises(ValueError, match="model is only of use with batch"):
        kaf_tools.plot(model.first, model=model)


@pytest.mark.parametrize(
    "kaf", [ta.KAF(64, 256, init=torch.tanh), ta.KAF(3, 2, init="identity"), ta.KAF(1)]
)
def test_legible_at_800_pixels(kaf):
    """Nothing is cut off, no texts overlap, and letters are at least 11 pixels high."""
    x = torch.randn(30, kaf.alpha.shape[0])
    figure = kaf_tools.plot(kaf, x)
    width, height = figure.canvas.get_width_height()
    assert width == 800
    assert 250 < height < 700
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer() if hasattr(figure.canvas, "get_renderer") else None
    found = [figure.legends[0], figure._suptitle, figure._supxlabel, figure._supylabel]
    for ax in panels(figure):
        lo, hi = ax.get_xlim()
        ticks = [t for t in ax.get_xticklabels() if lo <= t.get_position()[0] <= hi]
        found += [ax.title, *(t for t in ticks if t.get_visible())]
    boxes = [(text, text.get_window_extent(renderer)) for text in found]
    boxes = [(text, box) for text, box in boxes if box.width]
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.y0 >= 0, text
        assert box.x1 <= width, text
        assert box.y1 <= height, text
        if isinstance(text, mpl.text.Text):
            assert text.get_fontsize() * figure.dpi / 72 >= 11
    fixed = [box for _, box in boxes[: 4 + 1]]
    for i, one in enumerate(fixed):
        assert not any(one.overlaps(other) for other in fixed[i + 1 :])


def test_no_state_of_pyplot_and_none_of_matplotlib(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it raises
    before = mpl.rcParams.copy()
    kaf_tools.plot(ta.KAF(20), torch.randn(9, 20)).savefig(tmp_path / "kaf.png")
    assert mpl.rcParams.copy() == before
    assert (tmp_path / "kaf.png").stat().st_size > 10_000


def test_wrong_pictures():
    with pytest.raises(TypeError, match="plot: kaf must be a KAF layer, got Net"):
        kaf_tools.plot(Net())
    with pytest.raises(ValueError, match="max_panels must be at least 2, got 1"):
        kaf_tools.plot(ta.KAF(2), max_panels=1)
    with pytest.raises(TypeError, match=r"max_panels must be an int, got 4\.0"):
        kaf_tools.plot(ta.KAF(2), max_panels=4.0)
