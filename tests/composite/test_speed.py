"""The composite's price on a CPU beside the shortest eager spelling of the same formula."""

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


def fastest(f, x, n):
    """Seconds a call in the fastest of a few stretches: what others run meanwhile drops out."""
    times = []
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(n):
            f(x)
        times.append((time.perf_counter() - start) / n)
    return min(times)


@pytest.mark.parametrize("size", [8, 2**22], ids=["tiny", "large"])
@pytest.mark.parametrize("name", PAIRS)
def test_at_most_a_tenth_more_than_eager(name, size):
    """Ratio of the fastest interleaved stretches at most 1.1."""
    ours, eager = PAIRS[name]
    x, n = torch.randn(size), 300 if size == 8 else 1
    with torch.no_grad():
        stretches = [(fastest(ours, x, n), fastest(eager, x, n)) for _ in range(40)]
    best = [min(column) for column in zip(*stretches, strict=True)]
    ratio = best[0] / best[1]
    print(f"{name}, {size} elements: {ratio:.3f} x eager")  # noqa: T201
    assert ratio <= 1.1
