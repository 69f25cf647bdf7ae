"""KAF under everything that looks into a function: autograd, torch.func, compilers, subclasses."""

import pytest
import torch

from triton_acts import kaf
from triton_acts.dictionary import compile_as
from triton_acts.dictionary._composite import composite
from triton_acts.dictionary._gridding import Grid

DEFAULT = Grid(-3.0, 3.0, 20, 1 / (6 * (6 / 19) ** 2))


def inputs():
    generator = torch.Generator().manual_seed(0)
    return (
        torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True),
        torch.randn(4, 20, generator=generator, dtype=torch.float64, requires_grad=True),
    )


def operator(x, alpha):
    return torch.ops.triton_acts.kaf(x, alpha, None, -3.0, 3.0, DEFAULT.gamma, 1)


def test_derivatives_of_the_operator():
    """First, second and third, for x and alpha together and alone."""
    x, alpha = inputs()
    assert torch.autograd.gradcheck(operator, (x, alpha))
    assert torch.autograd.gradcheck(lambda x: operator(x, alpha.detach()), (x,))
    assert torch.autograd.gradcheck(lambda a: operator(x.detach(), a), (alpha,))
    assert torch.autograd.gradgradcheck(operator, (x, alpha))

    def first(x):
        (d,) = torch.autograd.grad(operator(x, alpha.detach()).sum(), x, create_graph=True)
        return d

    assert torch.autograd.gradgradcheck(first, (x,))


def test_vmap_of_the_operator():
    x, alpha = (t.detach() for t in inputs())
    both = torch.stack((alpha, 2 * alpha))
    batch = torch.stack((x, x + 1), 1)  # [3, 2, 4]
    expected = torch.stack((kaf(x, alpha), kaf(x + 1, alpha)))
    torch.testing.assert_close(torch.vmap(operator, (1, None))(batch, alpha), expected)
    expected = torch.stack((kaf(x, alpha), kaf(x + 1, 2 * alpha)))
    torch.testing.assert_close(torch.vmap(operator, (1, 0))(batch, both), expected)


@pytest.mark.parametrize("f", [kaf, operator], ids=["function", "operator"])
def test_one_argument_depends_on_the_other(f):
    """A KAF of itself, and weights made from x: create_graph changes no gradient."""
    x, alpha = inputs()
    mixed = torch.randn(3, 20, dtype=torch.float64)
    for y, wanted in ((f(f(x, alpha), alpha), alpha), (f(x, (x.T @ mixed).tanh()), x)):
        (once,) = torch.autograd.grad(y.sum(), wanted, retain_graph=True)
        (again,) = torch.autograd.grad(y.sum(), wanted, create_graph=True)
        torch.testing.assert_close(once, again)


@pytest.mark.parametrize("form", ["composite", "op"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled_with_nodes(form, dynamic):
    leaves = [t.detach().float().requires_grad_() for t in inputs()]
    nodes = torch.randn(20)
    compile_as(form)
    try:
        torch._dynamo.reset()
        compiled = torch.compile(kaf, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        found = torch.autograd.grad(compiled(*leaves, nodes=nodes, gamma=2.0).sum(), leaves)
        expected = torch.autograd.grad(kaf(*leaves, nodes=nodes, gamma=2.0).sum(), leaves)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    finally:
        compile_as("composite")


def test_compiled_backward():
    """Autograd itself compiled: the backward is one operator of its graph."""
    leaves = [t.detach().float().requires_grad_() for t in inputs()]
    expected = torch.autograd.grad(kaf(*leaves).sum(), leaves)

    def compiler(graph):
        return torch.compile(graph, backend="eager", fullgraph=True)

    torch._dynamo.reset()
    with torch._dynamo.compiled_autograd._enable(compiler):
        kaf(*leaves).sum().backward()
    for leaf, b in zip(leaves, expected, strict=True):
        torch.testing.assert_close(leaf.grad, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["composite", "op"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiled(form, dynamic):
    """No graph break; values and gradients of both forms, and the form that was asked for."""
    found = []

    def backend(graph, _inputs):
        found.extend(str(node.target) for node in graph.graph.nodes)
        return graph

    leaves = [t.detach().float().requires_grad_() for t in inputs()]
    compile_as(form)
    try:
        torch._dynamo.reset()
        compiled = torch.compile(kaf, fullgraph=True, dynamic=dynamic, backend=backend)
        y = compiled(*leaves)
        assert any("triton_acts.kaf" in name for name in found) == (form == "op")
        torch.testing.assert_close(y, kaf(*leaves), rtol=1e-5, atol=1e-5)
        torch._dynamo.reset()
        compiled = torch.compile(kaf, fullgraph=True, dynamic=dynamic, backend="aot_eager")
        g = torch.randn(3, 4)
        ours = torch.autograd.grad(compiled(*leaves), leaves, g)
        for a, b in zip(ours, torch.autograd.grad(kaf(*leaves), leaves, g), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    finally:
        compile_as("composite")
    with pytest.raises(ValueError, match=r"'kernel'"):
        compile_as("kernel")


def test_modes_see_one_operator():
    x, alpha = (t.detach().float() for t in inputs())

    class Seen(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(str(func))
            return func(*args, **(kwargs or {}))

    names = []
    with Seen():
        torch.testing.assert_close(kaf(x, alpha), operator(x, alpha))
    assert names[0] == "triton_acts.kaf.default"


def test_operators_inside_autocast():
    """The composite's, which compilers see, are on none of its lists."""
    x, alpha = (t.detach().float() for t in inputs())
    with torch.autocast("cpu", torch.bfloat16):
        inside = composite(x, alpha, DEFAULT, 1)
    assert inside.dtype is torch.float32
