"""Special values with every parameter: infinities, NaN, signed zeros, saturation."""

import pytest
import torch
from support import activations

from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply


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
