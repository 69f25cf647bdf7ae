"""Checkpoints of the authors' code, built here from the published formula."""

import pytest
import torch

import triton_acts as ta


def checkpoint(channels, nodes=20, boundary=4.0, convolutional=False, dtype=torch.float32):
    """A state dict as the authors' layer has it, with gamma = 1 / (8 delta^2)."""
    dictionary = torch.linspace(-boundary, boundary, nodes, dtype=torch.float64)
    gamma = 1 / (8 * (dictionary[1] - dictionary[0]) ** 2)
    middle = (1, 1) if convolutional else ()
    state = {
        "alpha": 0.8 * torch.randn(1, channels, *middle, nodes),
        "dict": dictionary.view(1, 1, *middle, nodes) if convolutional else dictionary[None],
        "gamma": gamma.expand(1, 1, *middle, nodes),
    }
    return {key: value.to(dtype) for key, value in state.items()}


def published(x, state):
    """sum_i alpha_i exp(-gamma_i (x - d_i)^2), term by term in float64; channels along dim 1."""
    alpha, dictionary, gamma = (state[key].double() for key in ("alpha", "dict", "gamma"))
    y = torch.zeros_like(x, dtype=torch.float64)
    shape = (1, -1, *[1] * (x.dim() - 2))
    for i, (d, g) in enumerate(zip(dictionary.flatten(), gamma.flatten(), strict=True)):
        y += alpha[..., i].reshape(shape) * torch.exp(-g * (x.double() - d).square())
    return y


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("channels", "nodes", "boundary", "shape"),
    [
        (5, 20, 4.0, (200, 5)),
        (1, 20, 4.0, (200, 5)),
        (3, 7, 2.5, (20, 3, 5, 6)),
        (2, 40, 3.1, (8, 2, 9, 1)),
    ],
)
def test_computes_what_the_authors_code_does(channels, nodes, boundary, shape, dtype):
    torch.manual_seed(0)
    state = checkpoint(channels, nodes, boundary, len(shape) == 4, dtype)
    module = ta.KAF.from_official(state)
    assert (module.alpha.shape, module.alpha.dtype) == ((channels, nodes), dtype)
    assert module.alpha.requires_grad
    x = torch.randn(shape, dtype=torch.float64) * 2
    torch.testing.assert_close(module(x), published(x, state), rtol=0, atol=1e-5)


def test_owns_its_weights():
    state = checkpoint(3)
    module = ta.KAF.from_official(state, channel_dim=-1)
    assert module.channel_dim == -1
    with torch.no_grad():
        module.alpha.zero_()
    assert state["alpha"].any()
    twin = ta.KAF(3)
    twin.load_state_dict(module.state_dict())
    x = torch.randn(4, 3)
    assert torch.equal(twin(x), module(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_narrow_weights_are_widened(dtype):
    state = checkpoint(3)
    state["alpha"] = state["alpha"].to(dtype)
    module = ta.KAF.from_official(state)
    assert module.alpha.dtype is torch.float32
    assert torch.equal(module.alpha, state["alpha"][0].float())


def test_device():
    state = checkpoint(3)
    state["alpha"] = state["alpha"].to("meta")
    assert ta.KAF.from_official(state).alpha.is_meta


def test_gamma_of_any_shape():
    state = checkpoint(3)
    x = torch.randn(9, 3)
    expected = ta.KAF.from_official(state)(x)
    for shape in ((), (1,), (20, 1)):
        state["gamma"] = state["gamma"].flatten()[0].expand(shape)
        assert torch.equal(ta.KAF.from_official(state)(x), expected)


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


def test_other_kernels():
    with pytest.raises(NotImplementedError, match=r"'relu' and 'softplus'.*1/\(8 delta\^2\)"):
        ta.KAF.from_official(without(checkpoint(3), "gamma"))


def test_before_2019():
    """As the message says: there gamma was no buffer, and dict had one dimension."""
    state = checkpoint(3)
    old = {"alpha": state["alpha"], "dict": state["dict"].flatten()}
    delta = (old["dict"][-1] - old["dict"][0]) / 19
    read = ta.KAF.from_official({**old, "gamma": 1 / (8 * delta**2)})
    x = torch.randn(50, 3)
    torch.testing.assert_close(read(x), ta.KAF.from_official(state)(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: without(s, "alpha"), r"got \['dict', 'gamma'\]"),
        (lambda s: without(s, "dict"), r"got \['alpha', 'gamma'\]"),
        (lambda s: {}, r"got \[\]"),
        (lambda s: {**s, "bias": s["alpha"]}, r"got \['alpha', 'bias', 'dict', 'gamma'\]"),
        (lambda s: {"0." + k: v for k, v in s.items()}, r"got \['0\.alpha'"),
        (lambda s: {**s, "alpha": s["alpha"][0]}, r"got \(3, 20\)"),
        (lambda s: {**s, "alpha": s["alpha"][0, :1]}, r"got \(1, 20\)"),
        (lambda s: {**s, "alpha": s["alpha"].flatten()[:1]}, r"got \(1,\)"),
        (lambda s: {**s, "alpha": s["alpha"][:, :, None]}, r"got \(1, 3, 1, 20\)"),
        (lambda s: {**s, "alpha": s["alpha"].repeat(2, 1, 1)}, r"got \(2, 3, 20\)"),
        (lambda s: {**s, "alpha": s["alpha"].view(1, 3, 2, 10)}, r"got \(1, 3, 2, 10\)"),
        (lambda s: {**s, "alpha": s["alpha"].view(1, 3, 5, 2, 2)}, r"got \(1, 3, 5, 2, 2\)"),
        (lambda s: {**s, "alpha": s["alpha"][0, 0, 0]}, r"got \(\)"),
        (lambda s: {**s, "alpha": s["alpha"][:, :0]}, "num_channels must be at least 1, got 0"),
        (lambda s: {**s, "dict": s["dict"][:, 1:]}, "20 weights a channel but dict 19 nodes"),
        (lambda s: {**s, "dict": s["dict"].repeat(3, 1)}, "dict 60 nodes"),
        (lambda s: {**s, "dict": s["dict"].flip(1)}, r"increasing, got \(4\.0, -4\.0\)"),
        (lambda s: {**s, "dict": s["dict"] ** 3}, r"uniform, got nodes up to .* \[-64\.0, "),
        (lambda s: {**s, "dict": s["dict"].half()}, "dict must be uniform"),
        (lambda s: {**s, "dict": s["dict"].where(s["dict"] != s["dict"][0, 5], torch.nan)}, "nan"),
        (lambda s: {**s, "gamma": s["gamma"] * torch.linspace(1, 2, 20)}, r"for all nodes, got \["),
        (lambda s: {**s, "gamma": s["gamma"][:, :, :0]}, r"for all nodes, got \[\]"),
        (lambda s: {**s, "gamma": s["gamma"] * torch.nan}, r"for all nodes, got \[nan"),
        (lambda s: {**s, "gamma": -s["gamma"]}, r"gamma must be positive and finite, got -0\.7"),
    ],
)  # fmt: skip
def test_checkpoints_that_are_none(change, message):
    with pytest.raises(ValueError, match=message):
        ta.KAF.from_official(change(checkpoint(3)))


def test_what_is_no_state_dict():
    with pytest.raises(TypeError, match="mapping, got KAF"):
        ta.KAF.from_official(ta.KAF(3))
    with pytest.raises(TypeError, match=r"'dict' must be a torch\.Tensor, got ndarray"):
        ta.KAF.from_official({**checkpoint(3), "dict": checkpoint(3)["dict"].numpy()})
