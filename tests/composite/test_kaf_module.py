"""The layer KAF: arguments, initial weights, dtypes, torch.compile."""

import math

import pytest
import torch
from support.kaf_layer import GRID, INITS, assert_defined, elu, inputs, other, values

import triton_acts as ta
from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._fit import ridge, unit_gradient_std
from triton_acts.dictionary._gridding import Grid


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_defaults():
    module = ta.KAF(4)
    assert [(n, tuple(p.shape)) for n, p in module.named_parameters()] == [("alpha", (4, 20))]
    buffers = [(n, tuple(b.shape), b.dtype) for n, b in module.named_buffers()]
    assert buffers == [("grid", (2,), torch.float32), ("gamma", (), torch.float32)]
    assert module.grid.tolist() == [-3, 3]
    assert module.gamma.item() == pytest.approx(GRID.gamma, rel=1e-7)
    assert_defined(module)


def test_dictionary():
    assert values(ta.KAF(4, boundary=2)) == values(ta.KAF(4, grid=(-2, 2)))
    module = ta.KAF(4, 7, grid=(-1, 5.0), gamma=0.25)
    assert values(module) == Grid(-1.0, 5.0, 7, 0.25)
    assert_defined(module)
    assert values(ta.KAF(4, 7, grid=(-1, 5))).gamma == pytest.approx(1 / 6)
    assert values(ta.KAF(4, boundary=3.0, grid=(0.0, 1.0))).hi == 1


def test_channels():
    x = inputs(5, 6, 4)
    assert torch.equal(ta.KAF(4, channel_dim=-1, init=elu)(x), ta.KAF(1, init=elu)(x))
    last = ta.KAF(4, channel_dim=-1)
    y = definition(x.double(), last.alpha.double(), values(last), -1)
    torch.testing.assert_close(last(x).double(), y, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"alpha has 4 rows .* 6 channels"):
        ta.KAF(4)(x)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: ta.KAF(0), ValueError, "num_channels must be at least 1, got 0"),
        (lambda: ta.KAF(-3), ValueError, "got -3"),
        (lambda: ta.KAF(True), TypeError, "num_channels must be an int, got True"),
        (lambda: ta.KAF(4.0), TypeError, r"num_channels must be an int, got 4\.0"),
        (lambda: ta.KAF("4"), TypeError, "got '4'"),
        (lambda: ta.KAF(4, 1), ValueError, "num_nodes must be at least 2, got 1"),
        (lambda: ta.KAF(4, True), TypeError, "num_nodes must be an int, got True"),
        (lambda: ta.KAF(4, 20.0), TypeError, r"num_nodes must be an int, got 20\.0"),
        (lambda: ta.KAF(4, channel_dim=1.0), TypeError, r"channel_dim must be an int, got 1\.0"),
        (lambda: ta.KAF(4, boundary=0), ValueError, r"boundary must be positive, got 0\.0"),
        (lambda: ta.KAF(4, boundary=-3.0), ValueError, r"boundary must be positive, got -3\.0"),
        (lambda: ta.KAF(4, boundary=math.inf), ValueError, "boundary must be finite .* inf"),
        (lambda: ta.KAF(4, boundary=math.nan), ValueError, "boundary must be finite .* nan"),
        (lambda: ta.KAF(4, boundary="3"), TypeError, "boundary must be a real number, got '3'"),
        (lambda: ta.KAF(4, boundary=2, grid=(0, 1)), ValueError, r"got both, \(0, 1\) and 2"),
        (lambda: ta.KAF(4, grid=(1, 1)), ValueError, r"increasing, got \(1\.0, 1\.0\)"),
        (lambda: ta.KAF(4, grid=(1, 1 + 1e-12)), ValueError, r"increasing, got \(1\.0, 1\.0\)"),
        (lambda: ta.KAF(4, grid=(1, 2, 3)), ValueError, r"pair .*, got \(1, 2, 3\)"),
        (lambda: ta.KAF(4, grid=3.0), ValueError, r"pair .*, got 3\.0"),
        (lambda: ta.KAF(4, grid=(0, math.nan)), ValueError, "grid must be finite .* nan"),
        (lambda: ta.KAF(4, gamma=0), ValueError, r"gamma must be positive and finite, got 0\.0"),
        (lambda: ta.KAF(4, gamma=-1), ValueError, r"gamma must be positive and finite, got -1\.0"),
        (lambda: ta.KAF(4, gamma=math.inf), ValueError, "gamma must be finite .* inf"),
        (lambda: ta.KAF(4, boundary=1e-30), ValueError, "beyond what float32 can hold"),
        (lambda: ta.KAF(4, gamma="1"), TypeError, "gamma must be a real number, got '1'"),
        (lambda: ta.KAF(4, gamma=True), TypeError, "gamma must be a real number, got True"),
        (lambda: ta.KAF(4, init="elu"), ValueError, "'normal', 'zeros', 'identity'.*got 'elu'"),
        (lambda: ta.KAF(4, init=None), TypeError, "'normal', 'zeros', 'identity'.*got None"),
        (lambda: ta.KAF(4, init=torch.log), ValueError, r"finite at the nodes, got \[nan"),
        (lambda: ta.KAF(4, grid=(90, 91)), ValueError, "do not reach the grid from 90"),
        (lambda: ta.KAF(4, eps=-1), ValueError, r"eps must be at least 0, got -1\.0"),
        (lambda: ta.KAF(4, eps=math.nan), ValueError, "eps must be finite .* nan"),
        (lambda: ta.KAF(4, eps="1"), TypeError, "eps must be a real number, got '1'"),
        (lambda: ta.KAF(4, dtype=torch.float16), ValueError, r"got torch\.float16: alpha is kept"),
        (lambda: ta.KAF(4, dtype=torch.bfloat16), ValueError, "float32 .* 700 and alternate"),
        (lambda: ta.KAF(4, dtype=torch.int32), ValueError, r"got torch\.int32"),
    ],
)  # fmt: skip
def test_arguments_are_checked(build, error, message):
    with pytest.raises(error, match=message):
        build()


