"""How many kernels a call launches, and what autograd keeps of it."""

import pytest
import torch

from triton_acts import penalized_tanh
from triton_acts.pointwise import ALL
from triton_acts.pointwise._define import apply

OPS = pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)


@OPS
def test_kernel_runs_with_and_without_grad(op, device, launches):
    """One launch forward and one backward; none that is not needed."""
    x = torch.randn(50, device=device)
    apply(op, x, op.defaults)
    with torch.no_grad():
        apply(op, x.clone().requires_grad_(), op.defaults)
    with torch.inference_mode():
        apply(op, x, op.defaults)
    assert len(launches) == 3
    apply(op, torch.nn.Parameter(x), op.defaults).sum().backward()
    assert len(launches) == 5


@OPS
def test_saved_tensors(op, device):
    """One tensor is kept: the input's storage, or with save='output' the output's."""
    for save in ("input", "output"):
        x = torch.randn(30, device=device).requires_grad_()
        y = apply(op, x, op.defaults, save)
        (kept,) = y.grad_fn.saved_tensors
        assert kept.data_ptr() == (x if save == "input" else y).data_ptr()
        with torch.no_grad():
            (x if save == "input" else y).add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_learned_a_saves_no_more_than_its_inputs(device):
    """x and a, nothing else."""
    x = torch.randn(4, 3, device=device).requires_grad_()
    a = torch.rand(3, device=device).requires_grad_()
    y = penalized_tanh(x, a)
    assert {t.data_ptr() for t in y.grad_fn.saved_tensors} == {x.data_ptr(), a.data_ptr()}
