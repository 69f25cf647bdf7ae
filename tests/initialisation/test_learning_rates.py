"""The scaled sigmoid is the logistic one in other coordinates: which step size goes with which."""

import torch

import triton_acts as ta

RATE, STEPS, HIDDEN = 0.05, 5, 6


def network():
    torch.manual_seed(0)
    shapes = {"w": (HIDDEN, 3), "c": (HIDDEN,), "v": (2, HIDDEN), "d": (2,)}
    return {name: torch.randn(shape, dtype=torch.float64) / 2 for name, shape in shapes.items()}


def data():
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return x, torch.stack((x.sin().sum(1), x[:, 0] * x[:, 1]), 1)


def outputs(net, activation):
    x, _ = data()
    return activation(x @ net["w"].T + net["c"]) @ net["v"].T + net["d"]


def train(net, activation, step):
    """Outputs before each of several steps of gradient descent, made by `step`, and after them."""
    trajectory = []
    for _ in range(STEPS + 1):
        leaves = {name: value.clone().requires_grad_() for name, value in net.items()}
        y = outputs(leaves, activation)
        trajectory.append(y.detach())
        loss = (y - data()[1]).square().mean()
        gradients = dict(zip(leaves, torch.autograd.grad(loss, leaves.values()), strict=True))
        moves = step(gradients)
        net = {name: value - RATE * moves[name] for name, value in net.items()}
    return torch.stack(trajectory)


def logistic_coordinates(net, scale, bias):
    return {**net, "v": scale * net["v"], "d": net["d"] + bias * net["v"].sum(1)}


def scaled(scale, bias):
    return train(network(), lambda z: ta.scaled_sigmoid(z, scale, bias), lambda g: g)


def logistic(scale, bias, step):
    start = logistic_coordinates(network(), scale, bias)
    return train(start, lambda z: ta.scaled_sigmoid(z, 1.0, 0.0), step)


def test_without_a_shift_the_next_weight_has_the_rate_times_the_square_of_the_scale():
    expected = scaled(4.0, 0.0)
    same = logistic(4.0, 0.0, lambda g: {**g, "v": 16 * g["v"]})
    torch.testing.assert_close(same, expected, rtol=0, atol=1e-12)
    assert (expected[-1] - expected[0]).abs().max() > 0.05  # it moved


def test_equal_rates_follow_another_way():
    for bias in (0.0, -2.0):
        expected, equal = scaled(4.0, bias), logistic(4.0, bias, lambda g: g)
        torch.testing.assert_close(equal[0], expected[0], rtol=0, atol=1e-12)
        assert (equal[-1] - expected[-1]).abs().max() > 0.02


def test_a_shift_couples_the_next_layers_weight_and_bias():
    """As the docstring of triton_acts.init has it; rates for each parameter alone do not do."""
    s, b = 4.0, -2.0

    def coupled(g):
        dv = s * s * g["v"] + s * b * g["d"][:, None]
        dd = (1 + HIDDEN * b * b) * g["d"] + s * b * g["v"].sum(1)
        return {**g, "v": dv, "d": dd}

    expected = scaled(s, b)
    torch.testing.assert_close(logistic(s, b, coupled), expected, rtol=0, atol=1e-12)
    for rate in (1, 1 + HIDDEN * b * b):
        alone = logistic(s, b, lambda g, rate=rate: {**g, "v": 16 * g["v"], "d": rate * g["d"]})
        assert (alone[-1] - expected[-1]).abs().max() > 0.02


def test_adam_needs_the_scale_and_not_its_square():
    """The step of Adam for V = V' / s is that for V', divided by s if eps is, too."""
    s, eps = 4.0, 1e-3

    def moved(activation, net, rate, eps_v):
        leaves = {name: value.clone().requires_grad_() for name, value in net.items()}
        groups = [
            {"params": [leaves[n] for n in "wcd"], "lr": RATE, "eps": eps},
            {"params": [leaves["v"]], "lr": rate, "eps": eps_v},
        ]
        optimizer = torch.optim.Adam(groups)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (outputs(leaves, activation) - data()[1]).square().mean().backward()
            optimizer.step()
        return outputs(leaves, activation).detach()

    expected = moved(lambda z: ta.scaled_sigmoid(z, s, 0.0), network(), RATE, eps)
    start = logistic_coordinates(network(), s, 0.0)
    same = moved(torch.sigmoid, start, s * RATE, eps / s)
    torch.testing.assert_close(same, expected, rtol=0, atol=1e-12)
