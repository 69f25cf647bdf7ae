"""KAF's kernels: accuracy, special values, layouts, gradients, passes and roads."""

import numpy as np
import pytest
import torch
from support import hardware
from support import kaf as reference
from support.canaries import Canaries

from triton_acts import kaf
from triton_acts.dictionary import _kernel_road, _kernels, _run, _tiles
from triton_acts.dictionary._composite import Nodes, definition
from triton_acts.dictionary._gridding import Grid
from triton_acts.dictionary._rules import RULES
from triton_acts.tuning.keys import layout_of
from triton_acts.tuning.registry import Dims, Hardware

DEFAULT = Grid(-3.0, 3.0, 20, 1 / (6 * (6 / 19) ** 2))
NODES = (2, 3, 4, 8, 20, 32, 64, 128, 256)
CURVATURES = (1 / 16, 1 / 8, 1 / 6, 1.0, 4.0)


@pytest.fixture(params=["interpreter", "documented hardware errors"])
def arithmetic(request, monkeypatch, device):
    """The interpreter's exact exponentials, or a GPU's worst."""
    if request.param != "interpreter":
        if device != "cpu":
            pytest.skip("the GPU has its own errors")
        hardware.documented(monkeypatch)
    return request.param


def samples(num_nodes, rows=1500, channels=4, seed=0):
    """x inside the grid and far outside, weights as ridge fits have them, a random g."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(low, high):
        shape = (rows, channels)
        return torch.rand(shape, generator=generator) * (high - low) + low

    x = torch.cat((uniform(-3, 3), uniform(-14, 14)))
    x[0], x[1] = 3.0, -3.0
    alpha = torch.randn(channels, num_nodes, generator=generator)
    alpha[0] *= 300 * (-1.0) ** torch.arange(num_nodes)
    alpha[1] = alpha[1].abs()
    alpha[2] *= 700 / alpha[2].abs().max()
    return x, alpha, torch.randn(x.shape, generator=generator)


def both(x, alpha, g, dictionary, channel_dim=1, needs=(True, True)):
    """y, dx and dalpha by the kernels."""
    y = _run.forward(x, alpha, dictionary, channel_dim)
    return y, *_run.backward(x, alpha, g, dictionary, channel_dim, *needs)


@pytest.mark.parametrize("curvature", CURVATURES)
@pytest.mark.parametrize("num_nodes", NODES)
def test_accuracy(num_nodes, curvature, arithmetic, device, kaf_accuracy_table):
    """Within 1e-5 of what the weights at hand, or anywhere, can make."""
    dictionary = reference.grid(num_nodes, curvature)
    x, alpha, g = samples(num_nodes)
    expected = reference.Reference(x, alpha, g, dictionary)
    y, dx, dalpha = both(*(t.to(device) for t in (x, alpha, g)), dictionary)
    errors = (*expected.error_y(y), *expected.error_dx(dx))
    assert max(errors) <= 1e-5
    assert expected.excess_dalpha(dalpha) <= 1
    kaf_accuracy_table(num_nodes, arithmetic, (*errors, expected.error_dalpha(dalpha)))


@pytest.mark.parametrize("num_nodes", [3, 20, 45])
def test_free_nodes(num_nodes, arithmetic, device):
    """Nodes in any order, some of them equal, whose float64 values float32 cannot hold."""
    generator = torch.Generator().manual_seed(3)
    positions = torch.rand(num_nodes, generator=generator, dtype=torch.float64) * 6 - 3
    positions[-1] = positions[0]
    dictionary = Nodes(positions.to(device), 40.0)
    x, alpha, g = samples(num_nodes)
    alpha = alpha.abs()
    expected = reference.Reference(x, alpha, g, dictionary)
    y, dx, dalpha = both(*(t.to(device) for t in (x, alpha, g)), dictionary)
    assert expected.error_y(y)[1] <= 1e-6
    assert expected.error_dx(dx)[1] <= 1e-6
    assert expected.excess_dalpha(dalpha) <= 1


def test_free_nodes_far_from_zero(device):
    """Around 1000 a float32 position is off by a thousandth of these bandwidths."""
    generator = torch.Generator().manual_seed(4)
    positions = 1000 + torch.rand(6, generator=generator, dtype=torch.float64)
    dictionary = Nodes(positions.to(device), 400.0)
    x = 1000 + torch.rand((500, 2), generator=generator)
    alpha, g = (torch.rand(shape, generator=generator) + 0.1 for shape in ((2, 6), x.shape))
    expected = reference.Reference(x, alpha, g, dictionary)
    y, dx, dalpha = both(*(t.to(device) for t in (x, alpha, g)), dictionary)
    assert max(expected.error_y(y)[1], expected.error_dx(dx)[1]) <= 3e-6
    assert expected.excess_dalpha(dalpha) <= 1


SHAPES = {
    "N x C": ((37, 6), 1),
    "few channels, ragged fold": ((1001, 3), 1),
    "more channels than lanes": ((5, 40000), 1),
    "unrolled rows and a rest": ((2100, 64), 1),
    "N x T x C": ((3, 7, 10), -1),
    "N x C x H x W": ((3, 5, 17, 19), 1),
    "7 x 7": ((9, 12, 7, 7), 1),
    "large planes": ((2, 3, 200, 200), 1),
    "one image": ((1, 4, 31, 33), 1),
    "channels first": ((6, 50), 0),
    "one element": ((1, 1), 1),
    "one channel": ((29500,), 0),
    "several programs of one channel": ((70000,), 0),
    "many small planes": ((300, 2, 7, 7), 1),
}


def tensor_of(shape, channel_dim, layout):
    x = torch.randn(shape) * 2
    if layout == "permuted":
        return x.movedim(channel_dim, -1).contiguous().movedim(-1, channel_dim)
    return x


@pytest.mark.parametrize("shared", [False, True], ids=["a row a channel", "one row"])
@pytest.mark.parametrize("layout", ["contiguous", "permuted"])
@pytest.mark.parametrize("name", SHAPES)
def test_layouts(name, layout, shared, device):
    """Every shape and stride, with an expanded and a sliced gradient; strides are kept."""
    shape, channel_dim = SHAPES[name]
    x = tensor_of(shape, channel_dim, layout).to(device)
    channels = 1 if shared or len(shape) == 1 else shape[channel_dim]
    alpha = torch.randn(channels, 20, device=device)
    g = torch.randn(*shape[:-1], shape[-1] + 3, device=device)[..., 3:]
    leaves = [t.detach().requires_grad_() for t in (x, alpha)]
    doubles = [t.detach().double().requires_grad_() for t in (x, alpha)]
    y = kaf(*leaves, channel_dim=channel_dim)
    wide = definition(*doubles, DEFAULT, channel_dim)
    torch.testing.assert_close(y.double(), wide, rtol=0, atol=2e-5)
    assert y.stride() == x.stride()
    for incoming in (g, torch.ones((), device=device).expand(shape)):
        found = torch.autograd.grad(y, leaves, incoming, retain_graph=True)
        expected = torch.autograd.grad(wide, doubles, incoming.double(), retain_graph=True)
        torch.testing.assert_close(found[0].double(), expected[0], rtol=0, atol=2e-4)
        sums = x.numel() // channels
        torch.testing.assert_close(found[1].double(), expected[1], rtol=1e-5, atol=1e-6 * sums)


def test_sums_of_several_programs_of_a_lane(device, monkeypatch):
    """Each has its own rows, which fill its lanes, and leaves the others alone."""
    seen, real = [], _kernel_road.tiles

    def noted(*args):
        seen.append(real(*args))
        return seen[-1]

    monkeypatch.setattr(_kernel_road, "tiles", noted)
    generator = torch.Generator().manual_seed(5)
    x, g = torch.randn((2, 68, 16384), generator=generator).to(device)
    alpha = torch.randn((16384, 3), generator=generator).to(device)
    dictionary = reference.grid(3, 1 / 6)
    expected = reference.Reference(*(t.cpu() for t in (x, alpha, g)), dictionary)
    y, dx, dalpha = both(x, alpha, g, dictionary)
    assert max(expected.error_y(y)[1], expected.error_dx(dx)[1]) <= 1e-5
    assert expected.excess_dalpha(dalpha) <= 1
    assert max(t.splits for t in seen) > 1


def test_planes_in_several_tiles(device, monkeypatch):
    """The last tile of a program is cut off; nothing beyond it is read or written."""
    generator = torch.Generator().manual_seed(6)
    x, g = torch.randn((2, 200, 4, 200), generator=generator).to(device)
    alpha = torch.randn((4, 3), generator=generator).to(device)
    dictionary = reference.grid(3, 1 / 6)
    canaries = Canaries()
    with monkeypatch.context() as patch:
        canaries.watch(patch)
        found = both(canaries.around(x), alpha, canaries.around(g), dictionary)
    canaries.check()
    flat = [t.cpu().movedim(1, -1).reshape(-1, 4) for t in (x, g)]
    expected = reference.Reference(flat[0], alpha.cpu(), flat[1], dictionary)
    y, dx = (t.movedim(1, -1).reshape(-1, 4) for t in found[:2])
    assert max(expected.error_y(y)[1], expected.error_dx(dx)[1]) <= 1e-5
    assert expected.excess_dalpha(found[2]) <= 1


SPECIAL = [0.0, -0.0, 1e-45, -1e-38, torch.inf, -torch.inf, 3e38, -3e38, 60.0, -60.0, torch.nan]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("num_nodes", [2, 4, 8, 20, 64])
@pytest.mark.parametrize("curvature", [1 / 16, 1 / 8, 1 / 6, 1.0, 30.0])
def test_special_values(num_nodes, curvature, dtype, device):
    """Finite for every x, 0 at infinity, NaN only where x is; one NaN spoils its own channel."""
    dictionary = reference.grid(num_nodes, curvature)
    x = torch.tensor(SPECIAL).repeat(3, 1).to(dtype).to(device)  # [3, channels]
    alpha = 700.0 * torch.ones(len(SPECIAL), num_nodes, device=device)
    alpha[:, ::2] = -700.0
    y, dx, dalpha = both(x, alpha, torch.ones_like(x), dictionary)
    nan = x.isnan()
    for result in (y, dx):
        assert torch.equal(result.isnan(), nan)
        assert result[~nan].isfinite().all()
        assert (result[x.abs() > 1e30] == 0).all()
    assert torch.equal(dalpha.isnan().all(1), nan[0])
    assert dalpha[~nan[0]].isfinite().all()


@pytest.mark.parametrize("needs", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("num_nodes", [20, 40, 64, 256])
def test_passes_and_needed_gradients(num_nodes, needs, device, launches):
    """One pass over x and g for 40 nodes of sums; no work for a gradient that nobody asked for."""
    dictionary = reference.grid(num_nodes, 1 / 6)
    x, alpha, g = samples(num_nodes, rows=40)
    expected = reference.Reference(x, alpha, g, dictionary)
    tensors = (t.to(device) for t in (x, alpha, g))
    _, dx, dalpha = both(*tensors, dictionary, needs=needs)
    passes = launches.count(_kernels.backward)
    assert passes == (-(-num_nodes // 40) if needs[1] else 1)
    assert [dx is not None, dalpha is not None] == list(needs)
    if needs[0]:
        assert max(expected.error_dx(dx)) <= 1e-5
    if needs[1]:
        assert expected.excess_dalpha(dalpha) <= 1


@pytest.mark.parametrize("needs", [(True, False), (False, True), (False, False)])
def test_autograd_asks_for_what_it_needs(needs, device, launches):
    x = torch.randn(8, 5, device=device, requires_grad=needs[0])
    alpha = torch.randn(5, 20, device=device, requires_grad=needs[1])
    y = kaf(x, alpha)
    assert y.requires_grad == any(needs)
    if any(needs):
        y.sum().backward()
    assert [x.grad is not None, alpha.grad is not None] == list(needs)
    assert launches.count(_kernels.backward) == any(needs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_dtype(dtype, device):
    """alpha is used in float32, also where mixed precision has narrowed it, and so is autocast."""
    x = torch.randn(30, 4, device=device)
    alpha = torch.randn(4, 20, device=device).to(dtype)
    leaf = alpha.clone().requires_grad_()
    y = kaf(x, leaf)
    assert y.dtype is torch.float32
    torch.testing.assert_close(y, kaf(x, alpha.float()))
    y.sum().backward()
    wide = alpha.float().requires_grad_()
    kaf(x, wide).sum().backward()
    assert leaf.grad.dtype is dtype
    torch.testing.assert_close(leaf.grad, wide.grad.to(dtype))
    with torch.autocast(device, torch.bfloat16):
        torch.testing.assert_close(kaf(x, alpha), y.detach(), rtol=0, atol=0)


def test_large_sums_do_not_drift(device):
    """A million terms a channel, all of one sign: the sum is taken in parts."""
    x = torch.rand(2**18, 4, device=device) * 2
    alpha = torch.randn(4, 20, device=device)
    _, _, dalpha = both(x, alpha, torch.ones_like(x), DEFAULT, needs=(False, True))
    kappa, _ = reference.kappas(x, DEFAULT)
    expected = kappa.sum(0)
    error = (dalpha.double().cpu() - expected).abs() / (expected + 1e-2 * len(x))
    assert error.max() <= 1e-5


@pytest.mark.composite
def test_float64_needs_no_kernel(device, launches):
    """Forward and backward on the device of kernels, which do not have float64."""
    x = torch.randn(50, 4, device=device, dtype=torch.float64, requires_grad=True)
    alpha = torch.randn(4, 20, device=device, dtype=torch.float64, requires_grad=True)
    g = torch.randn_like(x)
    y = kaf(x, alpha)
    expected = definition(x, alpha, DEFAULT)
    torch.testing.assert_close(y, expected)
    found = torch.autograd.grad(y, (x, alpha), g)
    for a, b in zip(found, torch.autograd.grad(expected, (x, alpha), g), strict=True):
        torch.testing.assert_close(a, b)
    assert not launches


@pytest.mark.composite  # geometry alone
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    ("outer", "channels", "inner"),
    [
        (8192, 512, 1),
        (33, 3, 1),
        (1, 5, 1),
        (2**22, 7, 1),
        (2**28, 512, 1),
        (2**20, 2, 2**18),
        (1, 1, 2**38),
        (64, 64, 3136),
        (9, 12, 49),
        (1, 1, 999),
    ],
)
def test_tiles_own_every_element_once(outer, channels, inner, backward):
    """Programs cover all rows and columns, none twice, and are not too many for a grid."""
    layout = layout_of(channels, inner)
    rule = RULES["backward" if backward else "forward", layout]
    config = rule.default(torch.float32, Hardware(), Dims(layout, 20))
    t = _tiles.tiles(outer, channels, inner, config.block, config.unroll, backward)
    rows, columns = t.grid[1], t.grid[2]
    assert (rows - 1) * t.rows < t.outer <= rows * t.rows
    assert max(rows, columns) < 2**16
    if t.mode == "lanes":
        assert t.width == t.fold * channels
        assert (t.outer - 1) * t.width < outer * channels <= t.outer * t.width
        assert t.whole_rows * t.fold <= outer
        assert (t.grid[0] - 1) * t.tile[1] < t.width <= t.padded
    else:
        assert (t.width, t.inner, t.outer) == (channels, inner, outer)
        assert (columns - 1) * t.columns < inner <= columns * t.columns
    assert np.prod(t.tile) & (int(np.prod(t.tile)) - 1) == 0
