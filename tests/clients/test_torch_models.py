"""Models of ours through files, devices, dtypes and compilers."""

import copy
import io
import pickle

import pytest
import torch
from support.networks import CHANNELS, Net, activations, batch, gradients, pair
from torch import nn
from torch.testing import assert_close

import triton_acts as ta
from triton_acts.dictionary._gridding import Grid


def saved(thing):
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    buffer.seek(0)
    return buffer


def test_models_through_files():
    """A state dict is loaded with weights_only=True as it is."""
    net, x = Net(activations()), batch(torch.float32)
    twin = Net(activations())
    assert not torch.equal(twin(x), net(x))
    twin.load_state_dict(torch.load(saved(net.state_dict()), weights_only=True))
    whole = torch.load(saved(net), weights_only=False)
    for other in (twin, whole, copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x), net(x))
        before = [p.clone() for p in net.parameters()]
        torch.optim.SGD(other.parameters(), 1.0).step(lambda o=other: o(x).sum().backward())
        assert all(map(torch.equal, net.parameters(), before))
        assert not torch.equal(other(x), net(x))


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (ta.ScaledSigmoid, [ta.ScaledSigmoid]),
        (ta.PenalizedTanh, [ta.PenalizedTanh]),
        (lambda: ta.PenalizedTanh(num_parameters=CHANNELS), [ta.PenalizedTanh]),
        (lambda: ta.KAF(CHANNELS), [ta.KAF, Grid]),
        (lambda: ta.KAF(CHANNELS, init="identity"), [ta.KAF, Grid]),
        (lambda: ta.KAF(CHANNELS, init=nn.functional.elu), [ta.KAF, Grid]),
    ],
)
def test_whole_modules_with_weights_only(build, names):
    """Loaded once their classes are named, and nothing else besides the function they keep."""
    module, x = build(), batch(torch.float32)
    with pytest.raises(pickle.UnpicklingError, match=f"Unsupported global.*{names[0].__name__}"):
        torch.load(saved(module), weights_only=True)
    found = torch.serialization.get_unsafe_globals_in_checkpoint(saved(module))
    kept = {name for name in found if not name.startswith("triton_acts.")}
    target = getattr(module, "_target", None)
    assert kept == (set() if target is None else {"functools.partial", "torch.nn.functional.elu"})
    if kept:
        return
    with torch.serialization.safe_globals(names):
        other = torch.load(saved(module), weights_only=True)
    assert torch.equal(other(x), module(x))
    assert repr(other) == repr(module)


def test_a_lambda_as_init():
    """pickle names it; everything that needs no pickle of the module works."""
    module, x = ta.KAF(CHANNELS, init=lambda x: 2 * x), batch(torch.float32)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        pickle.dumps(module)
    with pytest.raises((pickle.PicklingError, AttributeError), match="<lambda>"):
        torch.save(module, io.BytesIO())
    other = ta.KAF(CHANNELS)
    other.load_state_dict(torch.load(saved(module.state_dict()), weights_only=True))
    for twin in (other, copy.deepcopy(module)):
        assert torch.equal(twin(x), module(x))


LACKING = {
    "a": (lambda: ta.PenalizedTanh(), lambda: ta.PenalizedTanh(num_parameters=2), "Missing"),
    "a besides": (lambda: ta.PenalizedTanh(num_parameters=2), ta.PenalizedTanh, "Unexpected"),
    **{
        key: (lambda: ta.KAF(2), lambda: ta.KAF(2, grid=(-1.0, 2.0)), "Missing")
        for key in ("alpha", "grid", "gamma")
    },
}


@pytest.mark.parametrize("key", LACKING)
def test_state_dicts_of_another_version(key):
    """What is missing is named; strict=False loads the rest."""
    build, other, word = LACKING[key]
    state = {"0." + k: v for k, v in build().state_dict().items() if k != key}
    model = nn.Sequential(other())
    name = key.split()[0]
    with pytest.raises(RuntimeError, match=rf'{word} key\(s\) in state_dict: "0\.{name}"'):
        model.load_state_dict(state)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert [*missing, *unexpected] == ["0." + name]


