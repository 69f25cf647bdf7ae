"""Random shapes, strides, dtypes and parameters against the float64 reference.

A fixed sample in every test run; `make fuzz` draws 2,000 examples an op, other ones each time.
"""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support import activations, kaf
from support.gradients import evaluate

import triton_acts
from triton_acts.dictionary._composite import Nodes, along
from triton_acts.pointwise import ALL, ALL_PER_CHANNEL
from triton_acts.pointwise._define import apply
from triton_acts.pointwise._per_channel import apply_per_channel

DTYPES = st.sampled_from([torch.float16, torch.bfloat16, torch.float32])
SIZES = st.sampled_from([0, 1, 1, 2, 3, 5, 8, 17, 33])
NUMEL = 5000  # larger tensors have more programs, not other ones
SEEDS = st.integers(0, 2**31)
# The interpreter, unlike a launch, takes a number below float32's normal range for float64
PARAMETERS = st.floats(-4, 4, width=32, allow_subnormal=False)


@st.composite
def layouts(draw, min_dims=0):
    """A function from a generator to a tensor: a shape, an order, steps, an offset, expansion."""
    shape = draw(st.lists(SIZES, min_size=min_dims, max_size=4))
    assume(torch.Size(shape).numel() <= NUMEL)
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.integers(1, 3)) for _ in shape]
    expanded = [draw(st.integers(0, 9)) == 0 for _ in shape]
    offset = draw(st.integers(0, 3))

    def made(seed, dtype, device, shape=shape, mean=0.0):
        generator = torch.Generator().manual_seed(seed)
        stored = [shape[i] for i in order]
        wide = [steps[i] for i in order]
        kept = [1 if expanded[i] and n else n for i, n in zip(order, stored, strict=True)]
        grown = torch.Size(n * step for n, step in zip(kept, wide, strict=True))
        flat = torch.empty(grown.numel() + offset).normal_(mean, 3, generator=generator)
        x = flat.to(device, dtype)[offset:].view(grown)
        x = x[tuple(slice(None, None, step) for step in wide)]
        back = sorted(range(len(order)), key=order.__getitem__)
        return x.permute(back).expand(shape)

    made.shape = shape
    return made


def gradient_of(x, incoming, seed):
    """A gradient for x whose own layout is `incoming`, where that has as many dimensions."""
    if len(incoming.shape) != x.dim():
        return torch.randn_like(x)
    return incoming(seed + 1, x.dtype, x.device, shape=x.shape)


def channels_of(x, data):
    """A dimension of channels, and how many they are: 1 where x has no dimension for them."""
    if x.dim() < 2 or data.draw(st.booleans()):
        return 1, 1
    dim = data.draw(st.integers(-x.dim(), x.dim() - 1))
    return dim, x.shape[dim]


def close(value, expected, allowed):
    """Asserts |value - expected| <= allowed, both tensors."""
    assert value.shape == expected.shape
    excess = (value.double() - expected).abs() - allowed
    assert not (excess > 0).any(), f"{excess.max().item():.3g} beyond what is allowed"
    assert not value.isnan().any()


@pytest.fixture
def rounding(runs_kernels):
    """What a result may be off by, whose largest term is `terms`.

    Kernels compute in float32 and round once. The composite rounds after each operator, as the
    eager formula does, and its derivative is 1 - t^2 of a rounded t.
    """

    def allowed(expected, dtype, terms=1.0):
        info = torch.finfo(dtype)
        computed = 16 * torch.finfo(torch.float32).eps * terms
        if not runs_kernels:
            computed = computed + 4 * info.eps * terms
        return computed + info.eps * expected.abs() + info.tiny

    return allowed


