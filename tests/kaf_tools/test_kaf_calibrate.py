"""Grids from data."""

import math

import pytest
import torch
from support.kaf_models import Net, batch, snapshot, unchanged

import triton_acts as ta
from triton_acts import kaf_tools


def exact(kaf, x):
    """A layer's output in float64."""
    d = kaf.dictionary
    dim = kaf.channel_dim
    return ta.kaf(x.double(), kaf.alpha.double(), grid=(d.lo, d.hi), gamma=d.gamma, channel_dim=dim)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("channels", [1, 5])
def test_range_and_function(channels, dtype):
    kaf = ta.KAF(channels, init=torch.tanh, dtype=dtype, channel_dim=-1)
    x = (2 + torch.rand(400, 5)).to(dtype)  # only from 2 to 3
    old, alpha = exact(kaf, x), kaf.alpha
    found = kaf_tools.calibrate(kaf, x)[""]
    assert kaf.alpha is alpha
    assert kaf.dictionary.lo == pytest.approx(1.9, abs=0.01)
    assert kaf.dictionary.hi == pytest.approx(3.1, abs=0.01)
    assert found.old_range == (-3, 3)
    assert found.new_range == (kaf.dictionary.lo, kaf.dictionary.hi) == tuple(kaf.grid.tolist())
    assert (found.old_gamma, found.new_gamma) == (ta.KAF(1).dictionary.gamma, kaf.gamma.item())
    assert kaf.gamma.item() * kaf.dictionary.delta**2 == pytest.approx(1 / 6, rel=1e-5)
    away = (exact(kaf, x) - old).abs()
    assert away.max().item() < 5e-3
    assert found.max_error == pytest.approx(away.max().item(), rel=1e-3)
    assert found.rms_error == pytest.approx(away.square().mean().sqrt().item(), rel=1e-3)
    assert (found.old_coverage, found.new_coverage) == (0, 0)


def test_quantile_and_margin():
    x = torch.linspace(-5, 5, 1001)[:, None]
    x[0] = 1e6  # one that must not set the range
    kaf = ta.KAF(1)
    kaf_tools.calibrate(kaf, x, quantile=0.1, margin=0.0)
    assert kaf.grid.tolist() == pytest.approx([-4, 4], abs=0.02)
    found = kaf_tools.calibrate(kaf, x, quantile=0.01, margin=0.5)[""]
    assert kaf.grid.tolist() == pytest.approx([-9.8, 9.8], abs=0.2)
    assert found.old_coverage == pytest.approx(0.2, abs=0.01)
    assert found.new_coverage == pytest.approx(1 / 1001)


def test_overlap_and_size_of_the_dictionary_stay():
    kaf = ta.KAF(2, 9, gamma=1.0)
    curvature = kaf.dictionary.gamma * kaf.dictionary.delta**2
    kaf_tools.calibrate(kaf, 5 + torch.randn(100, 2))
    d = kaf.dictionary
    assert d.gamma * d.delta**2 == pytest.approx(curvature, rel=1e-5)
    assert d.num_nodes == 9


def test_a_function_beyond_its_grid_stays_and_can_learn():
    kaf = ta.KAF(3, 64, init=torch.tanh)
    x = 6 * torch.randn(3000, 3)
    old = exact(kaf, x)
    found = kaf_tools.calibrate(kaf, x)[""]
    assert found.old_coverage > 0.5
    assert found.new_coverage < 0.01
    away = (exact(kaf, x) - old).square().mean().sqrt().item()
    assert away == pytest.approx(found.rms_error, rel=1e-4)
    assert away < 0.2
    kaf.reset_parameters()  # what the docstring says
    torch.testing.assert_close(kaf(x[:50] / 2), torch.tanh(x[:50] / 2), rtol=0, atol=0.05)


@pytest.mark.parametrize(("width", "margin"), [(0.3, 0.1), (1.8, 0.05)])
def test_no_swing_beyond_the_data(width, margin):
    kaf = ta.KAF(2, init=torch.nn.functional.elu)
    x = width * torch.randn(4000, 2)
    found = kaf_tools.calibrate(kaf, x, margin=margin)[""]
    assert found.max_error < 0.3
    assert found.rms_error < 0.05
    lo, hi = kaf.grid.tolist()
    beyond = torch.cat((torch.linspace(2 * lo, lo, 200), torch.linspace(hi, 2 * hi, 200)))
    highest = kaf(torch.linspace(lo, hi, 200)[:, None].expand(-1, 2)).abs().max()
    assert kaf(beyond[:, None].expand(-1, 2)).abs().max() < 1.1 * min(highest, abs(hi))


