"""What users meet: arguments, errors, modules, torch.compile."""

import copy
import io
import itertools
import pickle
import re
import warnings

import pytest
import torch
from torch._inductor.utils import run_and_get_code

import triton_acts as ta
from triton_acts import _dispatch

FUNCTIONS = pytest.mark.parametrize(
    "f", [ta.scaled_sigmoid, ta.penalized_tanh], ids=lambda f: f.__name__
)


@FUNCTIONS
@pytest.mark.parametrize(
    "dtype",
    [torch.int64, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn],
    ids=str,
)
def test_dtypes_that_no_road_takes(f, dtype):
    with pytest.raises(TypeError, match=f"{f.__name__}.*{str(dtype).replace('.', '[.]')}"):
        f(torch.ones(3).to(dtype))


@FUNCTIONS
def test_layouts_that_no_road_takes(f):
    with pytest.raises(TypeError, match=r"torch\.sparse_coo.*to_dense"):
        f(torch.eye(3).to_sparse())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quantised tensors are deprecated
        quantised = torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
    with pytest.raises(TypeError, match="qint8"):
        f(quantised)
    for other in ([1.0], 1.0, None, "x"):
        with pytest.raises(TypeError, match=type(other).__name__):
            f(other)


@pytest.mark.parametrize("value", [torch.tensor(4.0), "4", None, 1j, [4.0], True], ids=repr)
def test_scalars_are_real_numbers(value):
    with pytest.raises(TypeError, match=r"scaled_sigmoid: scale must be a real number, got"):
        ta.scaled_sigmoid(torch.ones(3), value)
    if value is not None:
        with pytest.raises(TypeError, match=r"scaled_sigmoid: bias must be a real number, got"):
            ta.scaled_sigmoid(torch.ones(3), 4.0, value)
    if not isinstance(value, torch.Tensor):
        with pytest.raises(TypeError, match=r"penalized_tanh: a must be a real number, got"):
            ta.penalized_tanh(torch.ones(3), value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e39, -1e39])
def test_scalars_are_finite(value):
    with pytest.raises(ValueError, match="scale must be finite in float32"):
        ta.scaled_sigmoid(torch.ones(3), value)
    with pytest.raises(ValueError, match="bias must be finite"):
        ta.scaled_sigmoid(torch.ones(3), 4.0, value)
    with pytest.raises(ValueError, match="a must be finite"):
        ta.penalized_tanh(torch.ones(3), value)


def test_numbers_of_any_kind():
    """Integers, fractions and NumPy scalars are real numbers."""
    import decimal
    import fractions

    import numpy as np

    x = torch.randn(5)
    for wrong in (decimal.Decimal(4), np.True_, bytearray(b"4")):
        with pytest.raises(TypeError, match="scale must be a real number"):
            ta.scaled_sigmoid(x, wrong)
    with pytest.raises(ValueError, match="scale must be finite"):
        ta.scaled_sigmoid(x, 10**400)
    for four in (4, np.float32(4), np.int64(4), fractions.Fraction(4)):
        torch.testing.assert_close(ta.scaled_sigmoid(x, four), ta.scaled_sigmoid(x))


@pytest.mark.parametrize("shape", [(2,), (4,), (1, 3), ()], ids=str)
def test_wrong_sizes_of_a(shape):
    x = torch.randn(2, 3, 4)
    with pytest.raises(
        ValueError, match=r"penalized_tanh: a .*" + (str(shape[0]) if shape else r"\(\)")
    ):
        ta.penalized_tanh(x, torch.rand(shape))


