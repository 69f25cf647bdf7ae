"""Two GPUs: what is computed follows the tensor, whichever GPU is the current one."""

import pytest
import torch
from support.subjects import SUBJECTS
from support.transforms import close, reference

COUNT = torch.cuda.device_count()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(COUNT < 2, reason=f"needs two GPUs, there are {COUNT}"),
]


@pytest.mark.parametrize("current", [0, 1])
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_the_tensor_says_where(subject, current):
    """Forward and backward, and the current GPU stays what it was."""
    torch.manual_seed(0)
    x, weights = torch.randn(4, 5, 7), subject.weights(5)
    results = []
    with torch.cuda.device(current):
        for own in (torch.device("cuda", 0), torch.device("cuda", 1)):
            inputs = [t.to(own).requires_grad_() for t in (x, *weights)]
            y = subject.call(*inputs)
            grads = torch.autograd.grad(y, inputs, torch.ones_like(y))
            assert {t.device for t in (y, *grads)} == {own}
            results.append([t.cpu() for t in (y, *grads)])
            assert torch.cuda.current_device() == current
    for found in results:
        close(found, reference(subject, (x, *weights), torch.ones_like(x)))
