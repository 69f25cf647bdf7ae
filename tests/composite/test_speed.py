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
}


@pytest.mark.parametrize("size", [8, 2**22], ids=["tiny", "large"])
@pytest.mark.parametrize("name", PAIRS)
def test_at_most_a_tenth_more_than_eager(name, size):
    """Ratio of the fastest interleaved stretches at most 1.1."""
    ours, eager = PAIRS[name]
    x, calls = torch.randn(size), 300 if size == 8 else 1
    with torch.no_grad():
        found = clock.ratio(lambda: ours(x), lambda: eager(x), 1.1, calls)
    print(f"{name}, {size} elements: {found:.3f} x eager")  # noqa: T201
    assert found <= 1.1