@pytest.mark.parametrize("save", ["input", "output"])
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
@given(
    layout=layouts(),
    incoming=layouts(),
    dtype=DTYPES,
    seed=SEEDS,
    data=st.data(),
)
def test_pointwise(op, layout, incoming, dtype, seed, save, data, device, rounding):
    params = (
        op.defaults
        if data.draw(st.booleans())
        else data.draw(st.tuples(*[PARAMETERS] * len(op.defaults)))
    )
    if save == "output":
        assume(op.output_needs[1](*params))
    x = layout(seed, dtype, device)
    g = gradient_of(x, incoming, seed)
    y, dx = evaluate(lambda x: apply(op, x, params, save), (x,), g)
    scale = 1 + sum(map(abs, params))
    expected = activations.forward(op, params, x)
    close(y, expected, rounding(expected, dtype, scale))
    expected = g.double() * activations.slope(op, params, x)
    size = scale * g.double().abs()
    allowed = rounding(expected, dtype, size)
    if save == "output":  # which was rounded
        allowed = allowed + 8 * torch.finfo(dtype).eps * size
    close(dx, expected, allowed)


@pytest.mark.parametrize("op", ALL_PER_CHANNEL, ids=lambda op: op.name)
@given(layout=layouts(), incoming=layouts(), dtype=DTYPES, seed=SEEDS, data=st.data())
def test_per_channel(op, layout, incoming, dtype, seed, data, device, rounding, runs_kernels):
    x = layout(seed, dtype, device)
    g = gradient_of(x, incoming, seed)
    dim, channels = channels_of(x, data)
    w = torch.randn(channels, device=device)
    y, dx, dw = evaluate(lambda x, w: apply_per_channel(op, x, w, dim), (x, w), g)
    wide = along(w.double(), x, dim)
    expected = op.composite(x.double(), wide)
    terms = 1 + wide.abs()
    close(y, expected, rounding(expected, dtype, terms))
    expected = g.double() * op.derivative(x.double(), wide)
    close(dx, expected, rounding(expected, dtype, terms * g.double().abs()))
    parts = g.double() * op.weight_derivative(x.double(), wide)
    sums, sizes = (t.sum_to_size(wide.shape).view(w.shape) for t in (parts, parts.abs()))
    share = 1e-5 if runs_kernels else 1e-5 + torch.finfo(dtype).eps  # tanh was rounded
    close(dw, sums, share * sizes + torch.finfo(torch.float32).tiny)


@given(
    layout=layouts(),
    incoming=layouts(),
    dtype=DTYPES,
    seed=SEEDS,
    num_nodes=st.sampled_from([2, 3, 4, 5, 12, 20, 23, 24, 41, 64]),
    free=st.booleans(),
    curvature=st.floats(1 / 16, 4),
    first=st.floats(-5, 2),
    extent=st.floats(0.5, 8),
    data=st.data(),
)
def test_kaf(
    layout, incoming, dtype, seed, num_nodes, free, curvature, first, extent, data, device
):
    x = layout(seed, dtype, device)
    g = gradient_of(x, incoming, seed)
    dim, channels = channels_of(x, data)
    alpha = torch.randn(channels, num_nodes, device=device)
    dictionary = kaf.grid(num_nodes, curvature, first, first + extent)
    gamma = dictionary.gamma
    chosen = {"grid": (dictionary.lo, dictionary.hi)}
    if free:
        nodes = first + extent * torch.rand(num_nodes, device=device)
        dictionary, chosen = Nodes(nodes.double(), gamma), {"nodes": nodes}

    def call(x, alpha):
        return triton_acts.kaf(x, alpha, gamma=gamma, channel_dim=dim, **chosen)

    found = evaluate(call, (x, alpha), g)
    if not x.numel():
        assert [t.shape for t in found] == [x.shape, x.shape, alpha.shape]
        assert not found[2].any()
        return
    by_channel = [t if channels > 1 else t.reshape(-1, 1) for t in (x, g, *found[:2])]
    if channels > 1:
        by_channel = [t.movedim(dim, -1).reshape(-1, channels) for t in by_channel]
    x, g, y, dx = (t.cpu() for t in by_channel)
    expected = kaf.Reference(x, alpha, g, dictionary)
    info = torch.finfo(dtype)
    room = 1e-5 * expected.largest
    close(y, expected.y, room + info.eps * expected.y.abs() + info.tiny)
    room = room * 2 * gamma**0.5 * g.double().abs()
    close(dx, expected.dx, room + info.eps * expected.dx.abs() + info.tiny)
    assert expected.excess_dalpha(found[2]) <= 1
