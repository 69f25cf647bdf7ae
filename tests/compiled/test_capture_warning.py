"""The warning of a capture with an unloaded kernel names the user's line, however deep we are."""

import linecache

import pytest
import torch

import triton_acts


@pytest.fixture
def unloaded(gpu, monkeypatch):
    """A fake GPU that captures a graph before anything is loaded."""
    from triton_acts import _launch

    def refuse(self, *_):
        raise _launch.UnloadedInCaptureError

    monkeypatch.setattr(_launch.Launcher, "__call__", refuse)


FUNCTIONS = {
    "scaled_sigmoid": triton_acts.scaled_sigmoid,
    "penalized_tanh": triton_acts.penalized_tanh,
    "penalized_tanh learned": lambda x: triton_acts.penalized_tanh(x, torch.rand(4)),
    "module": triton_acts.PenalizedTanh(num_parameters=4),
    "kaf": lambda x: triton_acts.kaf(x, torch.randn(4, 20)),
    "KAF": triton_acts.KAF(4),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_warnings_name_the_users_line(name, unloaded):
    x = torch.randn(3, 4)
    with torch.no_grad(), pytest.warns(RuntimeWarning, match="not loaded") as plain:
        FUNCTIONS[name](x)
    with pytest.warns(RuntimeWarning, match="not loaded") as forward:
        y = FUNCTIONS[name](x.requires_grad_())
    with pytest.warns(RuntimeWarning, match="not loaded") as backward:
        y.sum().backward()
    for records, text in ((plain, "(x"), (forward, "(x"), (backward, "backward()")):
        for record in records:
            assert record.filename == __file__
            assert text in linecache.getline(__file__, record.lineno)
