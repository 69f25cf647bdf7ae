"""Every layout a tensor can have: values, strides, and nothing written beside the result."""

import pytest
import torch
from support import activations

from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply

BASE = (4, 6, 10, 8)
LAYOUTS = {
    "contiguous": lambda x: x,
    "transposed": lambda x: x.transpose(1, 3),
    "channels_last": lambda x: x.to(memory_format=torch.channels_last),
    "sliced": lambda x: x[:, 1:5, ::2, 3:],
    "reversed_slice": lambda x: x.flip(2)[..., ::3],
    "expanded": lambda x: x[:, :1].expand(BASE),
    "expanded_everywhere": lambda x: x[0, 0, 0, 0].expand(3, 5),
    "misaligned": lambda x: x.reshape(-1)[1:],
    "ragged": lambda x: x.reshape(-1)[:1907],
    "vector": lambda x: x.reshape(-1),
    "one_element": lambda x: x[0, 0, 0, :1],
    "zero_dimensional": lambda x: x[0, 0, 0, 0],
    "empty": lambda x: x[:0],
    "size_one_dimensions": lambda x: x[:, None, :1, :, None],
}
DTYPES = [torch.float16, torch.float32]


def made(layout, dtype, device):
    """A tensor of that layout with normal values."""
    x = torch.randn(BASE, dtype=torch.float32, device=device).mul(3).to(dtype)
    return LAYOUTS[layout](x)


def close(value, reference, dtype):
    """Asserts 64 ULP of the dtype: layouts, not accuracy, are tested here."""
    torch.testing.assert_close(
        value.double(),
        reference.double(),
        rtol=64 * torch.finfo(dtype).eps,
        atol=torch.finfo(dtype).tiny,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", [k for k in LAYOUTS if k != "empty"])
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_forward_and_backward(op, layout, dtype, device):
    """Values are right, and y and dx have x's strides where x is dense."""
    x = made(layout, dtype, device)
    y = apply(op, x, op.defaults)
    close(y, activations.forward(op, op.defaults, x), dtype)
    assert y.shape == x.shape
    assert y.dtype == dtype
    assert y.stride() == torch.empty_like(x).stride()

    g = torch.randn_like(x)
    dx = activations.gradient(op, op.defaults, x, g)
    close(dx, g.double() * activations.slope(op, op.defaults, x), dtype)
    assert dx.stride() == torch.empty_like(x).stride()


@pytest.mark.composite  # nothing to launch
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_empty(op, device, launches):
    """Empty tensors launch nothing and keep shape and graph."""
    x = made("empty", torch.float32, device).requires_grad_()
    y = apply(op, x, op.defaults)
    y.sum().backward()
    assert y.shape == x.grad.shape == x.shape
    assert not launches


GRADIENTS = {
    "sum (stride 0)": lambda y: torch.ones((), device=y.device).expand_as(y),
    "slice of cat": lambda y: torch.cat([torch.randn_like(y)] * 2, -1)[..., : y.shape[-1]],
    "transposed": lambda y: torch.randn(y.shape[::-1], device=y.device).permute(3, 2, 1, 0),
    "channels_last": lambda y: torch.randn_like(y).to(memory_format=torch.channels_last),
    "misaligned": lambda y: torch.randn(y.numel() + 1, device=y.device)[1:].view(y.shape),
    "neg-bit": lambda y: torch.complex(torch.randn_like(y), torch.randn_like(y)).conj().imag,
}


@pytest.mark.parametrize("save", ["input", "output"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "sliced"])
@pytest.mark.parametrize("incoming", GRADIENTS)
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_incoming_gradients(op, incoming, layout, save, device):
    """Gradients arrive with any strides; gradcheck never shows it."""
    x = made(layout, torch.float32, device)
    g = GRADIENTS[incoming](x)
    dx = activations.gradient(op, op.defaults, x, g, save)
    expected = g.double() * activations.slope(op, op.defaults, x)
    torch.testing.assert_close(dx.double(), expected, rtol=1e-5, atol=2e-6)


def inside_canaries(n, device, offset):
    """n elements of a buffer whose other elements are 7."""
    buffer = torch.full((n + 96,), 7.0, device=device)
    return buffer, buffer[32 + offset : 32 + offset + n]


@pytest.mark.parametrize("offset", [0, 1], ids=["aligned", "misaligned"])
@pytest.mark.parametrize("n", [1, 15, 16, 17, 511, 512, 513, 65535, 65536, 65537])
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_nothing_is_written_outside(op, n, offset, device, monkeypatch):
    """The elements before and after every buffer keep their values."""
    buffers = []

    def guarded(x, **kwargs):
        buffer, inside = inside_canaries(x.numel(), device, offset)
        buffers.append((buffer, offset, x.numel()))
        return inside.view(x.shape)

    x = torch.randn(n, device=device).requires_grad_()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "empty_like", guarded)
        y = apply(op, x, op.defaults)
        (dx,) = torch.autograd.grad(y, x, torch.ones_like(y))
    close(y, activations.forward(op, op.defaults, x), torch.float32)
    close(dx, activations.slope(op, op.defaults, x), torch.float32)
    assert len(buffers) == 2
    for buffer, start, size in buffers:
        assert (buffer[: 32 + start] == 7).all()
        assert (buffer[32 + start + size :] == 7).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
@pytest.mark.parametrize(("op", "params"), activations.cases(ALL))
def test_special_values(op, params, dtype, device):
    """Infinities saturate exactly, NaN and the sign of zero go through, dx vanishes far out."""
    payload = torch.tensor([0x7FC12345], dtype=torch.int32).view(torch.float32).item()
    x = torch.tensor([torch.inf, -torch.inf, torch.nan, payload, 0.0, -0.0, 200.0, -200.0]).to(
        dtype
    )
    y = apply(op, x.to(device), params).cpu()
    reference = activations.forward(op, params, x).to(dtype)
    # by default saturation is exact; 0.01 is not, and the interpreter truncates it to bfloat16
    rtol = 0 if params == op.defaults else torch.finfo(dtype).eps
    torch.testing.assert_close(y[:6], reference[:6], rtol=rtol, atol=0, equal_nan=True)
    torch.testing.assert_close(y[6:], reference[6:], rtol=torch.finfo(dtype).eps, atol=0)
    assert torch.equal(y[4:6].signbit(), reference[4:6].signbit())
    dx = activations.gradient(op, params, x.to(device)).cpu()
    slope = activations.slope(op, params, x).to(dtype)
    torch.testing.assert_close(dx, slope, rtol=torch.finfo(dtype).eps, atol=1e-37, equal_nan=True)
    assert (dx[[0, 1]] == 0).all()
    assert dx[2:4].isnan().all()