def test_twice_changes_little():
    kaf = ta.KAF(4)
    x = torch.randn(2000, 4)
    kaf_tools.calibrate(kaf, x)
    found = kaf_tools.calibrate(kaf, x)[""]
    assert found.new_range == pytest.approx(found.old_range)
    assert found.max_error < 0.01  # of the 0.1 % outside
    assert found.rms_error < 1e-4


def test_models_keep_their_output():
    model, x = Net().eval(), batch(32)
    with torch.no_grad():
        old = model(x)
    before = snapshot(model)
    found = kaf_tools.calibrate(model, x)
    assert list(found) == ["first", "again", "idle"]
    assert unchanged(model, before, but=("state",))
    for name in ("idle.alpha", "idle.grid", "norm.running_mean", "conv.weight"):
        assert torch.equal(model.state_dict()[name], before["state"][name])
    assert model.first.dictionary != model.again.dictionary
    assert math.isnan(found["idle"].max_error)
    assert found["idle"].old_range == found["idle"].new_range
    with torch.no_grad():
        away = (model(x) - old).abs()
    assert away.max() < 0.1
    assert away.square().mean().sqrt() < 0.005
    assert found["again"].new_coverage < 0.01


def test_wide_samples_of_large_batches_are_drawn_from_all_channels():
    x = torch.randn(40, 2, 40, 40)
    x[:, 1] += 20
    x = x.to(memory_format=torch.channels_last)
    kaf = ta.KAF(2, init=torch.tanh)
    with torch.no_grad():
        kaf.alpha[1] = 0
    old = exact(kaf, x)
    found = kaf_tools.calibrate(kaf, x, margin=0.05)[""]
    assert kaf.dictionary.lo == pytest.approx(-4.5, abs=0.6)
    assert kaf.dictionary.hi == pytest.approx(24.5, abs=0.6)
    away = exact(kaf, x) - old  # channel 1 is 0 before and after: what is left is channel 0's
    assert found.rms_error == pytest.approx(away.square().mean().sqrt().item(), rel=0.05)


@pytest.mark.parametrize("x", [torch.zeros(5, 2), torch.full((5, 2), 0.1), torch.ones(0, 2)])
def test_no_range_no_change(x):
    kaf = ta.KAF(2)
    before = snapshot(kaf)
    found = kaf_tools.calibrate(kaf, x)[""]
    assert unchanged(kaf, before)
    assert found.new_range == found.old_range
    assert found.max_error == 0 or not len(x)


def test_nothing_is_half_changed():
    class Last(torch.nn.Sequential):
        def forward(self, x):
            return super().forward(x).log()

    shared = torch.nn.Sequential(ta.KAF(2), ta.KAF(2))
    shared[1].alpha = shared[0].alpha
    model = torch.nn.Sequential(ta.KAF(2), Last(torch.nn.Identity()), ta.KAF(2))
    cases = [
        (model, {}, ValueError, r"layer '2' gets NaN or infinities"),
        (shared, {}, ValueError, r"'0' and '1' share alpha"),
        (ta.KAF(2), {"quantile": 0.5}, ValueError, r"quantile must be from 0 .*, got 0\.5"),
        (ta.KAF(2), {"quantile": -0.1}, ValueError, r"got -0\.1"),
        (ta.KAF(2), {"margin": -1}, ValueError, r"margin must be at least 0, got -1"),
        (ta.KAF(2), {"margin": "1"}, TypeError, r"margin must be a real number, got '1'"),
    ]
    x = torch.randn(50, 2)
    for candidate, options, error, message in cases:
        before = snapshot(candidate)
        with pytest.raises(error, match=message):
            kaf_tools.calibrate(candidate, x, **options)
        assert unchanged(candidate, before)


def test_two_nodes_and_many():
    for nodes in (2, 256):
        kaf = ta.KAF(2, nodes)
        found = kaf_tools.calibrate(kaf, torch.randn(500, 2))[""]
        assert kaf.alpha.isfinite().all()
        assert math.isfinite(found.max_error)
