"""Each guard of the kernel road: where a launch would read the wrong memory, the composite runs."""

import warnings

import pytest
import torch
from support import activations
from torch.testing._internal.logging_tensor import LoggingTensor

from triton_acts import penalized_tanh
from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply

OPS = pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)


class FunctionMode(torch.overrides.TorchFunctionMode):
    """Sees every call, as a user's tracer would."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class Subclass(torch.Tensor):
    """A subclass whose memory is its own, which a kernel cannot know."""


def zero_tensor(x):
    return torch._efficientzerotensor(x.shape, device=x.device)


def nested(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.nested.nested_tensor([x, x[:2]])


TENSORS = {
    "subclass": lambda x: x.as_subclass(Subclass),
    "wrapper subclass": lambda x: LoggingTensor(x),
    "nested": nested,
    "zero tensor": zero_tensor,
    "neg-bit view": lambda x: torch.complex(x, x).conj().imag,
    "meta": lambda x: x.to("meta"),
    "float64": lambda x: x.double(),
}


@pytest.mark.composite
@pytest.mark.parametrize("kind", TENSORS)
@OPS
def test_tensors_that_are_not_plain(op, kind, device, launches):
    """No launch; a value where the tensor has one, and a Python error at worst."""
    x = TENSORS[kind](torch.randn(4, 6, device=device))
    try:
        y = apply(op, x, op.defaults)
    except (TypeError, NotImplementedError, RuntimeError):
        assert kind in ("nested", "zero tensor")  # PyTorch itself has no such operator for them
    else:
        if kind not in ("nested", "meta", "wrapper subclass"):
            expected = op.composite(x.double(), *op.defaults)
            torch.testing.assert_close(y.double(), expected.double(), rtol=1e-5, atol=1e-6)
    assert not launches


@pytest.mark.composite
@OPS
def test_function_modes_see_the_operators(op, device, launches):
    with FunctionMode():
        apply(op, torch.randn(5, device=device), op.defaults)
    assert not launches


@OPS
def test_a_default_device_is_no_transform(op, device, launches):
    """`torch.set_default_device` pushes a function mode and changes no call."""
    x = torch.randn(5, device=device)
    with torch.device("cpu"):
        apply(op, x, op.defaults)
    assert len(launches) == 1
    with torch.device("cpu"), FunctionMode():
        apply(op, x, op.defaults)
    assert len(launches) == 1


@pytest.mark.composite
@OPS
def test_compile_export_and_trace_take_the_composite(op, device, launches):
    """Dynamo, export (strict or not) and jit.trace see operators they can fuse, and are right."""

    def f(x):
        return apply(op, x, op.defaults)

    x = torch.randn(4, 6, device=device)
    expected = activations.forward(op, op.defaults, x).float()
    torch._dynamo.reset()
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected, rtol=1e-5, atol=1e-6)
    leaf = x.clone().requires_grad_()
    compiled(leaf).sum().backward()
    slope = activations.slope(op, op.defaults, x).float()
    torch.testing.assert_close(leaf.grad, slope, rtol=1e-5, atol=1e-6)

    class Module(torch.nn.Module):
        def forward(self, x):
            return f(x)

    for strict in (True, False):
        exported = torch.export.export(Module(), (x,), strict=strict).module()
        torch.testing.assert_close(exported(x), expected, rtol=1e-5, atol=1e-6)
    assert not launches
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # jit.trace is deprecated; its check calls f once more
        traced = torch.jit.trace(f, (x,))
    expected = activations.forward(op, op.defaults, 2 * x).float()
    torch.testing.assert_close(traced(2 * x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.composite
@OPS
def test_forward_inside_a_batched_backward(op, device):
    """A user's backward that calls an activation, under is_grads_batched."""

    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, g):
            return apply(op, g, op.defaults)

    x = torch.randn(3, device=device).requires_grad_()
    rows = torch.eye(3, device=device)
    (dx,) = torch.autograd.grad(Twice.apply(x), x, rows, is_grads_batched=True)
    expected = activations.forward(op, op.defaults, rows).float()
    torch.testing.assert_close(dx, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.composite
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@OPS
def test_transforms_with_every_parameter(op, grad, device):
    """jvp, vmap and grad for all examples, also where grad mode is off."""
    x = torch.randn(5, device=device)
    for params in op.examples:

        def f(v, params=params):
            return apply(op, v, params)

        slope = activations.slope(op, params, x).float()
        with torch.set_grad_enabled(grad):
            tangent = torch.func.jvp(f, (x,), (torch.ones_like(x),))[1]
            torch.testing.assert_close(tangent, slope, rtol=1e-5, atol=1e-6)
            gradient = torch.func.grad(lambda v, f=f: f(v).sum())(x)
            torch.testing.assert_close(gradient, slope, rtol=1e-5, atol=1e-6)
            expected = activations.forward(op, params, x).float()
            torch.testing.assert_close(torch.func.vmap(f)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.composite
def test_a_weight_that_is_not_plain(device, launches):
    """The weight is guarded as x is."""
    x, a = torch.randn(4, 3, device=device), torch.rand(3, device=device)
    expected = torch.where(x > 0, x.tanh(), -a * x.tanh())
    y = penalized_tanh(x, torch.complex(a, a).conj().imag)
    torch.testing.assert_close(y, expected)
    torch.func.vmap(lambda w: penalized_tanh(x, w))(a.expand(2, 3))
    assert not launches


@pytest.mark.composite
def test_distributed_tensors(tmp_path, launches):
    """A DTensor's data pointer is 0; its operators are sharded."""
    import torch.distributed as dist
    from torch.distributed.tensor import DTensor, Shard, init_device_mesh

    dist.init_process_group(
        "gloo", store=dist.FileStore(str(tmp_path / "store"), 1), rank=0, world_size=1
    )
    try:
        mesh = init_device_mesh("cpu", (1,))
        x = torch.randn(4, 6)
        sharded = DTensor.from_local(x, mesh, [Shard(0)])
        for op in ALL:
            y = apply(op, sharded, op.defaults)
            expected = activations.forward(op, op.defaults, x).float()
            torch.testing.assert_close(y.to_local(), expected, rtol=1e-5, atol=1e-6)
    finally:
        dist.destroy_process_group()
    assert not launches
