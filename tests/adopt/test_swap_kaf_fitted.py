"""KAF in the place of an activation starts as that activation."""

import pytest
import torch
from torch import nn

import triton_acts as ta


def test_kaf_fitted_starts_from_what_it_replaces():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = torch.rand(50, 3, dtype=torch.float64)
    expected = model(x)
    ta.swap(model, {nn.Tanh: "kaf_fitted"})
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-2)
    assert model[1].alpha.dtype == torch.float64


def test_kaf_fitted_reaches_as_far_as_the_example():
    """As in a trained network without normalisation, whose numbers go far beyond KAF's grid."""
    model = nn.Sequential(*(m for _ in range(3) for m in (nn.Linear(8, 8), nn.ReLU()))).double()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    x = 4 * torch.randn(500, 8, dtype=torch.float64)
    expected = model(x)
    report = ta.swap(model, {nn.ReLU: "kaf_fitted"})
    lost = (model(x) - expected).norm() / expected.norm()
    assert lost > 0.5
    report.undo()
    report = ta.swap(model, {nn.ReLU: "kaf_fitted"}, example=x)
    assert (model(x) - expected).norm() / expected.norm() < 0.1
    assert all(row.module.dictionary.hi > 6 for row in report.replaced)
    assert report.replaced[0].module.dictionary.lo == pytest.approx(model[0](x).min().item())
    report.undo()
    ta.swap(model, {nn.ReLU: "kaf_fitted"}, example=x / 1000)
    assert (model[1].dictionary.lo, model[1].dictionary.hi) == (-3, 3)
