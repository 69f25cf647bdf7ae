"""Every module of the package in one network, and the same network in plain formulas."""

import torch
from torch import nn

import triton_acts as ta
from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._kaf import checked_grid

__all__ = ["CHANNELS", "Formula", "Net", "Plain", "activations", "batch", "gradients", "pair"]

CHANNELS = 6


def activations(**factory):
    """Every module, a layer each."""
    return {
        "scaled_sigmoid": ta.ScaledSigmoid(),
        "fixed": ta.PenalizedTanh(),
        "learned": ta.PenalizedTanh(num_parameters=CHANNELS, **factory),
        "kaf": ta.KAF(CHANNELS, **factory),
    }


class Formula(nn.Module):
    """What `layer` computes, in plain formulas of its weights."""

    def __init__(self, layer):
        super().__init__()
        self.kind = type(layer).__name__
        if isinstance(layer, ta.KAF):
            nodes, gamma = layer.alpha.shape[1], layer.gamma.item()  # of float32
            self.dictionary = checked_grid("kaf", layer.grid.tolist(), gamma, nodes)
        for name, weight in layer.named_parameters():
            setattr(self, name, nn.Parameter(weight.detach().clone()))

    def forward(self, x):
        if self.kind == "ScaledSigmoid":
            return 4 * torch.sigmoid(x) - 2
        if self.kind == "KAF":
            return definition(x, self.alpha, self.dictionary)
        a = getattr(self, "a", 0.25)
        return torch.where(x > 0, x.tanh(), a * x.tanh())


class Net(nn.Module):
    """A linear layer, an activation, a linear layer, and so on."""

    def __init__(self, layers, **factory):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(CHANNELS, CHANNELS, **factory) for _ in layers)
        self.layers = nn.ModuleDict(layers)

    def forward(self, x):
        for linear, layer in zip(self.linears, self.layers.values(), strict=True):
            x = layer(linear(x))
        return x


class Plain(Net):
    """The same in plain formulas, with names and values of all parameters kept."""

    def __init__(self, net):
        super().__init__({name: Formula(layer) for name, layer in net.layers.items()})
        self.to(net.linears[0].weight.dtype)
        self.load_state_dict(dict(net.named_parameters()))


def pair(dtype=torch.float64):
    """A network and its twin in plain formulas."""
    net = Net(activations()).to(dtype)
    return net, Plain(net)


def batch(dtype=torch.float64, rows=8):
    """Inputs."""
    return torch.randn(rows, CHANNELS, dtype=dtype)


def gradients(net, x):
    """The output, and the gradients of all parameters by name."""
    net.zero_grad()
    y = net(x)
    y.square().sum().backward()
    return y.detach(), {name: p.grad.clone() for name, p in net.named_parameters()}