@pytest.mark.parametrize("assign", [True, False])
def test_from_meta(assign):
    """A model that is built without memory takes the values of another."""
    net, x = Net(activations()), batch(torch.float32)
    with torch.device("meta"):
        fresh = Net(activations(), device="meta")
    assert all(t.is_meta for t in fresh.state_dict().values())
    if not assign:
        fresh.to_empty(device="cpu")
    state = net.state_dict()
    fresh.load_state_dict(state, assign=assign)
    assert torch.equal(fresh(x), net(x))
    shared = fresh.layers["kaf"].alpha.data_ptr() == state["layers.kaf.alpha"].data_ptr()
    assert shared == assign
    assert_close(gradients(fresh, x), gradients(net, x))


def unfilled(module):
    """Memory as `to_empty` may hand it out."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(torch.nan)
    return module


def test_reset_from_meta():
    net = unfilled(Net(activations(device="meta"), device="meta").to_empty(device="cpu"))
    repr(net)
    for module in (*net.linears, *net.layers.values()):
        getattr(module, "reset_parameters", int)()
    assert (net.layers["learned"].a == 0.25).all()
    assert net.layers["kaf"].grid.tolist() == [-3, 3]
    assert net(batch(torch.float32)).isfinite().all()


def test_skipped_initialisation():
    """torch.nn.utils.skip_init leaves weights and buffers to whoever loads or resets them."""
    for build, *args in ((ta.KAF, CHANNELS), (ta.PenalizedTanh, 0.3, CHANNELS)):
        module = unfilled(nn.utils.skip_init(build, *args))
        note = ", buffers not filled" if build is ta.KAF else ""  # of numbers that it does not have
        assert repr(module) == f"{repr(build(*args))[:-1]}{note})"
        other = build(*args)
        module.load_state_dict(other.state_dict())
        assert repr(module) == repr(other)
        x = batch(torch.float32)
        assert torch.equal(module(x), other(x))
        unfilled(module).reset_parameters()
        assert module(x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_narrow_models(dtype):
    """`.to`, `.half` and `.bfloat16`: activations keep the model's dtype, KAF's weights float32."""
    named = {torch.float16: nn.Module.half, torch.bfloat16: nn.Module.bfloat16}[dtype]
    x = batch(torch.float32)
    net, _ = pair(torch.float32)
    expected, wide = gradients(net, x)
    for convert in (lambda m: m.to(dtype), named):
        narrow = convert(copy.deepcopy(net))
        found, gradient = gradients(narrow, x.to(dtype))
        assert found.dtype is dtype
        kept = {name for name, p in narrow.named_parameters() if p.dtype is not dtype}
        assert kept == {"layers.kaf.alpha"}
        assert (found - expected).abs().max() < 0.05 * expected.abs().max()
        for name, g in gradient.items():
            assert (g - wide[name]).abs().max() < 0.1 * wide[name].abs().max()
        assert narrow.float().layers["kaf"].alpha.equal(net.layers["kaf"].alpha)


def test_shared_memory():
    net, x = Net(activations()), batch(torch.float32)
    y = net(x)
    net.share_memory()
    assert all(t.is_shared() for t in net.state_dict().values())
    assert torch.equal(net(x), y)


def test_module_compile():
    """In place, for a model of ours: what it learns is what it learns without."""
    torch._dynamo.reset()
    net, x = Net(activations()), batch(torch.float32)
    twin = copy.deepcopy(net)
    graphs = []

    def backend(graph, example):
        graphs.append(graph)
        return torch._dynamo.backends.debugging.aot_eager(graph, example)

    net.compile(fullgraph=True, backend=backend)
    for model in (net, twin):
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(3):
            gradients(model, x)
            optimizer.step()
    assert len(graphs) == 1
    assert_close(gradients(net, x), gradients(twin, x), rtol=1e-4, atol=1e-4)
    assert list(net.state_dict()) == list(twin.state_dict())


def test_ensembles_of_models():
    """torch.func.stack_module_state and vmap, as PyTorch's tutorial ensembles."""
    nets, x = [pair()[0] for _ in range(3)], batch()
    base = copy.deepcopy(nets[0]).to("meta")
    parameters, buffers = torch.func.stack_module_state(nets)
    dictionary = {name: b[0] for name, b in buffers.items()}  # KAF's: forward reads its numbers

    def call(weights):
        return torch.func.functional_call(base, (weights, dictionary), (x,))

    assert_close(torch.vmap(call)(parameters), torch.stack([net(x) for net in nets]))
