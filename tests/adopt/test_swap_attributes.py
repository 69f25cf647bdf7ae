"""Functions that modules hold, above all torch's transformer layers and their fused path."""

import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import triton_acts as ta

WIDTH, INNER = 8, 12


def layer(activation, kind=nn.TransformerEncoderLayer):
    return kind(WIDTH, 2, INNER, dropout=0.0, activation=activation, batch_first=True)


def by_hand(encoder, x, function):
    y = encoder.norm1(x + encoder.self_attn(x, x, x, need_weights=False)[0])
    return encoder.norm2(y + encoder.linear2(function(encoder.linear1(y))))


@pytest.mark.parametrize(
    ("activation", "how"), [("relu", "attribute"), (F.relu, "attribute"), (nn.ReLU(), "module")]
)
def test_the_fused_path_does_not_go_on_with_relu(activation, how):
    model, x = layer(activation).eval(), torch.randn(2, 5, WIDTH)
    with torch.no_grad():
        before = model(x)
        report = ta.swap(model, {nn.ReLU: "scaled_sigmoid"})
        assert [(r.name, r.how) for r in report.replaced] == [("activation", how)]
        assert report.model is model
        torch.testing.assert_close(model(x), by_hand(model, x, ta.scaled_sigmoid))
        report.undo()
        assert model.activation is activation or activation == "relu"
        assert model.activation_relu_or_gelu == 1
        assert torch.equal(model(x), before)


def test_gelu_and_the_decoder():
    model = nn.ModuleList([layer("gelu"), layer(F.gelu, nn.TransformerDecoderLayer)])
    report = ta.swap(model, {nn.GELU: "kaf"})
    assert [(r.module.alpha.shape[0], r.module.channel_dim) for r in report.replaced] == [
        (INNER, -1),
        (INNER, -1),
    ]
    assert not model[0].activation_relu_or_gelu
    x = torch.randn(2, 5, WIDTH)
    model[1](model[0](x), x).sum().backward()
    assert all(r.module.alpha.grad.any() for r in report.replaced)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # of torch's fused path
@pytest.mark.parametrize("by_example", [False, True])
def test_an_encoder_with_padding(by_example):
    model = nn.TransformerEncoder(layer("relu"), 2).eval()
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    example = {"src": torch.randn(2, 5, WIDTH), "src_key_padding_mask": padding}
    report = ta.swap(model, {nn.ReLU: "kaf"}, example=example if by_example else None)
    assert torch.backends.mha.get_fastpath_enabled()
    assert [r.name for r in report.replaced] == ["layers.0.activation", "layers.1.activation"]
    x = example["src"]
    with torch.no_grad():
        fused = model(x, src_key_padding_mask=padding)
        assert not torch.equal(fused, report.undo()(x, src_key_padding_mask=padding))
    assert model.use_nested_tensor
    assert list(vars(model.layers[0])).count("activation") == 1


class Held(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(3, 4), function

    def forward(self, x):
        return self.function(self.linear(x))


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (torch.tanh, nn.Tanh),
        (torch.Tensor.tanh, nn.Tanh),
        (functools.partial(F.gelu, approximate="tanh"), nn.GELU),
    ],
)
def test_a_function_in_an_attribute_becomes_a_module(function, kind):
    model = Held(function).eval()
    seen = []
    report = ta.swap(model, {kind: lambda old: seen.append(old) or ta.PenalizedTanh()})
    x = torch.randn(2, 3)
    assert torch.equal(seen[0](x), function(x))
    assert report.model is model
    assert not model.function.training
    assert torch.equal(model(x), ta.penalized_tanh(model.linear(x)))
    report.undo()
    assert model.function is function
    assert list(model.state_dict()) == ["linear.weight", "linear.bias"]


def test_channels_of_a_function_in_an_attribute():
    for example in (None, torch.randn(2, 3)):
        model = Held(F.relu)
        ta.swap(model, {nn.ReLU: "kaf"}, example=example)
        assert model.function.alpha.shape == (4, 20)
        assert model(torch.randn(2, 3)).shape == (2, 4)


def test_a_dry_run_leaves_the_function():
    model = Held(F.relu)
    assert len(ta.swap(model, {nn.ReLU: "kaf"}, dry_run=True).replaced) == 1
    assert model.function is F.relu
    assert "function" not in model._modules


def test_where_names_the_attribute():
    model = nn.Sequential(Held(F.relu), Held(F.relu))
    ta.swap(model, {nn.ReLU: nn.ELU}, where="1.function")
    assert model[0].function is F.relu
    assert type(model[1].function) is nn.ELU
