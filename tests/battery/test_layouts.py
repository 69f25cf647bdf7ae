"""Every layout of inputs and gradients: values, strides, and nothing written beside a result."""

import os
from itertools import cycle

import pytest
import torch
from support.canaries import Canaries
from support.gradients import assert_close, evaluate, expected, tensors_of
from support.kernels import AS_IT_IS
from support.subjects import BRANCHES
from support.transforms import close

BASE = (3, 3, 9, 7)  # small: the interpreter takes a millisecond for a line of a kernel


def shifted(x, elements=1):
    """x in memory that starts some elements after a 16-byte boundary."""
    flat = x.new_empty(x.numel() + elements)[elements:]
    return flat.view(x.shape).copy_(x)


LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(1, 3),
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "sliced": lambda x: x[:, 1:3, ::2, 3:],
    "one channel of many": lambda x: x[:, 2:3],
    "reversed slice": lambda x: x.flip(2)[..., ::3],
    "diagonal": lambda x: x.diagonal(dim1=2, dim2=3),
    "overlapping": lambda x: x.view(-1).as_strided((7, 5, 9), (3, 2, 1)),
    "expanded": lambda x: x[:, :1].expand(BASE),
    "expanded everywhere": lambda x: x[0, 0, 0, 0].expand(3, 5),
    "misaligned": shifted,
    "misaligned channels last": lambda x: shifted(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
    "matrix": lambda x: x.reshape(-1, 21),
    "ragged vector": lambda x: x.reshape(-1)[1:560],
    "one element": lambda x: x[0, 0, 0, :1],
    "zero-dimensional": lambda x: x[0, 0, 0, 0],
    "size-one dimensions": lambda x: x[:, None, :1, :, None],
    "channels beside size one": lambda x: x[:1, :, :1, :1],
}

HALF = ("contiguous", "transposed", "sliced", "misaligned", "expanded")  # of 2 bytes, too
CASES = [
    pytest.param(layout, dtype, id=f"{layout}-{dtype}")
    for dtype, layouts in ((torch.float32, LAYOUTS), (torch.float16, HALF))
    for layout in layouts
]


def made(layout, dtype, device):
    """A tensor of that layout with normal values."""
    return LAYOUTS[layout](torch.randn(BASE, device=device).mul(3).to(dtype))


@pytest.mark.parametrize(("layout", "dtype"), CASES)
def test_forward_and_backward(subject, layout, dtype, device, launches, runs_kernels):
    """Values, shape and dtype are right; y and dx have x's strides where x is dense."""
    tensors = tensors_of(subject, made(layout, dtype, device))
    x, *weights = tensors
    g = torch.randn_like(x)
    y, dx, *dws = found = evaluate(subject.call, tensors, g)
    assert (len(launches) >= 2) == runs_kernels
    assert_close(subject, found, tensors, g, runs_kernels)
    strides = torch.empty_like(x).stride()
    for result in (y, dx):
        assert (result.shape, result.dtype, result.device) == (x.shape, dtype, x.device)
        assert result.stride() == strides
    assert [(d.shape, d.dtype) for d in dws] == [(w.shape, w.dtype) for w in weights]


@pytest.mark.parametrize("branch", BRANCHES, ids=lambda branch: branch.name)
@pytest.mark.parametrize("layout", ["contiguous", "transposed"])
def test_other_parameters(branch, layout, device, launches, runs_kernels):
    """A bias may cancel most of a large scale, so all is in units of the largest value."""
    tensors = tensors_of(branch, made(layout, torch.float32, device))
    g = torch.randn_like(tensors[0])
    close(evaluate(branch.call, tensors, g), expected(branch, tensors, g))
    assert (len(launches) >= 2) == runs_kernels


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 3, 0), (2, 0, 4)], ids=str)
def test_empty(subject, shape, device, launches):
    """Empty tensors launch nothing, keep shape and graph, and make zero gradients of weights."""
    if shape == (2, 0, 4) and subject.row is not None:
        x = torch.randn(2, 3, 4, device=device)[:, :, :0]
    else:
        x = torch.randn(shape, device=device)
    tensors = tensors_of(subject, x)
    y, dx, *dws = evaluate(subject.call, tensors)
    assert y.shape == dx.shape == x.shape
    for d, w in zip(dws, tensors[1:], strict=True):
        assert torch.equal(d, torch.zeros_like(w))
    assert not launches


GRADIENTS = {
    "sum (stride 0)": lambda y: torch.full((), 1.5, dtype=y.dtype, device=y.device).expand_as(y),
    "mean over channels": lambda y: torch.randn_like(y[:, :1]).expand_as(y),
    "slice of cat": lambda y: torch.cat([torch.randn_like(y)] * 2, -1)[..., : y.shape[-1]],
    "every other": lambda y: torch.randn_like(y).repeat_interleave(2, -1)[..., ::2],
    "transposed": lambda y: torch.randn_like(y.permute(3, 2, 1, 0).contiguous()).permute(
        3, 2, 1, 0
    ),
    "channels last": lambda y: torch.randn_like(y).to(memory_format=torch.channels_last),
    "misaligned": lambda y: shifted(torch.randn_like(y)),
    "neg-bit": lambda y: torch.complex(*torch.randn(2, *y.shape, device=y.device)).conj().imag,
}
INCOMING = list(zip(GRADIENTS, cycle(["contiguous", "sliced"]), strict=False))


@pytest.mark.parametrize(("incoming", "layout"), INCOMING)
def test_incoming_gradients(subject, incoming, layout, device, runs_kernels):
    """Gradients arrive with any strides; gradcheck never shows it."""
    tensors = tensors_of(subject, made(layout, torch.float32, device))
    g = GRADIENTS[incoming](tensors[0])
    before = g.clone()
    found = evaluate(subject.call, tensors, g)
    assert_close(subject, found, tensors, g, runs_kernels)
    assert torch.equal(g, before)


# 0, 1, 15, 16 and 17 elements, planes of 7 x 7 and longer ones, channels beside each other, in
# planes, or one in all; -1 stands for one element more than a tile
SHAPES = [
    (1, 1), (1, 15), (16, 1), (17, 1), (3, 5), (7, 73), (27, 19), (5, 3, 7, 7), (2, 3, 179),
    (8, 2, 64), (1, 1, -1), (1, -1), (-1, 1), (1001, 3),
]  # fmt: skip


@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "misaligned"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_nothing_is_written_outside(subject, shape, offset, device, runs_kernels, monkeypatch):
    """The memory beside inputs and whatever is allocated stays as it is, and enters no sum."""
    tile = 1024 if subject.dictionary else 65536
    shape = [tile + 1 if n < 0 else n for n in shape]
    canaries = Canaries(offset)
    plain = tensors_of(subject, torch.randn(shape, device=device))
    tensors = [canaries.around(t) for t in plain]
    g = canaries.around(torch.randn(shape, device=device))
    inputs = [t.clone() for t in (*tensors, g)]
    with monkeypatch.context() as patch:
        canaries.watch(patch)
        found = evaluate(subject.call, tensors, g)
    assert_close(subject, found, plain, g, runs_kernels)
    canaries.check()
    assert all(torch.equal(a, b) for a, b in zip(inputs, (*tensors, g), strict=True))
    watched = len(canaries.buffers) - len(inputs)  # y and dx, but those that operators allocate
    assert watched >= 2 if runs_kernels or subject.dictionary else watched == 0


def test_fresh_memory_is_nan(device):
    """In every test here, so that an element that nobody wrote shows."""
    assert torch.empty(3, device=device).isnan().all() or os.environ.get(AS_IT_IS)
