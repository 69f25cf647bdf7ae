"""Random shapes, strides, dtypes and parameters against float64."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import activations

from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply

SHAPES = st.lists(st.integers(1, 7), max_size=4)
NUMBERS = st.floats(-4, 4, allow_nan=False, width=32)


@st.composite
def tensors(draw):
    """A tensor of random shape, order of dimensions, steps and offset."""
    shape = draw(SHAPES)
    dtype = draw(st.sampled_from([torch.float16, torch.float32]))
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.integers(1, 3)) for _ in shape]
    offset = draw(st.integers(0, 3))
    grown = [n * step for n, step in zip(shape, steps, strict=True)]
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    numel = torch.Size(grown).numel()
    flat = torch.empty(numel + offset).normal_(0, 3, generator=generator).to(dtype)
    x = flat[offset:].view(grown)[tuple(slice(None, None, step) for step in steps)]
    return x.permute(order)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(x=tensors(), numbers=st.tuples(NUMBERS, NUMBERS), expand=st.booleans())
def test_any_tensor(x, numbers, expand, device):
    x = x.to(device)
    g = (
        torch.randn((), device=device, dtype=x.dtype).expand(x.shape)
        if expand
        else torch.randn_like(x)
    )
    for op in ALL:
        params = numbers[: len(op.defaults)]
        if op.name == "toy":
            params = op.defaults
        scale = 1 + sum(map(abs, params))
        tolerance = 16 * torch.finfo(x.dtype).eps
        y, dx = apply(op, x, params), activations.gradient(op, params, x, g)
        expected = activations.forward(op, params, x)
        torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance * scale)
        expected = g.double() * activations.slope(op, params, x)
        torch.testing.assert_close(dx.double(), expected, rtol=tolerance, atol=tolerance * scale)
