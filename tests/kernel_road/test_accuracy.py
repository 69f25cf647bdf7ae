"""Errors of the kernels in ULPs against float64, and the table that docs/accuracy.md shows."""

import numpy as np
import pytest
import torch
from support import activations, hardware, ulp

from triton_acts import _triton
from triton_acts.pointwise import ALL, _kernels
from triton_acts.pointwise._define import apply, tie_breaker

HALVES = [torch.float16, torch.bfloat16]
POINTS = ulp.neighbourhood([0.55, 1.1, 4.0, 512.0, 0.0078125, 88.0, 43.6, 2.0**-126])


@pytest.fixture(params=["interpreter", "documented hardware errors"])
def arithmetic(request, monkeypatch):
    """The interpreter's arithmetic as it is, and with the worst errors that hardware may make."""
    if request.param != "interpreter":
        if not _triton.INTERPRETED:
            pytest.skip("the GPU's own arithmetic is measured instead")
        hardware.documented(monkeypatch)
    return request.param


@pytest.mark.parametrize(("op", "params"), activations.cases(ALL))
def test_float32(op, params, device, arithmetic, accuracy_table, request):
    """Forward at most 4 ULP by default and 6 else; derivative 16 for |x| < 4 and 80 beyond."""
    default = params == op.defaults
    measured = request.config.getoption("--accuracy-table") and default
    x = torch.cat([ulp.sweep(2**14 if measured else 2**11), POINTS])
    y = apply(op, x.to(device), params).cpu()
    errors = ulp.error(
        y, activations.forward(op, params, x), torch.float32, activations.floor(op, params)
    )
    assert errors.max() <= (4 if default else 6)

    dx = activations.gradient(op, params, x.to(device)).cpu()
    slopes = ulp.error(dx, activations.slope(op, params, x), torch.float32)
    near = np.abs(x.numpy()) < 4
    assert slopes[near].max() <= 16
    assert slopes[~near].max() <= 80
    if default:
        accuracy_table(op.name, arithmetic, "forward", torch.float32, errors)
        accuracy_table(op.name, arithmetic, "derivative, |x| < 4", torch.float32, slopes[near])
        accuracy_table(op.name, arithmetic, "derivative, |x| >= 4", torch.float32, slopes[~near])


def before_the_store(kernel, tensors, coefs, fn):
    """A kernel's float32 results for 16-bit inputs, which it converts to float32 first anyway.

    The interpreter can neither round to bfloat16 nor read its subnormals.
    """
    tensors = [x.float() for x in tensors]
    out = torch.empty_like(tensors[0])
    block = 2**16 if _triton.INTERPRETED else 1024
    kernel[(-(-out.numel() // block), 1, 1)](*tensors, out, out.numel(), coefs, fn, block)
    return out.cpu().numpy()


@pytest.mark.composite  # launches the kernels themselves
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize(("op", "params"), activations.cases(ALL))
def test_every_16_bit_input(op, params, dtype, device, arithmetic, accuracy_table):
    """Forward rounds correctly but for 8 values off by 1 ULP; the derivative is within 1 ULP."""
    x = ulp.all_values(dtype)
    on_device = x.to(device)
    coefs = (*params, tie_breaker(dtype))
    y = before_the_store(_kernels.forward, [on_device], coefs, op.fn)
    reference = activations.forward(op, params, x).numpy()
    wrong = np.count_nonzero(ulp.misrounded(y, reference, dtype))
    floor = activations.floor(op, params)
    errors = ulp.error(ulp.rounded(y.astype(np.float64), dtype), reference, dtype, floor)
    assert wrong <= 8
    assert errors.max() < 1.5

    dx = before_the_store(
        _kernels.backward, [on_device, torch.ones_like(on_device)], coefs, op.slope
    )
    slopes = ulp.rounded(dx.astype(np.float64), dtype)
    slopes = ulp.error(slopes, activations.slope(op, params, x), dtype)
    assert slopes.max() <= 1
    if params == op.defaults:
        accuracy_table(op.name, arithmetic, "forward", dtype, errors, misrounded=wrong)
        accuracy_table(op.name, arithmetic, "derivative", dtype, slopes)


@pytest.mark.composite  # launches the kernel itself
@pytest.mark.parametrize("dtype", [*HALVES, torch.float32], ids=str)
@pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)
def test_slope_from_output(op, dtype, device):
    """The derivative from a correctly rounded y is within 2 ULP of 1 of the derivative."""
    x = ulp.all_values(dtype) if dtype in HALVES else ulp.sweep(256)
    y = torch.from_numpy(ulp.rounded(activations.forward(op, op.defaults, x).numpy(), dtype))
    coefs = (*op.defaults, tie_breaker(dtype))
    tensors = [y.float().to(device), torch.ones(y.shape, device=device)]
    dx = before_the_store(_kernels.backward, tensors, coefs, op.slope_from_output)
    distance = np.abs(dx - activations.slope(op, op.defaults, x).numpy()).max()
    assert distance <= 2 * torch.finfo(dtype).eps
