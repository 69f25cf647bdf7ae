"""Penalized tanh with a tensor a: every shape, the gradient of a, and how work is cut."""

import itertools

import pytest
import torch
from support.canaries import Canaries

from triton_acts import PenalizedTanh, penalized_tanh
from triton_acts.pointwise import _per_channel
from triton_acts.pointwise._per_channel import tiles

SHAPES = {
    "2d": ((40, 24), 1),
    "2d odd": ((33, 10), 1),
    "first": ((7, 50), 0),
    "negative": ((3, 5, 6), -1),
    "3d": ((4, 9, 11), 1),
    "nchw": ((3, 5, 12, 20), 1),
    "7x7": ((4, 20, 7, 7), 1),
    "one channel": ((4, 1, 9), 1),
    "batch 1": ((1, 3, 40, 40), 1),
    "wide": ((2, 1030), 1),
    "5d": ((2, 3, 2, 3, 4), 2),
    "wide 3 x 3": ((1, 9000, 3, 3), 1),
    "tall": ((40001, 3), 1),
    "tall 3 x 3": ((9000, 2, 3, 3), 1),
}
SEVERAL_PROGRAMS = ("tall", "tall 3 x 3")  # that share a channel, and so add up partial sums


def reference(x, a, dim, g):
    """y, dx, da in float64 from the formula."""
    x64, a64 = x.detach().double().requires_grad_(), a.detach().double().requires_grad_()
    wide = a64 if x.dim() else a64.view(())
    if a.numel() > 1:
        wide = a64.view([-1 if i == dim % x.dim() else 1 for i in range(x.dim())])
    t = torch.tanh(x64)
    y = torch.where(x64 > 0, t, wide * t)
    return (y, *torch.autograd.grad(y, (x64, a64), g.double()))


def check(x, a, dim, g=None):
    """Forward, dx and da against the reference; strides kept."""
    x, a = x.detach().requires_grad_(), a.detach().requires_grad_()
    y = penalized_tanh(x, a, dim)
    g = torch.randn_like(y) if g is None else g
    dx, da = torch.autograd.grad(y, (x, a), g)
    y64, dx64, da64 = reference(x, a, dim, g)
    eps = torch.finfo(x.dtype).eps
    torch.testing.assert_close(y.double(), y64, rtol=8 * eps, atol=1e-7)
    torch.testing.assert_close(dx.double(), dx64, rtol=64 * eps, atol=1e-6)
    scale = g.double().abs().sum() / a.numel()
    bound = 1e-6 * scale + 2 * torch.finfo(a.dtype).eps * da64.abs().max()
    assert (da.double() - da64).abs().max() <= bound
    assert da.dtype == a.dtype
    assert y.stride() == dx.stride() == torch.empty_like(x).stride()


@pytest.mark.parametrize("shape", SEVERAL_PROGRAMS)
def test_partial_sums_of_several_programs(shape, device, monkeypatch):
    """Each has its own place; memory that nobody writes is NaN, and none is written beside it."""
    size, _ = SHAPES[shape]
    seen, real = [], _per_channel.tiles

    def noted(*args):
        seen.append(real(*args))
        return seen[-1]

    monkeypatch.setattr(_per_channel, "tiles", noted)
    x, a = torch.randn(size, device=device), torch.randn(size[1], device=device)
    canaries = Canaries()
    with monkeypatch.context() as patch:
        canaries.watch(patch)
        check(x, a, 1)
    canaries.check()
    assert max(t.splits for t in seen) > 1


@pytest.mark.parametrize("learn", ["per channel", "shared"])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s not in SEVERAL_PROGRAMS])
def test_values(shape, learn, device):
    """Channels in any dimension; strides and dtypes are the battery's."""
    size, dim = SHAPES[shape]
    x = torch.randn(size, device=device).mul(2)
    a = torch.rand(size[dim] if learn == "per channel" else 1, device=device)
    check(x, a, dim)


def test_scalar_and_tensor_agree_bit_for_bit(device):
    x = torch.randn(3, 4, 50, device=device)
    for a in (0.25, 0.01, -0.5):
        expected = penalized_tanh(x, a)
        for n in (1, 4):
            assert torch.equal(penalized_tanh(x, torch.full((n,), a, device=device)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_dtype_of_a(dtype, device):
    """a is used in float32; its gradient comes in its own dtype."""
    check(torch.randn(6, 8, device=device), torch.rand(8, device=device).to(dtype), 1)


def test_vectors_and_scalars_take_one_a(device):
    check(torch.randn(50, device=device), torch.tensor([0.3], device=device), 1)
    check(torch.randn((), device=device), torch.tensor([0.3], device=device), 1)


def test_only_what_is_needed(device, launches):
    """Gradients that nobody asks for are not computed."""
    x, a = torch.randn(6, 8, device=device), torch.rand(8, device=device)
    y = penalized_tanh(x, a.requires_grad_())
    (da,) = torch.autograd.grad(y.sum(), a)
    assert da is not None
    y = penalized_tanh(x.requires_grad_(), a.detach())
    (dx,) = torch.autograd.grad(y.sum(), x)
    assert dx is not None
    assert len(launches) == 4


def test_module_learns(device):
    module = PenalizedTanh(num_parameters=3, device=device)
    module(torch.randn(8, 3, 4, device=device)).sum().backward()
    assert module.a.grad.shape == (3,)


@pytest.mark.composite  # pure arithmetic
@pytest.mark.parametrize("programs", [4, 2048])
def test_tiles_cover_everything_once(programs, monkeypatch):
    """Rows, columns and channels of all programs cover the shape, with whole tiles a program."""
    monkeypatch.setattr(_per_channel, "_PROGRAMS", programs)
    sizes = (1, 2, 3, 7, 16, 49, 100, 512, 3136, 100_003)
    for outer, channels, inner in itertools.product(sizes, sizes, sizes):
        for elements in (512, 1024):
            t = tiles.__wrapped__(outer, channels, inner, elements)
            height, lanes = t.tile
            row = channels * inner
            assert all(n & (n - 1) == 0 for n in t.tile)
            assert 1 <= height * lanes <= elements
            assert t.rows % height == 0
            assert t.columns % lanes == 0
            assert (t.grid[1] - 1) * t.rows < outer <= t.grid[1] * t.rows
            assert t.grid[1] <= 65535
            assert t.grid[2] <= 65535
            if t.mode in ("columns", "small planes"):
                assert (t.grid[0] - 1) * lanes < row <= t.grid[0] * lanes
                assert t.grid[2] == 1
                assert t.grid[1] == 1 or outer / t.grid[1] > 8
            else:
                assert t.grid[0] == channels
                assert (t.grid[2] - 1) * t.columns < inner <= t.grid[2] * t.columns
            assert (t.mode == "columns") == (inner == 1 < channels)
            assert (t.mode == "shared") == (channels == 1)
