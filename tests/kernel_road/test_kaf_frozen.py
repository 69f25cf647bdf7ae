"""A frozen KAF takes the kernels that KAF takes."""

import pytest
import torch

import triton_acts as ta
from triton_acts import kaf_tools


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("channels", [1, 6])
def test_same_kernel_same_bits(channels, dtype, device, launches):
    kaf = ta.KAF(channels, 26, device=device)
    frozen = kaf_tools.freeze(kaf)
    x = (2 * torch.randn(9, 6, 5)).to(device, dtype)
    expected = kaf(x)
    before = len(launches)
    assert torch.equal(frozen(x), expected)
    assert len(launches) == before + 1


def test_observed_models_take_kernels(device):
    """And values come back to the CPU, where the tools work."""
    model = torch.nn.Sequential(ta.KAF(3, init=torch.tanh), ta.KAF(1)).to(device)
    x = torch.randn(40, 3, device=device)
    assert set(kaf_tools.coverage(model, x)) == {"0", "1"}
    found = kaf_tools.calibrate(model, x)
    assert found["0"].max_error < 0.1
    assert kaf_tools.smoothness(model).device == x.device
    assert kaf_tools.refit(model[0], 26)[0].alpha.device == x.device
