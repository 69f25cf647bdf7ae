"""CUDA graphs on a real GPU: what was warmed up replays, what was not is replaced."""

import pytest
import torch

from triton_acts import kaf, penalized_tanh, scaled_sigmoid, warmup

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
]


def captured(function, *inputs):
    """The graph of one call, and the memory of what it returns."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph, stream=stream):
        y = function(*inputs)
    return graph, y


@pytest.mark.parametrize("function", [scaled_sigmoid, penalized_tanh], ids=lambda f: f.__name__)
def test_a_warm_activation_replays(function):
    """New values in the same memory, as a server feeds them."""
    x = torch.randn(3000, device="cuda", dtype=torch.bfloat16)
    warmup(function.__name__, x.dtype, 3000)
    graph, y = captured(function, x)
    x.copy_(torch.randn_like(x))
    graph.replay()
    assert torch.equal(y, function(x))


def test_warm_kaf_replays():
    x, alpha = torch.randn(64, 48, device="cuda"), torch.randn(48, 20, device="cuda")
    warmup("kaf", x.dtype, (64, 48))
    graph, y = captured(kaf, x, alpha)
    x.copy_(torch.randn_like(x))
    graph.replay()
    assert torch.equal(y, kaf(x, alpha))


STEPS = {  # the shape of the weights, and what warmup is told of them
    "scaled_sigmoid": (scaled_sigmoid, None, {}),
    "penalized_tanh": (penalized_tanh, None, {}),
    "learned slope": (penalized_tanh, (48,), {"num_parameters": 48}),
    "kaf": (kaf, (48, 20), {}),
}


@pytest.mark.parametrize(("function", "row", "dims"), STEPS.values(), ids=STEPS)
def test_warm_forward_and_backward_replay(function, row, dims):
    """The gradients of x and of the weights are made in the same memory, as a trainer does it."""
    x = torch.randn(64, 48, device="cuda", requires_grad=True)
    g, leaves = torch.randn_like(x), [x]
    leaves += [torch.randn(row, device="cuda", requires_grad=True)] if row else []
    warmup(function.__name__, x.dtype, (64, 48), **dims)

    def step(*leaves):
        with torch.enable_grad():
            y = function(*leaves)
            return y.detach(), *torch.autograd.grad(y, leaves, g)

    graph, found = captured(step, *leaves)
    with torch.no_grad():
        for tensor in (*leaves, g):
            tensor.copy_(torch.randn_like(tensor))
    graph.replay()
    for value, expected in zip(found, step(*leaves), strict=True):
        assert torch.equal(value, expected)


def test_a_cold_kernel_is_replaced(monkeypatch):
    """Capture goes on, with a warning, and the graph computes the same within rounding."""
    from triton_acts.pointwise import _define

    for name in ("_variants", "_bound"):
        monkeypatch.setattr(_define._forward, name, type(getattr(_define._forward, name))())
    x = torch.randn(3000, device="cuda")
    with pytest.warns(RuntimeWarning, match="call triton_acts.warmup"):
        graph, y = captured(scaled_sigmoid, x)
    graph.replay()
    torch.testing.assert_close(y, 4 * torch.sigmoid(x) - 2)
