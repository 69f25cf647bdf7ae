"""Tensors that are not plain, and modes: values, gradients and strides, or an error that helps."""

import warnings

import pytest
import torch
from support.subjects import SUBJECTS
from support.transforms import close, eager, inputs, reference
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.testing._internal.common_subclass import NonWrapperTensor
from torch.testing._internal.logging_tensor import LoggingTensor
from torch.testing._internal.two_tensor import TwoTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LEARNED = [subject for subject in SUBJECTS if subject.row is not None]


class Plain(torch.Tensor):
    """A subclass with nothing of its own."""


class Counting(torch.Tensor):
    """A subclass that sees PyTorch's functions, as users' loggers and unit checkers do."""

    calls = 0

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.calls += 1
        return super().__torch_function__(func, types, args, kwargs or {})


class Refusing(torch.Tensor):
    """A foreign subclass that knows none of PyTorch's functions."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return NotImplemented


class FunctionMode(TorchFunctionMode):
    """Sees every call, as a user's tracer would."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    """Sees every operator."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append(func)
        return func(*args, **(kwargs or {}))


def negated(x):
    """A view whose memory holds -x."""
    return torch.complex(x, -x).conj().imag


KINDS = {
    "plain subclass": lambda x: x.as_subclass(Plain),
    "subclass with __torch_function__": lambda x: x.as_subclass(Counting),
    "LoggingTensor": LoggingTensor,
    "NonWrapperTensor": NonWrapperTensor,
    "TwoTensor": lambda x: TwoTensor(x, x.clone()),
    "neg-bit view": negated,
}


def values(tensor):
    """What a subclass holds, as a plain tensor."""
    tensor = getattr(tensor, "elem", getattr(tensor, "a", tensor))
    return tensor.detach().as_subclass(torch.Tensor).resolve_neg()


