"""Which road a call takes, and that autograd and transforms are right on every one of them."""

import pytest
import torch
from support import activations

from triton_acts import penalized_tanh
from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply

OPS = pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)


def close(a, b):
    torch.testing.assert_close(a.double(), b.double(), rtol=1e-5, atol=1e-6)


@OPS
def test_kernel_runs_with_and_without_grad(op, device, launches):
    """One launch forward and one backward; none that is not needed."""
    x = torch.randn(50, device=device)
    apply(op, x, op.defaults)
    with torch.no_grad():
        apply(op, x.clone().requires_grad_(), op.defaults)
    with torch.inference_mode():
        apply(op, x, op.defaults)
    assert len(launches) == 3
    apply(op, torch.nn.Parameter(x), op.defaults).sum().backward()
    assert len(launches) == 5


@OPS
@pytest.mark.parametrize("save", ["input", "output"])
def test_higher_orders(op, save, device):
    """Three derivatives with respect to x, and the second through g, equal the plain formula's."""
    x = torch.randn(40, device=device, dtype=torch.float32).requires_grad_()
    reference = x.detach().double().requires_grad_()
    ours, theirs = apply(op, x, op.defaults, save), op.composite(reference, *op.defaults)
    for _ in range(3):
        (ours,) = torch.autograd.grad(ours.sum(), x, create_graph=True)
        (theirs,) = torch.autograd.grad(theirs.sum(), reference, create_graph=True)
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-5)
    g = torch.randn(40, device=device).requires_grad_()
    (dx,) = torch.autograd.grad(apply(op, x, op.defaults, save), x, g, create_graph=True)
    (dg,) = torch.autograd.grad(dx.sum(), g)
    close(dg, activations.slope(op, op.defaults, x))


@pytest.mark.composite
@OPS
def test_transforms_take_the_composite(op, device, launches):
    """vmap, grad, jvp, jacrev, forward AD, modes and fake tensors: right, and without a launch."""

    def f(x):
        return apply(op, x, op.defaults)

    x = torch.randn(5, 7, device=device)
    slope = activations.slope(op, op.defaults, x).float()
    close(torch.func.vmap(f)(x), activations.forward(op, op.defaults, x))
    close(torch.func.grad(lambda v: f(v).sum())(x), slope)
    close(torch.func.jvp(f, (x,), (torch.ones_like(x),))[1], slope)
    close(torch.func.jacrev(f)(x[0]), torch.diag(slope[0]))
    close(torch.func.jacfwd(f)(x[0]), torch.diag(slope[0]))
    torch.func.hessian(lambda v: f(v).sum())(x[0])
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        close(torch.autograd.forward_ad.unpack_dual(f(dual)).tangent, slope)
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._python_dispatch import TorchDispatchMode

    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    with Seen():
        close(f(x), activations.forward(op, op.defaults, x))
    with FakeTensorMode() as mode:
        assert f(mode.from_tensor(x)).shape == x.shape
    assert f(x.to("meta")).shape == x.shape
    negated = torch.complex(x, x).conj().imag
    close(f(negated), activations.forward(op, op.defaults, -x))
    assert not launches


@OPS
def test_batched_gradients(op, device):
    """is_grads_batched hands backward a batched gradient: its memory is not one gradient's."""
    x = torch.randn(6, device=device).requires_grad_()
    y = apply(op, x, op.defaults)
    (jacobian,) = torch.autograd.grad(y, x, torch.eye(6, device=device), is_grads_batched=True)
    close(jacobian, torch.diag(activations.slope(op, op.defaults, x.detach())))


@OPS
def test_checkpoint_and_hooks(op, device):
    """Activation checkpointing and saved-tensor hooks see and restore what the kernel saved."""
    x = torch.randn(30, device=device).requires_grad_()
    from torch.utils.checkpoint import checkpoint

    checkpoint(lambda v: apply(op, v, op.defaults), x, use_reentrant=False).sum().backward()
    close(x.grad, activations.slope(op, op.defaults, x.detach()))
    packed = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        y = apply(op, x, op.defaults)
    assert len(packed) == 1
    (dx,) = torch.autograd.grad(y.sum(), x)
    close(dx, activations.slope(op, op.defaults, x.detach()))


@OPS
def test_saved_tensors(op, device):
    """One tensor is kept: the input's storage, or with save='output' the output's."""
    for save in ("input", "output"):
        x = torch.randn(30, device=device).requires_grad_()
        y = apply(op, x, op.defaults, save)
        (kept,) = y.grad_fn.saved_tensors
        assert kept.data_ptr() == (x if save == "input" else y).data_ptr()
        with torch.no_grad():
            (x if save == "input" else y).add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


@OPS
def test_deterministic(op, device):
    """The same bits ten times."""
    x = torch.randn(1000, device=device)
    first = apply(op, x, op.defaults)
    assert all(torch.equal(first, apply(op, x, op.defaults)) for _ in range(9))


def test_learned_a_saves_no_more_than_its_inputs(device):
    """x and a, nothing else."""
    x = torch.randn(4, 3, device=device).requires_grad_()
    a = torch.rand(3, device=device).requires_grad_()
    y = penalized_tanh(x, a)
    assert {t.data_ptr() for t in y.grad_fn.saved_tensors} == {x.data_ptr(), a.data_ptr()}
