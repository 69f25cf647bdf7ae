"""KAF without a GPU: the composite, and the pieces that eager CPU calls take."""

import functools
import subprocess
import sys

import pytest
import torch
from support import kaf as reference

from triton_acts import kaf
from triton_acts.dictionary import _pieces
from triton_acts.dictionary._composite import Nodes, composite, definition
from triton_acts.dictionary._gridding import Grid

DEFAULT = Grid(-3.0, 3.0, 20, 1 / (6 * (6 / 19) ** 2))
ROADS = {
    "pieces": lambda x, alpha, dictionary: kaf_of(x, alpha, dictionary),
    "composite": lambda x, alpha, dictionary: composite(x, alpha, dictionary, 1),
}


def kaf_of(x, alpha, dictionary):
    """The public function with a dictionary's own arguments."""
    if isinstance(dictionary, Nodes):
        return kaf(x, alpha, nodes=dictionary.positions, gamma=dictionary.gamma)
    return kaf(x, alpha, grid=(dictionary.lo, dictionary.hi), gamma=dictionary.gamma)


def samples(num_nodes, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(2000, 4, generator=generator) * 6 - 3
    x = torch.cat((x, torch.randn(x.shape, generator=generator) * 6)).to(dtype)
    alpha = torch.randn(4, num_nodes, generator=generator)
    alpha[0] *= 300 * (-1.0) ** torch.arange(num_nodes)
    return x, alpha.to(dtype), torch.randn(x.shape, generator=generator).to(dtype)


def gradients(f, x, alpha, g):
    leaves = [t.detach().requires_grad_() for t in (x, alpha)]
    y = f(*leaves)
    return y.detach(), *torch.autograd.grad(y, leaves, g)


@pytest.mark.parametrize("curvature", [1 / 16, 1 / 8, 1 / 6, 1.0, 4.0])
@pytest.mark.parametrize("num_nodes", [2, 4, 8, 20, 32, 64, 128, 256])
@pytest.mark.parametrize("road", ROADS)
def test_accuracy(road, num_nodes, curvature):
    dictionary = reference.grid(num_nodes, curvature)
    x, alpha, g = samples(num_nodes)
    expected = reference.Reference(x, alpha, g, dictionary)
    f = functools.partial(ROADS[road], dictionary=dictionary)
    y, dx, dalpha = gradients(f, x, alpha, g)
    assert max(expected.error_y(y)) <= 1e-5
    assert max(expected.error_dx(dx)) <= 1e-5
    assert expected.excess_dalpha(dalpha) <= 1


@pytest.mark.parametrize("num_nodes", [2, 3, 20, 64])
@pytest.mark.parametrize("curvature", [1 / 16, 1 / 6, 4.0, 30.0])
@pytest.mark.parametrize("road", ROADS)
def test_float64_is_float64(road, num_nodes, curvature):
    dictionary = reference.grid(num_nodes, curvature)
    x, alpha, g = samples(num_nodes, torch.float64)
    f = functools.partial(ROADS[road], dictionary=dictionary)
    expected = gradients(functools.partial(definition, dictionary=dictionary), x, alpha, g)
    for a, b in zip(gradients(f, x, alpha, g), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11 * b.abs().max().item())


@pytest.mark.parametrize("road", ROADS)
def test_free_nodes(road):
    positions = torch.randn(17, dtype=torch.float64)
    dictionary = Nodes(positions, 3.0)
    x, alpha, g = samples(17, torch.float64)
    f = functools.partial(ROADS[road], dictionary=dictionary)
    expected = gradients(functools.partial(definition, dictionary=dictionary), x, alpha, g)
    for a, b in zip(gradients(f, x, alpha, g), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11 * b.abs().max().item())


SPECIAL = [0.0, -0.0, 1e-45, torch.inf, -torch.inf, 3e38, -3e38, torch.nan]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("free", [False, True])
@pytest.mark.parametrize("num_nodes", [2, 4, 8, 20, 64])
@pytest.mark.parametrize("road", ROADS)
def test_special_values(road, num_nodes, free, dtype):
    """Finite for every x, 0 at infinity, NaN only where x is; one NaN spoils its own channel."""
    dictionary = reference.grid(num_nodes, 1 / 6)
    if free:
        dictionary = Nodes(torch.linspace(-3, 3, num_nodes), dictionary.gamma)
    x = torch.tensor(SPECIAL, dtype=torch.float64).repeat(3, 1).to(dtype)
    alpha = torch.full((len(SPECIAL), num_nodes), 700.0)
    alpha[:, ::2] = -700.0
    f = functools.partial(ROADS[road], dictionary=dictionary)
    y, dx, dalpha = gradients(f, x, alpha, torch.ones_like(x))
    nan = x.isnan()
    for result in (y, dx):
        assert torch.equal(result.isnan(), nan)
        assert (result[x.abs() > 1e30] == 0).all()
        assert result[~nan].isfinite().all()
    assert torch.equal(dalpha.isnan().all(1), nan[0])
    assert dalpha[~nan[0]].isfinite().all()


@pytest.mark.parametrize("piece", [1, 7, 64, 10**6])
@pytest.mark.parametrize("shape", [(9, 5), (2, 5, 3, 4), (3, 4, 5)])
def test_pieces_of_any_size(shape, piece, monkeypatch):
    """Where a piece ends changes nothing but the order of sums."""
    monkeypatch.setattr(_pieces, "_PIECE", piece)
    channel_dim = shape.index(5)
    x, alpha = torch.randn(shape), torch.randn(5, 45)
    dictionary = reference.grid(45, 1 / 6)
    f = functools.partial(kaf, channel_dim=channel_dim)
    g = torch.randn(shape)
    expected = gradients(
        lambda x, alpha: definition(x, alpha, dictionary, channel_dim),
        x.double(),
        alpha.double(),
        g.double(),
    )
    for a, b in zip(gradients(f, x, alpha, g), expected, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=0, atol=1e-5 * b.abs().max().item())


def test_no_tensor_of_d_times_x(monkeypatch):
    """The composite keeps at most 25 times x for backward, and no tensor is larger than x."""
    x = torch.randn(500, 8, requires_grad=True)
    alpha = torch.randn(8, 20, requires_grad=True)
    kept = {}

    def pack(t):
        storage = t.untyped_storage()
        kept[storage._cdata] = storage  # alive, so that no address is used again
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        y = composite(x, alpha, DEFAULT, 1)
    sizes = [storage.nbytes() for storage in kept.values()]
    assert sum(sizes) <= 25 * x.nbytes
    assert max(sizes) <= x.nbytes
    y.sum().backward()
    kept.clear()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        kaf(x, alpha)
    assert sorted(s.nbytes() for s in kept.values()) == [alpha.nbytes, x.nbytes]


@pytest.mark.parametrize("curvature", [50.0, 400.0, 1e4])
@pytest.mark.parametrize("road", ROADS)
def test_gaussians_narrower_than_their_distance(road, curvature):
    dictionary = reference.grid(5, curvature)
    nodes = torch.tensor([dictionary.node(i) for i in range(5)], dtype=torch.float64)
    near = nodes + torch.randn(200, 5, dtype=torch.float64) / dictionary.gamma**0.5
    x = torch.cat((near, torch.full((1, 5), torch.inf, dtype=torch.float64)))
    alpha, g = torch.randn(5, 5).double(), torch.randn(x.shape).double()
    f = functools.partial(ROADS[road], dictionary=dictionary)
    y, dx, dalpha = gradients(f, x, alpha, g)
    expected = gradients(
        functools.partial(definition, dictionary=dictionary), x[:-1], alpha, g[:-1]
    )
    for a, b in zip((y[:-1], dx[:-1], dalpha), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10 * b.abs().max().item())
    assert (y[-1] == 0).all()
    assert (dx[-1] == 0).all()


@pytest.mark.parametrize("free", [False, True])
def test_a_default_device_is_not_that_of_the_tensors(free):
    x, alpha = torch.randn(3, 4, requires_grad=True), torch.randn(4, 20, requires_grad=True)
    options = {"nodes": torch.randn(20), "gamma": 2.0} if free else {}
    expected = torch.autograd.grad(kaf(x, alpha, **options).sum(), (x, alpha))
    with torch.device("meta"):
        found = torch.autograd.grad(kaf(x, alpha, **options).sum(), (x, alpha))
        composite(x, alpha, DEFAULT, 1)
    for a, b in zip(found, expected, strict=True):
        assert torch.equal(a, b)


def test_no_channels():
    x, alpha = torch.randn(2, 0, 3), torch.randn(0, 4)
    assert kaf(x, alpha).shape == composite(x, alpha, reference.grid(4, 1.0), 1).shape == x.shape


def test_a_cached_number_lets_no_other_type_through():
    kaf(X, A, gamma=1.0, grid=(0.0, 1.0))
    with pytest.raises(TypeError, match="True"):
        kaf(X, A, gamma=True, grid=(0.0, 1.0))
    with pytest.raises(TypeError, match="True"):
        kaf(X, A, gamma=1.0, grid=(0.0, True))


X, A = torch.randn(2, 3, 5), torch.randn(3, 20)
NODES = torch.randn(20)
ERRORS = [
    ({"x": [1.0]}, TypeError, r"x must be a torch.Tensor, got list"),
    ({"x": X.int()}, TypeError, r"torch.int32"),
    ({"x": X.to(torch.complex64)}, TypeError, r"torch.complex64"),
    ({"x": X.to_sparse()}, TypeError, r"sparse"),
    ({"alpha": 0.3}, TypeError, r"alpha must be a torch.Tensor, got float"),
    ({"alpha": A.int()}, TypeError, r"alpha has dtype torch.int32"),
    ({"alpha": A[0]}, ValueError, r"alpha must be of shape \[C, D\] or \[1, D\], got \(20,\)"),
    ({"alpha": A.to("meta")}, ValueError, r"x is on cpu but alpha is on meta"),
    ({"alpha": A[:2]}, ValueError, r"alpha has 2 rows but x of shape \(2, 3, 5\) has 3 channels"),
    ({"alpha": A[:, :1]}, ValueError, r"at least 2 nodes, got 1"),
    ({"alpha": torch.randn(0, 20)}, ValueError, r"alpha has 0 rows"),
    ({"channel_dim": 3}, ValueError, r"channel_dim is 3, allowed are -3 to 2"),
    ({"channel_dim": -4}, ValueError, r"channel_dim is -4"),
    ({"channel_dim": 1.0}, TypeError, r"channel_dim must be an int, got 1.0"),
    ({"grid": (3.0, -3.0)}, ValueError, r"grid must be increasing, got \(3.0, -3.0\)"),
    ({"grid": (1.0, 1.0)}, ValueError, r"increasing"),
    ({"grid": (0.0, float("inf"))}, ValueError, r"finite in float32, got inf"),
    ({"grid": 3.0}, ValueError, r"pair .*, got 3.0"),
    ({"grid": [-1.0, 0.0, 1.0]}, ValueError, r"pair"),
    ({"grid": ("a", "b")}, TypeError, r"'a'"),
    ({"grid": (0.0, 1e-200)}, ValueError, r"beyond what float32 can hold"),
    ({"grid": (0.0, 1e-30), "gamma": 1.0}, ValueError, r"beyond what float32 can hold"),
    ({"gamma": 1e-60}, ValueError, r"beyond what float32 can hold"),
    ({"gamma": 1e35}, ValueError, r"beyond what float32 can hold"),
    ({"gamma": 0.0}, ValueError, r"gamma must be positive and finite, got 0.0"),
    ({"gamma": -1}, ValueError, r"got -1"),
    ({"gamma": float("nan")}, ValueError, r"got nan"),
    ({"gamma": torch.tensor(1.0)}, TypeError, r"gamma must be a real number, got a Tensor"),
    ({"gamma": True}, TypeError, r"gamma"),
    ({"nodes": NODES}, ValueError, r"gamma must be given"),
    ({"nodes": NODES, "gamma": -2.0}, ValueError, r"got -2.0"),
    ({"nodes": NODES, "gamma": 1.0, "grid": (-3.0, 3.0)}, ValueError, r"either grid or nodes"),
    ({"nodes": NODES.tolist(), "gamma": 1.0}, TypeError, r"nodes must be a torch.Tensor"),
    ({"nodes": NODES.int(), "gamma": 1.0}, TypeError, r"torch.int32"),
    ({"nodes": NODES[:7], "gamma": 1.0}, ValueError, r"20 weights a channel but there are 7 nodes"),
    ({"nodes": NODES, "gamma": 1e-46}, ValueError, r"gamma must be from 1e-30"),
    ({"alpha": [[1.0]], "nodes": NODES, "gamma": 1.0}, TypeError, r"alpha must be a torch.Tensor"),
    ({"nodes": NODES[None], "gamma": 1.0}, ValueError, r"nodes must be of shape \[D\]"),
    ({"nodes": NODES.to("meta"), "gamma": 1.0}, ValueError, r"nodes is on meta"),
    ({"nodes": NODES.clone().requires_grad_(), "gamma": 1.0}, ValueError, r"cannot be learned yet"),
    (
        {"nodes": NODES, "gamma": torch.tensor(1.0, requires_grad=True)},
        TypeError,
        r"gamma must be a real number",
    ),
]


@pytest.mark.parametrize(("changes", "error", "text"), ERRORS, ids=[e[2] for e in ERRORS])
def test_errors(changes, error, text):
    arguments = {"x": X, "alpha": A} | changes
    with pytest.raises(error, match=text):
        kaf(**arguments)


def test_shared_weights_need_no_channel_dimension():
    x, alpha = torch.tensor(0.5), torch.randn(1, 20)
    assert kaf(x, alpha, channel_dim=7).shape == ()
    assert composite(x, alpha, DEFAULT, 1).shape == ()
    torch.testing.assert_close(kaf(x[None], alpha)[0], composite(x, alpha, DEFAULT, 1))


def test_integers_as_grid_and_gamma():
    torch.testing.assert_close(
        kaf(X, A, grid=(-3, 3), gamma=2), kaf(X, A, grid=[-3.0, 3.0], gamma=2.0)
    )


def test_constants_made_in_inference_mode_serve_training():
    """What the first call keeps is no inference tensor."""
    code = """
import torch, triton_acts
x, a = torch.randn(4, 3), torch.randn(3, 20, requires_grad=True)
with torch.inference_mode():
    triton_acts.kaf(x, a)
triton_acts.kaf(x, a).sum().backward()
torch.func.grad(lambda a: triton_acts.kaf(x, a).sum())(a)
"""
    for interpret in ("0", "1"):
        subprocess.run(
            [sys.executable, "-c", code],
            env={"TRITON_INTERPRET": interpret, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            timeout=120,
        )