def check_subclass(subject, kind, chosen, device):
    """Leaves of those numbers are of the kind, and so is the result."""
    leaves, g = inputs(subject, device)
    expected = reference(subject, leaves, g)
    given = [KINDS[kind](t) if i in chosen else t.clone() for i, t in enumerate(leaves)]
    own = type(given[chosen[0]])
    given = [t.requires_grad_() for t in given]
    y = subject.call(*given)
    assert isinstance(y, own)
    found = torch.autograd.grad(y, given, torch.ones_like(y) * g)
    close([values(t) for t in (y, *found)], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_subclasses(subject, kind, device, launches):
    check_subclass(subject, kind, [0], device)
    assert not launches or subject.op == "kaf"  # whose operator takes what the subclass holds


@pytest.mark.parametrize("which", [[1], [0, 1]], ids=["weight", "both"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("learned", LEARNED, ids=lambda subject: subject.name)
def test_subclasses_as_weights(learned, kind, which, device, launches):
    check_subclass(learned, kind, which, device)
    assert not launches or learned.op == "kaf"


@pytest.mark.branches
@pytest.mark.parametrize("mode", [FunctionMode, DispatchMode], ids=lambda mode: mode.__name__)
def test_modes(subject, mode, device, launches, runs_kernels):
    leaves, g = inputs(subject, device)
    with mode():
        found = eager(subject.call, leaves, g)
    close(found, reference(subject, leaves, g))
    assert bool(launches) == (runs_kernels and subject.op == "kaf")  # an operator of its own


class Keeping(DispatchMode):
    """Keeps every result, and what it was when it came."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.seen += [(t, t.clone()) for t in tree_leaves(found) if isinstance(t, torch.Tensor)]
        return found


class KeepingFunctionMode(TorchFunctionMode):
    """The same of functions."""

    def __init__(self):
        super().__init__()
        self.seen = []

    __torch_function__ = Keeping.__torch_dispatch__


@pytest.mark.branches
@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("mode", [Keeping, KeepingFunctionMode], ids=lambda mode: mode.__name__)
def test_results_that_a_mode_keeps_stay_as_they_are(subject, mode, grad, device):
    """As selective checkpointing, profilers and tracers keep them."""
    leaves, _ = inputs(subject, device)
    with torch.set_grad_enabled(grad), mode() as kept:
        subject.call(*(t.requires_grad_(grad) for t in leaves))
    assert kept.seen
    for now, then in kept.seen:
        torch.testing.assert_close(now, then, rtol=0, atol=0, equal_nan=True)


def test_a_mode_around_backward_alone(subject, device):
    """What forward saved for a kernel serves a backward that may launch none."""
    leaves, g = inputs(subject, device)
    given = [t.clone().requires_grad_() for t in leaves]
    y = subject.call(*given)
    with DispatchMode() as mode:
        found = torch.autograd.grad(y, given, g)
    assert mode.seen
    close((y.detach(), *found), reference(subject, leaves, g))


def test_a_default_device_is_no_transform(subject, device, launches, runs_kernels):
    """`torch.set_default_device` pushes a function mode and changes no call."""
    leaves, _ = inputs(subject, device)
    with torch.device(device):
        subject.call(*leaves)
    assert bool(launches) == runs_kernels


LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(0, 2).contiguous().transpose(0, 2),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "sliced": lambda x: torch.cat((x, x), 3)[..., ::2],
    "expanded": lambda x: x[:1].expand(2, -1, -1, -1),
    "no elements": lambda x: x[:0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fake_and_meta_tensors(subject, layout, device, launches):
    """Shape, dtype, strides and device of results and gradients are those of real tensors."""
    (x, *weights), _ = inputs(subject, device, (2, 3, 2, 4))
    x = LAYOUTS[layout](x.bfloat16())

    def described(x, *weights):
        leaves = [t.detach().requires_grad_() for t in (x, *weights)]
        y = subject.call(*leaves)
        gradients = torch.autograd.grad(y, leaves, torch.ones_like(y))
        return [(t.shape, t.dtype, t.stride()) for t in (y, *gradients)]

    expected = described(x, *weights)
    launches.clear()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fakes = [mode.from_tensor(t) for t in (x, *weights)]
        assert described(*fakes) == expected
        assert subject.call(*fakes).device.type == device.type
    meta = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")
    assert described(meta, *(w.to("meta") for w in weights)) == expected
    assert not launches


def nested(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a prototype
        return torch.nested.nested_tensor([x, x[:2]])


def jagged(x):
    return torch.nested.nested_tensor([x, x[:2]], layout=torch.jagged)


WITHOUT_MEMORY = {
    "nested": (nested, r"is a nested tensor; allowed are dense .*unbind\(\)"),
    "jagged": (jagged, r"torch\.jagged.*strided|is a nested tensor"),
    "ZeroTensor": (
        lambda x: torch._efficientzerotensor(x.shape, device=x.device),
        r"is a ZeroTensor.*allowed are dense .*clone\(\)",
    ),
    "sparse": (torch.Tensor.to_sparse, r"torch\.sparse_coo.* strided|to_dense"),
    "foreign": (lambda x: x.as_subclass(Refusing), "all __torch_function__ handlers returned"),
}


@pytest.mark.parametrize("kind", WITHOUT_MEMORY)
def test_what_may_raise(subject, kind, device, launches):
    """Where PyTorch has the operators there is a value, else a TypeError that says what to do."""
    make, message = WITHOUT_MEMORY[kind]
    leaves, _ = inputs(subject, device)
    for which, leaf in enumerate(leaves):
        given = [make(leaf) if i == which else t for i, t in enumerate(leaves)]
        expected = [torch.zeros_like(leaf) if i == which else t for i, t in enumerate(leaves)]
        try:
            y = subject.call(*given)
        except TypeError:
            named = "" if kind == "foreign" else f"{subject.op}: "
            with pytest.raises(TypeError, match=f"{named}.*({message})"):
                subject.call(*given)
            continue
        if kind == "ZeroTensor":
            close((y,), (subject.formula(*(t.double() for t in expected)),))
        else:
            assert kind == "nested"
            for part, own in zip(y.unbind(), given[0].unbind(), strict=True):
                close((part,), (subject.formula(own.double()),))
    assert not launches or subject.op == "kaf"


def test_another_error_stays_what_it_is(subject, device):
    """An operator that fails for a tensor of the usual kind raises what it raised."""

    class Full(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            raise RuntimeError("no memory is left")

    leaves, _ = inputs(subject, device)
    with Full(), pytest.raises(RuntimeError, match="no memory is left"):
        subject.call(*leaves)
