"""A task that trains in milliseconds, for tests of `triton_acts.study`."""

import torch
from torch import nn

from triton_acts.study import split

settings = {"budget": 2, "batch_size": 16, "learning_rates": (0.1, 0.3), "inits": ("gain",)}


def make_model(activation):
    return nn.Sequential(nn.Linear(2, 8), activation(8), nn.Linear(8, 2))


def data():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(120, 2, generator=draw)
    return split(x, (x[:, 0] * x[:, 1] > 0).long())
