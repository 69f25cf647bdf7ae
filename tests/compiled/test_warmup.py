"""What `warmup` has loaded may be captured, everything that training launches included."""

import itertools
import warnings

import pytest
import torch

import triton_acts
from triton_acts import kaf, penalized_tanh, scaled_sigmoid, warmup
from triton_acts.dictionary import _kernel_road
from triton_acts.pointwise import _define, _per_channel

LAUNCHERS = [
    *(_define._forward, _define._backward, _per_channel._forward, _per_channel._backward),
    *(_kernel_road._forward, _kernel_road._backward),
]


@pytest.fixture
def cold(gpu, monkeypatch):
    """A fake GPU on which nothing is loaded, and a switch that begins capture."""
    for launcher in LAUNCHERS:
        monkeypatch.setattr(launcher, "_variants", {})
        monkeypatch.setattr(launcher, "_bound", set())
    _kernel_road._grid_constants.cache_clear()

    def capture():
        gpu.launches.clear()
        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)

    return capture


def train(function, x, *weights):
    """Inference, then gradients of every non-empty subset of the inputs."""
    with torch.no_grad():
        function(x, *weights)
    for needed in itertools.product((True, False), repeat=1 + len(weights)):
        inputs = [t.detach().requires_grad_(n) for t, n in zip((x, *weights), needed, strict=True)]
        if any(needed):
            function(*inputs).backward(torch.zeros_like(x))


CASES = {
    "scaled_sigmoid": (4096, {}, scaled_sigmoid, ()),
    "save output": (4096, {}, lambda x: penalized_tanh(x, save="output"), ()),
    "learned slopes": ((64, 48), {"num_parameters": 48}, penalized_tanh, ((48,),)),
    "kaf": ((64, 48), {}, kaf, ((48, 20),)),
    "kaf, planes": ((4, 6, 17, 17), {"num_nodes": 64}, kaf, ((6, 64),)),
    "kaf, one row": ((64, 48), {"num_parameters": 1}, kaf, ((1, 20),)),
    "kaf, last": (
        (2, 7, 48),
        {"channel_dim": -1},
        lambda x, w: kaf(x, w, channel_dim=-1),
        ((48, 20),),
    ),
}


EVERY = [(name, torch.bfloat16) for name in CASES]
EVERY += [("scaled_sigmoid", torch.float32), ("learned slopes", torch.float32)]
EVERY += [("kaf", torch.float32)]


@pytest.mark.parametrize(("name", "dtype"), EVERY, ids=str)
def test_a_warm_kernel_is_captured(name, dtype, cold, gpu):
    """Without a warning, which the suite turns into an error, and by kernels alone."""
    size, dims, function, weights = CASES[name]
    op = (
        "scaled_sigmoid"
        if name == "scaled_sigmoid"
        else "kaf"
        if "kaf" in name
        else "penalized_tanh"
    )
    warmup(op, dtype, size, **dims)
    assert gpu.launches
    cold()
    shape = size if isinstance(size, tuple) else (size,)
    train(function, torch.zeros(shape, dtype=dtype), *(torch.zeros(shape) for shape in weights))
    assert len(gpu.launches) >= 2


def test_in_inference_mode(cold, gpu):
    """As a server calls it."""
    with torch.inference_mode():
        warmup("kaf", torch.float32, (8, 16))
    cold()
    train(kaf, torch.zeros(8, 16), torch.zeros(16, 20))


def test_several_at_once(cold, gpu):
    warmup(
        ["scaled_sigmoid", "kaf"], [torch.float16, torch.float32], [(8, 16), (4, 4)], num_nodes=8
    )
    cold()
    for dtype, shape in itertools.product((torch.float16, torch.float32), ((8, 16), (4, 4))):
        train(kaf, torch.zeros(shape, dtype=dtype), torch.zeros(shape[1], 8))
        train(scaled_sigmoid, torch.zeros(shape, dtype=dtype))


def test_what_was_not_warmed_up_is_replaced(cold):
    """The control: without it the same calls warn."""
    cold()
    with pytest.warns(RuntimeWarning, match="call triton_acts.warmup"):
        scaled_sigmoid(torch.zeros(8))


def test_it_leaves_no_trace(gpu):
    """Neither the random state nor the grad mode changes."""
    state = torch.get_rng_state()
    with torch.no_grad():
        warmup("kaf", torch.float32, (4, 4))
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("arguments", "dims", "error", "message"),
    [
        (("relu", torch.float32, 8), {}, ValueError, "'scaled_sigmoid', 'penalized_tanh', 'kaf'"),
        (("kaf", torch.float32, (4, 4)), {"nodes": 8}, TypeError, "unknown nodes.*num_nodes"),
        (
            ("kaf", torch.float32, 16),
            {},
            ValueError,
            r"needs shapes with a dimension 1, got \(16,\)",
        ),
        (("kaf", torch.float64, (4, 4)), {}, ValueError, "no kernel takes torch.float64"),
    ],
)
def test_refusals(arguments, dims, error, message, gpu):
    with pytest.raises(error, match=message):
        warmup(*arguments, **dims)


def test_without_a_gpu_it_does_nothing(monkeypatch):
    """A script with it also runs where there is no GPU; wrong arguments are told there as well."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert warmup("kaf", torch.float32, (4, 4)) is None
    with pytest.raises(ValueError, match="ops must be one of"):
        triton_acts.warmup("relu", torch.float32, 8)
