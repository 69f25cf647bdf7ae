"""Every input of the 16-bit types, special values, and where the pieces of a curve meet.

Every input is a channel of its own, so that a weight's gradient shows element by element.
"""

import pytest
import torch
from support import ulp
from support.gradients import evaluate, expected

from triton_acts import _triton
from triton_acts.dictionary._composite import Nodes
from triton_acts.dictionary._gridding import gridding

NAN_PAYLOADS = {  # quiet and signalling, of both signs
    torch.float32: [0x7FC00000, 0x7F800001, 0x7FC12345, -0x3FFFFF, -0x7FFFFF],
    torch.float16: [0x7E00, 0x7C01, 0x7F12, -0x1, -0x3FF],
    torch.bfloat16: [0x7FC0, 0x7F81, 0x7FD5, -0x1, -0x7F],
}
DTYPES = pytest.mark.parametrize("dtype", list(NAN_PAYLOADS), ids=str)


def readable(values):
    """Values without what Triton's interpreter reads as zeros: bfloat16's subnormals."""
    if not _triton.INTERPRETED or values.dtype is not torch.bfloat16:
        return values
    normal = values.abs() >= torch.finfo(torch.bfloat16).smallest_normal
    return values[normal | (values == 0) | values.isnan()]


def channels_of(subject, values, device):
    """Values as channels of one row, each with its own weights, and those."""
    x = values.view(1, -1).to(device)
    weights = subject.weights(x.shape[1], device=device)
    return [x, *weights]


def bounds(subject, tensors, right, kernels):
    """How far y, dx and dw may be away: an ULP of the type, and the documented errors."""
    x, (y, dx, *_) = tensors[0], right
    eps, tiny = torch.finfo(x.dtype).eps, 2 * ulp.FLUSH
    if subject.dictionary:
        largest = tensors[1].double().abs().sum(1).max()
        steep = 2 * subject.dictionary.gamma**0.5
        return eps * y.abs() + 1e-6 * largest, eps * dx.abs() + 2e-6 * steep * largest, 1e-5
    smallest = torch.finfo(x.dtype).smallest_normal * eps
    if x.dtype is torch.float32:
        near, far, rounding = 6, torch.where(x.abs() < 4, 16, 80), 1
    else:
        near, far, rounding = 1, 1, 1
    if not kernels:  # PyTorch's operators round after each step
        near, far = 4, far * 4
    tail = 1e-14  # where float64's own 1 - t^2 has no digits left; test_accuracy looks there
    slope = far * eps * dx.abs() + rounding * smallest + tiny + tail
    if subject.from_output or not kernels:
        slope = slope + 4 * eps
    weight = 4 * torch.finfo(torch.float32).eps if kernels else eps
    return near * eps * y.abs() + smallest + tiny, slope, weight


def check(subject, tensors, kernels, weights_too=True):
    """y, dx and the weights' gradients against float64; NaN where the reference has it."""
    found, right = evaluate(subject.call, tensors), expected(subject, tensors)
    assert len(found) == len(right) == 1 + len(tensors)
    limits = bounds(subject, tensors, right, kernels)
    for value, reference, bound in zip(found, right, limits, strict=False):
        if value.shape != tensors[0].shape and not weights_too:
            continue
        assert torch.equal(value.isnan(), reference.isnan())
        value, reference = value.double(), reference.to(value.dtype).double()
        same = (value == reference) | value.isnan()
        assert (same | ((value - reference).abs() <= bound)).all()
    return found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_16_bit_input(subject, dtype, device, runs_kernels):
    """All 65,536 bit patterns; of KAF without infinities, where its formula is inf * 0."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    values = bits[~bits.isinf()] if subject.dictionary else bits
    check(subject, channels_of(subject, readable(values), device), runs_kernels, not subject.shared)


@DTYPES
def test_special_values(subject, dtype, device, runs_kernels):
    """NaN stays NaN, the sign of zero is kept, saturation is exact and its slope 0."""
    info = torch.finfo(dtype)
    integer = torch.int32 if dtype is torch.float32 else torch.int16
    nans = torch.tensor(NAN_PAYLOADS[dtype], dtype=integer).view(dtype)
    assert nans.isnan().all()
    step = info.smallest_normal * info.eps
    small = torch.tensor([0.0, step, 3 * step, info.smallest_normal / 2, info.smallest_normal])
    large = torch.tensor([200.0, 3e4, info.max, torch.inf])
    small, large = readable(small.to(dtype)), large.to(dtype)
    values = torch.cat([small, -small, large, -large])
    x, *weights = channels_of(subject, torch.cat([values, nans]), device)
    tensors = [x, *(w.bfloat16().float() for w in weights)]  # what all types hold: a times 1 is a
    y, dx, *dws = (t.cpu() for t in evaluate(subject.call, tensors))
    count = len(values)
    assert y[0, count:].isnan().all()
    assert dx[0, count:].isnan().all()
    assert not y[0, :count].isnan().any()
    assert not dx[0, :count].isnan().any()
    far = slice(2 * len(small), count)
    assert (dx[0, far] == 0).all()
    saturated = subject.formula(*(t.double() for t in tensors))[0, far].to(dtype).cpu()
    assert torch.equal(y[0, far], torch.zeros_like(saturated) if subject.dictionary else saturated)
    for dw in dws:
        spoilt = dw.view(len(dw), -1).sum(1)  # NaN in its own channel alone
        own = torch.arange(len(dw)) >= (0 if subject.shared else count)
        assert torch.equal(spoilt.isnan(), own)
    near = 2 * len(small)
    finite = [tensors[0][:, :near], *(w if subject.shared else w[:near] for w in tensors[1:])]
    found = check(subject, finite, runs_kernels)
    if not subject.dictionary:
        zeros = subject.formula(*(t.double() for t in finite))
        assert torch.equal(found[0][finite[0] == 0].signbit(), zeros[finite[0] == 0].signbit())


def seams(subject):
    """Where a curve changes its formula: of tanh and sigmoid, or KAF's cuts, anchors and nodes."""
    dictionary = subject.dictionary
    if dictionary is None:
        return ulp.neighbourhood([0.55, 1.1, 4.0, 512.0, 0.0078125, 88.0, 43.6, 2.0**-126], 16)
    if isinstance(dictionary, Nodes):
        nodes, distances = dictionary.positions, [16 * (0.6931 / dictionary.gamma) ** 0.5]
        points = [nodes + sign * d for d in distances for sign in (-1, 0, 1)]
    else:
        cut = gridding(dictionary)
        anchors = torch.tensor([hi for hi, _ in cut.anchors], dtype=torch.float64)
        nodes = [dictionary.node(i + 0.5 * k) for i in range(dictionary.num_nodes) for k in (0, 1)]
        reach = cut.limit / cut.rate
        points = [anchors - reach, anchors, anchors + reach, torch.tensor(nodes).double()]
    flat = torch.cat(points).float()
    return ulp.neighbourhood(flat[flat != 0].numpy(), 4)


def test_where_pieces_meet(subject, device, runs_kernels):
    """Float32 neighbours on both sides of every seam."""
    check(subject, channels_of(subject, seams(subject), device), runs_kernels, not subject.shared)