def test_errors_of_a():
    x = torch.randn(2, 3)
    with pytest.raises(ValueError, match="channel_dim is 2, allowed are -2 to 1"):
        ta.penalized_tanh(x, torch.rand(3), 2)
    with pytest.raises(ValueError, match="no channel dimension"):
        ta.penalized_tanh(x[0], torch.rand(3))
    with pytest.raises(ValueError, match="x is on cpu but a is on meta"):
        ta.penalized_tanh(x, torch.rand(3, device="meta"))
    for wrong in (1.0, "1", None, True):
        with pytest.raises(TypeError, match=f"channel_dim must be an int, got {wrong!r}"):
            ta.penalized_tanh(x, torch.rand(3), wrong)
        with pytest.raises(TypeError, match=f"channel_dim must be an int, got {wrong!r}"):
            ta.PenalizedTanh(num_parameters=3, channel_dim=wrong)
    with pytest.raises(TypeError, match=r"a has dtype torch\.int64"):
        ta.penalized_tanh(x, torch.ones(3, dtype=torch.int64))
    with pytest.raises(TypeError, match=r"torch\.bool"):
        ta.penalized_tanh(x > 0, torch.rand(3))


def test_save():
    x = torch.randn(3)
    with pytest.raises(ValueError, match=r"save must be one of .*got 'both'"):
        ta.scaled_sigmoid(x, save="both")
    with pytest.raises(ValueError, match="save='output' needs scale != 0"):
        ta.scaled_sigmoid(x, 0, save="output")
    for a in (0.0, -0.5, torch.rand(1)):
        with pytest.raises(ValueError, match="save='output' needs a real number a > 0"):
            ta.penalized_tanh(x, a, save="output")
    torch.testing.assert_close(ta.penalized_tanh(x, save="output"), ta.penalized_tanh(x))


def test_nothing_is_changed_when_an_error_is_raised():
    x = torch.randn(2, 3, requires_grad=True)
    before = x.detach().clone()
    for bad in (lambda: ta.penalized_tanh(x, torch.rand(4)), lambda: ta.scaled_sigmoid(x, "no")):
        with pytest.raises((TypeError, ValueError)):
            bad()
    assert torch.equal(x, before)
    assert x.grad is None


MODULES = [
    ta.ScaledSigmoid(),
    ta.ScaledSigmoid(2.0, 0.5, save="output"),
    ta.PenalizedTanh(),
    ta.PenalizedTanh(0.1, save="output"),
    ta.PenalizedTanh(num_parameters=1),
    ta.PenalizedTanh(0.3, num_parameters=4, channel_dim=-1),
]


@pytest.mark.parametrize("module", MODULES, ids=repr)
def test_modules(module):
    """They survive pickling, deepcopy, state dicts and repr, and compute what the functions do."""
    x = torch.randn(3, 4, 4, requires_grad=True)
    y = module(x)
    y.sum().backward()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(twin(x), y)
        assert repr(twin) == repr(module)
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    module.load_state_dict(torch.load(buffer, weights_only=True))
    rebuilt = eval(repr(module), {name: getattr(ta, name) for name in ta.nn.__all__})
    assert repr(rebuilt) == repr(module)


def test_learnable_module():
    module = ta.PenalizedTanh(0.2, num_parameters=3)
    assert [(n, tuple(p.shape)) for n, p in module.named_parameters()] == [("a", (3,))]
    with torch.no_grad():
        module.a.add_(1)
    module.reset_parameters()
    assert (module.a == 0.2).all()
    assert ta.PenalizedTanh(num_parameters=2, dtype=torch.bfloat16).a.dtype is torch.bfloat16
    assert not list(ta.PenalizedTanh().parameters())


@pytest.mark.parametrize(
    ("build", "error"),
    [
        (lambda: ta.PenalizedTanh(num_parameters=0), ValueError),
        (lambda: ta.PenalizedTanh(num_parameters=1.5), TypeError),
        (lambda: ta.PenalizedTanh(num_parameters="a"), TypeError),
        (lambda: ta.PenalizedTanh(torch.tensor(0.25)), TypeError),
        (lambda: ta.PenalizedTanh(-1, save="output"), ValueError),
        (lambda: ta.PenalizedTanh(num_parameters=2, save="output"), ValueError),
        (lambda: ta.ScaledSigmoid("4"), TypeError),
        (lambda: ta.ScaledSigmoid(save="x"), ValueError),
    ],
)
def test_modules_raise_when_built(build, error):
    with pytest.raises(error):
        build()


