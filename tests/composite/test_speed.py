"""The composite's price on a CPU beside the shortest eager spelling of the same formula."""

import statistics
import time

import pytest
import torch

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


def seconds(f, x, n):
    """Seconds a call over n calls."""
    start = time.perf_counter()
    for _ in range(n):
        f(x)
    return (time.perf_counter() - start) / n


@pytest.mark.parametrize("size", [8, 2**22], ids=["tiny", "large"])
@pytest.mark.parametrize("name", PAIRS)
def test_at_most_a_tenth_more_than_eager(name, size):
    """Median of interleaved ratios at most 1.1."""
    ours, eager = PAIRS[name]
    x, n = torch.randn(size), 2000 if size == 8 else 1
    with torch.no_grad():
        seconds(ours, x, n), seconds(eager, x, n)
        ratios = [seconds(ours, x, n) / seconds(eager, x, n) for _ in range(21)]
    ratio = statistics.median(ratios)
    print(f"{name}, {size} elements: {ratio:.3f} x eager")  # noqa: T201
    assert ratio <= 1.1