def test_repr_gives_the_layer_back():
    for module in (ta.KAF(4), other(3, num_nodes=9, init="zeros", eps=3e-7, channel_dim=-1)):
        rebuilt = eval(repr(module), {"KAF": ta.KAF})
        assert repr(rebuilt) == repr(module)
        assert values(rebuilt) == values(module)
    assert repr(ta.KAF(4, init="identity")) == (
        "KAF(num_channels=4, num_nodes=20, grid=(-3, 3), gamma=1.67129624, init='identity', "
        "eps=0.0001, channel_dim=1)"
    )
    assert "init='elu'" in repr(ta.KAF(4, init=elu))
    assert "init='ELU(alpha=1.0)'" in repr(ta.KAF(4, init=torch.nn.ELU()))


def test_normal_weights_keep_the_variance_of_gradients():
    module = ta.KAF(4000)
    std = unit_gradient_std(GRID)
    assert module.alpha.std().item() == pytest.approx(std, rel=0.02)
    assert module.alpha.mean().item() == pytest.approx(0, abs=0.02 * std)
    x = torch.randn(50, 4000, requires_grad=True)
    (slopes,) = torch.autograd.grad(module(x).sum(), x)
    assert slopes.square().mean().item() == pytest.approx(1, rel=0.05)


def test_fitted_weights():
    for init, function in (("identity", torch.clone), (elu, elu), (torch.nn.ELU(), elu)):
        expected = ridge(values(ta.KAF(3)), function, 1e-4).float()
        assert torch.equal(ta.KAF(3, init=init).alpha, expected.expand(3, -1))
    module = ta.KAF(1, init="identity", eps=0.3, dtype=torch.float64)
    assert torch.equal(module.alpha[0], ridge(values(module), torch.clone, 0.3))
    x = torch.linspace(-2.5, 2.5, 50)
    torch.testing.assert_close(ta.KAF(1, init="identity")(x), x, rtol=0, atol=0.02)
    assert not ta.KAF(3, init="zeros").alpha.any()


def test_a_module_as_init_is_no_part_of_the_layer():
    module = ta.KAF(3, init=torch.nn.PReLU(dtype=torch.float64))
    assert [name for name, _ in module.named_parameters()] == ["alpha"]
    assert not list(module.children())


