"""Layers KAF whose dictionary is not the default one, and what they have to compute."""

import torch

import triton_acts as ta
from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._gridding import Grid

__all__ = ["GRID", "INITS", "OTHERS", "assert_defined", "elu", "inputs", "other", "values"]

GRID = Grid(-3.0, 3.0, 20, 1 / (6 * (6 / 19) ** 2))
INITS = ["normal", "zeros", "identity", "function"]
OTHERS = {"boundary": 2.1, "gamma": 3.3}  # no float32 numbers


def elu(s):
    """A function that pickle finds."""
    return torch.nn.functional.elu(s)


def other(channels=4, **arguments):
    """A layer with a dictionary unlike the default one."""
    return ta.KAF(channels, **{**OTHERS, **arguments})


def inputs(*shape):
    return 2 * torch.randn(*(shape or (30, 4)))


def values(module):
    """The dictionary, read from what a state dict holds."""
    state = module.state_dict()
    (lo, hi), gamma = state["grid"].tolist(), state["gamma"].item()
    return Grid(lo, hi, state["alpha"].shape[1], gamma)


def assert_defined(module, channel_dim=1):
    """What the layer computes is the definition with its weights and its buffers."""
    x = inputs().double()
    y = definition(x, module.alpha.double(), values(module), channel_dim)
    torch.testing.assert_close(module(x), y, rtol=0, atol=1e-9)
