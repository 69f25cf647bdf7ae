"""timm's `act_layer`, which its models call in three ways; timm itself is not needed."""

import functools

import pytest
import torch
from torch import nn

import triton_acts as ta


def create_act_layer(act_layer, inplace):
    """As timm.layers does."""
    try:
        return act_layer(inplace=inplace)
    except TypeError:
        return act_layer()


class Mlp(nn.Module):
    """As the blocks of its vision transformers."""

    def __init__(self, act_layer):
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(4, 8), act_layer(), nn.Linear(8, 4)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class BasicBlock(nn.Module):
    """As those of its residual networks, of which some use one activation twice."""

    def __init__(self, act_layer):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.act1 = act_layer(inplace=True)
        self.act2 = create_act_layer(act_layer, inplace=True)

    def forward(self, x):
        return self.act2(self.act1(self.bn1(self.conv1(x))) + x)


@pytest.mark.parametrize(
    ("act_layer", "expected"),
    [
        (ta.PenalizedTanh, ta.PenalizedTanh),
        (functools.partial(ta.ScaledSigmoid, scale=2.0), ta.ScaledSigmoid),
        (lambda inplace=False: ta.ScaledSigmoid(), ta.ScaledSigmoid),
    ],
)
def test_a_class_or_a_function_where_it_is_called_without_arguments(act_layer, expected):
    model = Mlp(act_layer)
    assert type(model.act) is expected
    assert model(torch.randn(3, 4)).isfinite().all()
    assert type(create_act_layer(act_layer, inplace=True)) is expected


def test_a_function_where_it_is_called_with_inplace():
    model = BasicBlock(lambda inplace=False: ta.PenalizedTanh())
    assert type(model.act1) is type(model.act2) is ta.PenalizedTanh
    with pytest.raises(TypeError, match="inplace"):
        BasicBlock(ta.PenalizedTanh)


def test_swap_does_what_act_layer_cannot():
    mlp, block = Mlp(nn.GELU), BasicBlock(nn.ReLU)
    model = nn.Sequential(mlp, nn.Unflatten(0, (3, 1)), nn.Unflatten(2, (4, 1)))
    ta.swap(model, {nn.GELU: "kaf"})
    ta.swap(block, {nn.ReLU: "kaf"})
    assert (mlp.act.alpha.shape[0], mlp.act.channel_dim) == (8, -1)
    assert [(m.alpha.shape[0], m.channel_dim) for m in (block.act1, block.act2)] == [(4, 1), (4, 1)]
    assert block(torch.randn(2, 4, 3, 3)).isfinite().all()
