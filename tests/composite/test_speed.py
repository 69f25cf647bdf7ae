"""The composite's price on a CPU beside the shortest eager spelling of the same formula."""

import pytest
import torch
from support import clock

import triton_acts as ta

PAIRS = {
    "scaled_sigmoid": (ta.scaled_sigmoid, lambda x: 2 * torch.tanh(x / 2)),
    "scaled_sigmoid logistic": (
        lambda x: ta.scaled_sigmoid(x, 4.0, 0.5),
        lambda x: 4 * torch.sigmoid(x) + 0.5,
    ),
    "penalized_tanh": (
        ta.penalized_tanh,
        lambda x: torch.nn.functional.leaky_relu(torch.tanh(x), 0.25),
    ),
    "penalized_tanh learned": (
        lambda x: ta.penalized_tanh(x, SLOPES),
        lambda x: torch.prelu(torch.tanh(x), SLOPES),
    ),
}
SLOPES = torch.rand(8)
# Checks and dispatch take 0.6 us a call, 2 us with a tensor a: up to a quarter of tanh and
# leaky_relu on 8 elements, nothing on large tensors.
BARS = {"tiny": 1.25, "tiny learned": 2.2, "large": 1.1}


@pytest.mark.alone
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad], ids=["no_grad", "grad"])
@pytest.mark.parametrize("size", ["tiny", "large"])
@pytest.mark.parametrize("name", PAIRS)
def test_price_over_eager(name, size, mode):
    """The fastest stretches of both, side by side."""
    ours, eager = PAIRS[name]
    x, calls = (torch.randn(1, 8), 300) if size == "tiny" else (torch.randn(2**19, 8), 1)
    bar = BARS[f"{size} learned" if "learned" in name and size == "tiny" else size]
    with mode():
        found = clock.ratio(lambda: ours(x), lambda: eager(x), bar, calls)
    print(f"{name}, {x.numel()} elements, {mode.__name__}: {found:.3f} x eager")  # noqa: T201
    assert found <= bar
