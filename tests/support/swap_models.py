"""Models that call functions, for tests of `swap`."""

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.linear = nn.Linear(channels, channels)

    def forward(self, x):
        return F.relu(self.linear(F.relu(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("offset", torch.zeros(3))
        self.first, self.tanh = nn.Linear(3, 4), nn.Tanh()
        self.block = Block()
        self.last = nn.Linear(4, 2)

    def forward(self, x, mask=None):
        x = self.tanh(self.first(x + self.offset)) * self.scale
        if mask is not None:
            x = x * mask
        x = self.block(self.block(x))
        return torch.tanh(self.last(x)).sigmoid()