CALLS = {
    "scaled_sigmoid": ta.scaled_sigmoid,
    "scaled_sigmoid offset": lambda x: ta.scaled_sigmoid(x, 2, 0.5),
    "penalized_tanh": ta.penalized_tanh,
    "penalized_tanh output": lambda x: ta.penalized_tanh(x, save="output"),
    "module": ta.PenalizedTanh(),
    "learned": ta.PenalizedTanh(num_parameters=4),
}


@pytest.mark.parametrize("name", CALLS)
def test_compiles_as_one_graph_and_fuses(name):
    """No graph break, one fused kernel with the neighbours, no recompilation for another size."""
    from torch._inductor import utils

    fresh_cache = getattr(utils, "fresh_cache", None) or utils.fresh_inductor_cache  # torch 2.11
    f = CALLS[name]
    torch._dynamo.reset()

    def neighbours(x):
        return (f(x * 2) + 1) * 3

    compiled = torch.compile(neighbours, fullgraph=True, dynamic=True)
    x = torch.randn(8, 4)
    with torch.no_grad(), fresh_cache():
        y, (source,) = utils.run_and_get_code(compiled, x)
    torch.testing.assert_close(y, neighbours(x))
    assert source.count("async_compile.cpp_pybinding") == 1
    x = torch.randn(6, 4, requires_grad=True)
    gradients = [torch.autograd.grad(g(x).sum(), x)[0] for g in (compiled, neighbours)]
    torch.testing.assert_close(*gradients)


def test_dtypes_and_shapes_are_kept():
    for dtype, shape in itertools.product(
        (torch.float16, torch.bfloat16, torch.float32, torch.float64), ((), (0,), (3, 0, 2), (2, 3))
    ):
        x = torch.randn(shape).to(dtype)
        for y in (ta.scaled_sigmoid(x), ta.penalized_tanh(x), ta.penalized_tanh(x, torch.rand(1))):
            assert (y.dtype, y.shape) == (dtype, x.shape)


def test_parameters_beyond_half_precision():
    """Overflow gives inf, as in eager PyTorch, and no error."""
    x = torch.tensor([-20.0, 0.0, 20.0]).half()
    torch.testing.assert_close(ta.scaled_sigmoid(x, 1e5, 0.5), 1e5 * torch.sigmoid(x) + 0.5)
    torch.testing.assert_close(ta.scaled_sigmoid(x, 1.0, 1e5), torch.sigmoid(x) + 1e5)
    assert ta.scaled_sigmoid(x.float(), 3e38, 3e38)[2] == torch.inf


def test_plain_tensors_are_not_asked_what_they_stand_for(monkeypatch):
    """That costs half a tanh of 8 elements."""

    def asked(*_):
        raise AssertionError

    monkeypatch.setattr(_dispatch, "stand_ins", asked)
    x, weights = torch.randn(2, 4), torch.randn(4, 20, requires_grad=True)
    for f in (ta.scaled_sigmoid, ta.penalized_tanh, ta.KAF(4)):
        f(x)
    ta.kaf(x, weights)
    ta.penalized_tanh(x, torch.nn.Parameter(torch.ones(4)))


@FUNCTIONS
def test_compiled_scalars_that_change_stay_float32(f):
    """Dynamo makes a float64 input of the second value; it becomes a constant of its own graph."""
    torch._dynamo.reset()
    compiled, x = torch.compile(f, fullgraph=True), torch.randn(33)
    for value in (0.5, 0.75):
        y, code = run_and_get_code(compiled, x, value)
        torch.testing.assert_close(y, f(x, value))
        assert y.dtype is torch.float32
        assert code
        assert "at::vec::Vectorized<float>" in code[0]
        assert not re.findall(r"\bdouble\b|fp64|float64", code[0])
