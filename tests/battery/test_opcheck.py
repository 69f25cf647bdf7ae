"""`torch.library.opcheck` on every operator that the package registers."""

import itertools

import pytest
import torch

import triton_acts  # noqa: F401 - registers them

GAMMA = 1.7


def registered():
    """The names of all operators in the package's namespace, as the dispatcher lists them."""
    names = torch._C._dispatch_get_all_op_names()
    return sorted(name for name in names if name.startswith("triton_acts::"))


def leaves(device, *needs):
    """x and alpha, each with or without a gradient."""
    x, alpha = torch.randn(3, 4, device=device), torch.randn(4, 20, device=device)
    return [t.requires_grad_(need) for t, need in zip((x, alpha), needs, strict=True)]


def kaf(device):
    nodes = torch.randn(20, device=device)
    for needs in itertools.product((False, True), repeat=2):
        yield *leaves(device, *needs), None, -3.0, 3.0, GAMMA, 1
        yield *leaves(device, *needs), nodes, 0.0, 0.0, GAMMA, 1
    one_row = torch.randn(1, 20, device=device, requires_grad=True)
    x = torch.randn(2, 3, 4, 5, device=device).to(memory_format=torch.channels_last)
    yield x.bfloat16(), one_row, None, -3.0, 3.0, GAMMA, 1
    yield x[:, :, ::2], one_row.detach(), None, -3.0, 3.0, GAMMA, 7
    yield x[:0], one_row, None, -3.0, 3.0, GAMMA, 1


def kaf_backward(device):
    for needs in itertools.product((False, True), repeat=2):
        x, alpha = leaves(device, False, False)
        g = torch.randn(4, 3, device=device).t()
        yield x, alpha, g, None, -3.0, 3.0, GAMMA, 1, *needs
        yield x.half(), alpha, g.half(), alpha[0], 0.0, 0.0, GAMMA, 1, *needs


SAMPLES = {"triton_acts::kaf": kaf, "triton_acts::kaf_backward": kaf_backward}


def test_every_operator_has_samples():
    assert registered()
    assert registered() == sorted(SAMPLES)


@pytest.mark.parametrize("name", registered())
def test_opcheck(name, device):
    """Schema, fake kernel (shape, dtype, strides), autograd registration, and AOT dispatch."""
    space, op = name.split("::")
    overload = getattr(getattr(torch.ops, space), op).default
    for sample in SAMPLES[name](device):
        torch.library.opcheck(overload, sample)
