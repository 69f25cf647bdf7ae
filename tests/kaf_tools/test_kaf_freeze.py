"""KAF for inference: the same outputs without parameters, in PyTorch and beyond."""

import copy
import pickle

import numpy as np
import onnxruntime
import pytest
import torch
from support.kaf_layer import elu, other

import triton_acts as ta
from triton_acts import kaf_tools
from triton_acts.dictionary import FrozenKAF
from triton_acts.dictionary._composite import composite

LAYERS = {
    "default": lambda: ta.KAF(4, init=elu),
    "shared": lambda: ta.KAF(1),
    "last": lambda: other(4, channel_dim=-1),
    "two nodes": lambda: ta.KAF(4, 2),
    "many nodes": lambda: ta.KAF(4, 256),
    "several anchors": lambda: ta.KAF(4, 47, grid=(-2, 7)),
    "narrow": lambda: ta.KAF(4, 6, gamma=40.0),
    "float64": lambda: ta.KAF(4, dtype=torch.float64),
}
layers = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def values(dtype=torch.float32):
    x = 3 * torch.randn(6, 4, 5, 4)
    x[0, 0, 0] = torch.tensor([torch.inf, -torch.inf, torch.nan, 40.0])
    return x.to(dtype)


@layers
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_outputs_are_the_same(layer, dtype):
    kaf, x = layer(), values(dtype)
    frozen = kaf_tools.freeze(kaf)
    assert isinstance(frozen, FrozenKAF)
    torch.testing.assert_close(frozen(x), kaf(x).detach(), rtol=0, atol=0, equal_nan=True)
    assert not list(frozen.parameters())
    assert not frozen(x).requires_grad
    # what compilers and exporters see of it
    d, dim = kaf.dictionary, kaf.channel_dim
    folded = composite(x, frozen.alpha, d, dim, frozen.beta)
    torch.testing.assert_close(
        folded, composite(x, kaf.alpha, d, dim).detach(), rtol=0, atol=0, equal_nan=True
    )


def test_the_layer_stays_and_gradients_pass():
    kaf = ta.KAF(3)
    frozen = kaf_tools.freeze(kaf.eval())
    assert kaf.alpha.requires_grad
    assert not frozen.training
    x = torch.randn(5, 3, requires_grad=True)
    (dx,) = torch.autograd.grad(frozen(x).sum(), x)
    (expected,) = torch.autograd.grad(kaf(x).sum(), x)
    torch.testing.assert_close(dx, expected)
    with torch.no_grad():
        frozen.alpha.zero_()
    assert kaf.alpha.any()
    with pytest.raises(TypeError, match="freeze: kaf must be a KAF layer, got ReLU"):
        kaf_tools.freeze(torch.nn.ReLU())


def test_copies_and_casts():
    kaf, x = other(4, init=elu), values()
    frozen = kaf_tools.freeze(kaf)
    for twin in (
        copy.deepcopy(frozen),
        pickle.loads(pickle.dumps(frozen)),
        kaf_tools.freeze(frozen),
    ):
        assert type(twin) is FrozenKAF
        assert torch.equal(twin.beta, frozen.beta)
        torch.testing.assert_close(twin(x), frozen(x), rtol=0, atol=0, equal_nan=True)
    narrow = copy.deepcopy(frozen).bfloat16()
    assert narrow.alpha.dtype is narrow.beta.dtype is torch.float32
    assert torch.equal(narrow(x.nan_to_num()), frozen(x.nan_to_num()))
    wide = copy.deepcopy(frozen).double()
    f = torch.func.functional_call  # a road that takes beta
    y = torch.func.vmap(lambda v: f(wide, {}, (v,)), in_dims=3, out_dims=3)(x)
    torch.testing.assert_close(y, kaf(x).detach(), rtol=0, atol=1e-5, equal_nan=True)