@pytest.mark.parametrize("init", ["normal", "zeros", "identity", elu], ids=INITS)
def test_reset_parameters(init):
    module = ta.KAF(50, init=init)
    before = module.alpha.detach().clone()
    with torch.no_grad():
        module.alpha.fill_(7)
        module.grid.zero_()
        module.gamma.zero_()
    module.reset_parameters()
    assert module.alpha.requires_grad
    assert module.alpha.grad_fn is None
    assert values(module) == values(ta.KAF(50))
    if init == "normal":
        assert module.alpha.std().item() == pytest.approx(before.std().item(), rel=0.1)
    else:
        assert torch.equal(module.alpha, before)


def test_reset_parameters_fits_the_loaded_dictionary():
    module = ta.KAF(4, init=elu)
    module.load_state_dict(other().state_dict())
    module.reset_parameters()
    assert values(module) == values(other())
    assert torch.equal(module.alpha, other(init=elu).alpha)


def test_dtype_of_the_weights():
    assert ta.KAF(4, dtype=torch.float64).alpha.dtype is torch.float64
    before = torch.get_default_dtype()
    try:
        for default in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
            torch.set_default_dtype(default)
            module = other()
            kept = default if default is torch.float64 else torch.float32
            assert module.alpha.dtype is kept
            assert module.grid.dtype is module.gamma.dtype is torch.float32
            assert module.grid[1].item() == pytest.approx(2.1, rel=1e-7)
    finally:
        torch.set_default_dtype(before)


def test_device():
    module = ta.KAF(4, device="meta", init="identity")
    assert [t.is_meta for t in module.state_dict().values()] == [True] * 3


NARROW = {
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "to": lambda m: m.to(torch.float16),
    "to device and dtype": lambda m: m.to("cpu", torch.bfloat16),
    "type": lambda m: m.type(torch.float16),
    "float8": lambda m: m.to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("narrow", NARROW.values(), ids=NARROW)
@pytest.mark.parametrize("swap", [False, True])
def test_weights_stay_float32(narrow, swap):
    kaf = other()
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4), kaf)
    model(inputs()).sum().backward()
    before = {k: v.clone() for k, v in kaf.state_dict().items()}
    gradient = kaf.alpha.grad.clone()
    alpha = kaf.alpha
    x = inputs()
    with torch.no_grad():  # a graph would hold alpha, which cannot be swapped then
        y = kaf(x)
    torch.__future__.set_swap_module_params_on_conversion(swap)
    try:
        narrow(model)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert model[0].weight.element_size() < 4
    assert kaf.alpha is alpha
    for name, value in kaf.state_dict().items():
        assert value.dtype is torch.float32
        assert torch.equal(value, before[name])
    assert kaf.alpha.grad.dtype is torch.float32
    assert torch.equal(kaf.alpha.grad, gradient)
    assert torch.equal(kaf(x), y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_narrow_model_trains(dtype):
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), ta.KAF(4)).to(dtype)
    y = model(inputs().to(dtype))
    assert y.dtype is dtype
    y.sum().backward()
    assert model[0].weight.grad.dtype is dtype
    assert model[1].alpha.grad.dtype is torch.float32


def test_double():
    module = other()
    x = inputs().double()
    module(x).sum().backward()
    y, gradient = module(x), module.alpha.grad.clone()
    module.double()
    assert module.alpha.dtype is module.alpha.grad.dtype is torch.float64
    assert torch.equal(module.alpha.grad, gradient.double())
    assert torch.equal(module(x), y)
    twin = ta.KAF(4)
    twin.load_state_dict(module.state_dict())
    assert torch.equal(twin(x), y)
    assert all(v.dtype is torch.float32 for v in module.half().state_dict().values())


def test_compiles_as_one_graph():
    model = torch.nn.Sequential(ta.KAF(4), torch.nn.Linear(4, 4), other())
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    x = inputs()
    for _ in range(2):
        torch.testing.assert_close(compiled(x), model(x))
        pairs = [
            torch.autograd.grad(f(x).square().sum(), model[0].alpha) for f in (compiled, model)
        ]
        torch.testing.assert_close(*pairs, rtol=1e-4, atol=1e-4)
        model[0].load_state_dict(other(boundary=1.0).state_dict())


def test_exports():
    model = torch.nn.Sequential(other())
    x = inputs()
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), model(x))


def test_a_class_is_no_init():
    with pytest.raises(TypeError, match=r"such as torch.nn.ELU\(\), got <class"):
        ta.KAF(4, init=torch.nn.ReLU)