def test_state_dicts_go_both_ways():
    kaf, x = other(4, init=elu), values()
    model = torch.nn.Sequential(kaf_tools.freeze(ta.KAF(4)))
    assert set(model.state_dict()) == {"0.alpha", "0.grid", "0.gamma"}
    for assign in (False, True):
        model.load_state_dict(torch.nn.Sequential(kaf).state_dict(), assign=assign)
        assert torch.equal(model[0].beta, kaf_tools.freeze(kaf).beta)
        torch.testing.assert_close(model(x), kaf(x).detach(), rtol=0, atol=0, equal_nan=True)
    fresh = ta.KAF(4)
    fresh.load_state_dict(model[0].state_dict())
    assert torch.equal(fresh.alpha, kaf.alpha)
    model[0].init, before = "zeros", model[0].beta
    model[0]._target = None
    model[0].reset_parameters()
    assert not model[0].beta.any()
    assert before.any()


def test_tools_take_frozen_layers():
    frozen = kaf_tools.freeze(ta.KAF(3, init=elu))
    x = torch.randn(500, 3)
    assert kaf_tools.coverage(frozen, x) == kaf_tools.coverage(ta.KAF(3), x)
    kaf_tools.calibrate(frozen, 2 + x / 9)
    assert torch.equal(frozen.beta, kaf_tools.freeze(frozen).beta)
    torch.testing.assert_close(frozen(2 + x / 9), elu(2 + x / 9), rtol=0, atol=0.02)
    small, _ = kaf_tools.refit(frozen, 15)
    assert type(small) is ta.KAF
    assert not small.alpha.requires_grad


@pytest.mark.parametrize(
    ("names", "strict"), [(("last", "narrow", "float64"), False), (("two nodes",), True)]
)
def test_torch_export(names, strict):
    model = torch.nn.Sequential(*(kaf_tools.freeze(LAYERS[name]()) for name in names))
    x = values()
    sizes = {0: torch.export.Dim("n", min=2, max=64)}
    program = torch.export.export(model, (x,), dynamic_shapes=(sizes,), strict=strict)
    torch.testing.assert_close(
        program.module()(x[:3]), model(x[:3]), rtol=0, atol=1e-4, equal_nan=True
    )


def test_compile_folds_nothing():
    """The graph of a frozen layer begins with beta; that of a KAF makes it of alpha."""
    operators = []

    def look(graph, _inputs):
        operators.append(sum(node.op.startswith("call") for node in graph.graph.nodes))
        return graph

    kaf, x = ta.KAF(4), values().nan_to_num()
    frozen = kaf_tools.freeze(kaf)
    for module in (kaf, frozen):
        y = torch.compile(module, backend=look)(x)
        torch.testing.assert_close(y, kaf(x), rtol=0, atol=1e-5)
    assert operators[1] < operators[0] - 5


class Small(torch.nn.Module):
    """A refitted shape for each channel, one for all, and Gaussians that have no polynomials."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 4, 3)
        kaf, self.error = kaf_tools.refit(ta.KAF(4, init=elu), 26)
        self.first = kaf_tools.freeze(kaf)
        self.shared = kaf_tools.freeze(ta.KAF(1, 5))
        self.narrow = kaf_tools.freeze(ta.KAF(4, 3, gamma=40.0, channel_dim=-1))

    def forward(self, x):
        h = self.shared(self.first(self.conv(x)))
        return self.narrow(h.movedim(1, -1))


# torch.onnx copies PyTorch's own tree specs, whose class warns that it will go
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
def test_onnx(tmp_path):
    model = Small().eval()
    x = 3 * torch.randn(5, 2, 6, 6)
    sizes = ({0: "n"},)
    program = torch.onnx.export(model, (x[:2],), dynamo=True, dynamic_shapes=sizes, verbose=False)
    file = tmp_path / "kaf.onnx"
    program.save(file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    np.testing.assert_allclose(y, model(x).detach().numpy(), rtol=0, atol=2e-5)
    assert model.error < 0.01
