"""Launches through Triton's real JIT binder and compiler, with only the driver faked."""

import itertools
from functools import partial

import pytest
import torch
from support import activations, clock

from triton_acts import _launch, kaf, penalized_tanh, scaled_sigmoid
from triton_acts.pointwise import ALL, _define, _kernels, _per_channel
from triton_acts.pointwise._define import apply

pytestmark = pytest.mark.usefixtures("binder_agrees")
DTYPES = [torch.float16, torch.bfloat16, torch.float32]
OPS = pytest.mark.parametrize("op", ALL, ids=lambda op: op.name)


@OPS
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_forward_and_backward(op, dtype, gpu):
    """Both directions, both ways to save, reach the GPU by their names, with right sizes."""
    x = torch.randn(3000, dtype=dtype)
    apply(op, x, op.defaults)
    activations.gradient(op, op.defaults, x)
    activations.gradient(op, op.defaults, x, save="output")
    block = 1024 if dtype.itemsize == 2 else 512
    assert [launch.grid for launch in gpu.launches] == [(-(-3000 // block), 1, 1)] * 5
    names = {launch.name for launch in gpu.launches}
    assert names == {
        f"pointwise_{op.name}",
        f"pointwise_{op.name}_slope_backward",
        f"pointwise_{op.name}_slope_from_output_backward",
    }


@OPS
def test_one_variant_for_every_size_and_parameter(op, gpu):
    """From 1 element to beyond 2^31, aligned; no parameter value compiles a kernel of its own."""
    compiled = set()
    for numel in (1, 15, 16, 17, 1024, 1025, 2**31 - 1, 2**31 + 17):
        x = torch.empty(numel, dtype=torch.float16)  # never touched, so no memory is spent
        apply(op, x, op.defaults)
        assert gpu.launches[-1].grid == (-(-numel // 1024), 1, 1)
        compiled.add(gpu.launches[-1].compiled)
    x = torch.randn(64, dtype=torch.float16)
    for params in (
        *op.examples,
        *itertools.product((0.0, 1.0, 2.0, -1.0), repeat=len(op.defaults)),
    ):
        apply(op, x, params)
        compiled.add(gpu.launches[-1].compiled)
    assert len(compiled) == 1


def test_integers_are_floats(gpu):
    """A Python int 1 would become a constant of the kernel."""
    x = torch.randn(64)
    for value in (1, 1.0, True + 0.5, 0, 0.0, 3):
        scaled_sigmoid(x, value, value)
        penalized_tanh(x, value)
    forward = {launch.compiled for launch in gpu.launches}
    assert len(forward) == 2


def view(misaligned, shape=(64,), requires_grad=False):
    """A tensor that starts on a 16-byte boundary, or one element after it."""
    numel = torch.Size(shape).numel()
    x = torch.randn(numel + 1)[int(misaligned) :][:numel].view(shape)
    return x.requires_grad_(requires_grad)


@pytest.mark.parametrize("kernel", ["scalar", "per_channel"])
def test_every_mix_of_aligned_and_misaligned_pointers(kernel, gpu, monkeypatch):
    """Triton specialises each pointer; a variant for 16-byte accesses must not meet another."""
    real = torch.empty_like
    for output, inner, weight, g in itertools.product((False, True), repeat=4):
        shape = (4, 16)
        monkeypatch.setattr(torch, "empty_like", lambda x, o=output: view(o, x.shape))
        x = view(inner, shape, requires_grad=True)
        if kernel == "scalar":
            y = scaled_sigmoid(x)
        else:
            y = penalized_tanh(x, view(weight, (16,), requires_grad=True))
        y.backward(view(g, shape))
    monkeypatch.setattr(torch, "empty_like", real)
    pointers = {
        tuple(arg.data_ptr() % 16 == 0 for arg in launch.args if isinstance(arg, torch.Tensor))
        for launch in gpu.launches
    }
    assert len(pointers) >= (4 + 8 if kernel == "scalar" else 8 + 16)


def test_a_kernel_not_loaded_before_capture_is_replaced(gpu, monkeypatch):
    """The composite runs, with a warning that says what to do; loaded kernels are captured."""
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    for launcher in (
        _define._forward,
        _define._backward,
        _per_channel._forward,
        _per_channel._backward,
    ):
        monkeypatch.setattr(launcher, "_variants", {})
        monkeypatch.setattr(launcher, "_bound", set())
    x, a = torch.randn(4, 3, requires_grad=True), torch.rand(3, requires_grad=True)
    for f in (scaled_sigmoid, lambda x: penalized_tanh(x, a)):
        with pytest.warns(
            RuntimeWarning, match=r"call triton_acts.warmup, or run the model once with backward"
        ):
            y = f(x)
        with torch.no_grad(), pytest.warns(RuntimeWarning, match="not loaded"):
            torch.testing.assert_close(f(x), y)
        with pytest.warns(RuntimeWarning, match="not loaded"):
            gradients = torch.autograd.grad(y.sum(), (x, a), allow_unused=True)
    assert not gpu.launches
    torch.testing.assert_close(y, torch.where(x > 0, x.tanh(), a * x.tanh()))
    torch.testing.assert_close(gradients[1], torch.where(x > 0, 0, x.tanh()).sum(0))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    scaled_sigmoid(x)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    scaled_sigmoid(x)
    assert len(gpu.launches) == 2


def test_launch_hooks_are_called(gpu, monkeypatch):
    """A profiler's hooks, as chains, functions or None, see every launch."""
    from triton import knobs

    x, seen = torch.randn(8), []
    scaled_sigmoid(x)
    for hook in (None, seen.append):
        monkeypatch.setattr(knobs.runtime, "launch_enter_hook", hook)
        scaled_sigmoid(x)
    assert len(gpu.launches) == 3
    assert gpu.launches[-1].hooks == (seen.append, knobs.runtime.launch_exit_hook)


def test_per_channel(gpu):
    """Every way to see a tensor, with all combinations of gradients, agrees with the binder."""
    shapes = [
        (64, 48),
        (64, 512),
        (7, 3),
        (5, 1),
        (4, 6, 49),
        (4, 16, 64),
        (2, 3, 5, 7),
        (1, 2048),
        (16,),
    ]
    for shape, shared, misaligned in itertools.product(shapes, (False, True), (False, True)):
        numel = torch.Size(shape).numel()
        x = torch.randn(numel + 1, dtype=torch.bfloat16)[int(misaligned) :][:numel].view(shape)
        channels = 1 if shared or len(shape) < 2 else shape[1]
        for need_dx, need_da in ((True, True), (True, False), (False, True)):
            a = torch.rand(channels).requires_grad_(need_da)
            y = penalized_tanh(x.detach().requires_grad_(need_dx), a)
            y.backward(torch.ones_like(y))
    names = {launch.name for launch in gpu.launches}
    assert names == {
        "pointwise_penalized_tanh_channel",
        "pointwise_penalized_tanh_slopes_channel_backward",
    }


def test_current_device(gpu, monkeypatch):
    """With another device current, the launch happens under the tensor's own."""
    entered = []

    class Guard:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            entered.append(self.device)
            gpu.device = self.device

        def __exit__(self, *_):
            gpu.device = 0

    monkeypatch.setattr(torch.cuda, "device", Guard)
    monkeypatch.setattr(gpu, "device", 0)
    scaled_sigmoid(torch.randn(8))
    assert entered == [-1]
    assert len(gpu.launches) == 1


def test_amd_goes_through_the_binder(gpu, monkeypatch):
    """AMD's compiler specialises on storage sizes that our key does not hold: nothing is kept."""

    class Compiled:
        class metadata:
            class target:
                backend = "hip"

    class Kernel:
        def __getitem__(self, grid):
            return lambda *args, **options: Compiled

        def warmup(self, *args, **options):
            return Compiled

    launcher = _launch.Launcher(Kernel())
    launcher._bind(0, (1, 1, 1), "key", (), 4)
    assert not launcher._variants
    # what ran once is loaded, and so may be captured although it is not kept
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    launcher._bind(0, (1, 1, 1), "key", (), 4)
    with pytest.raises(_launch.UnloadedInCaptureError):
        launcher._bind(0, (1, 1, 1), "another key", (), 4)


def test_kernel_arguments_have_safe_names():
    """`params`, `specialization` and `options` are names of the generated binder's own."""
    for name in _kernels.__all__:
        assert not {"params", "specialization", "options"} & set(getattr(_kernels, name).arg_names)


@pytest.mark.alone
def test_host_cost(gpu, monkeypatch):
    """Guards, look-up, allocation and launch, in units of torch.sigmoid on a CPU tensor.

    KAF makes a table of weights besides.
    """
    monkeypatch.undo()  # without the fixture that asks the binder at every launch
    from support import fake_gpu

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        fake = fake_gpu.install(patch)
        patch.setattr(fake, "silent", True)
        x, alpha = torch.randn(2, 4), torch.randn(4, 20)
        bars = {scaled_sigmoid: 5, penalized_tanh: 5, kaf: 50}
        for function, bar in bars.items():
            f = partial(kaf, alpha=alpha) if function is kaf else function
            found = clock.ratio(lambda: f(x), lambda: torch.sigmoid(x), bar, calls=300)  # noqa: B023
            print(f"{function.__name__}: {found:.2f} x torch.sigmoid")  # noqa: T201
            assert found <= bar


@pytest.mark.alone
def test_a_warm_launch_costs_less_than_tritons_own(gpu, monkeypatch):
    """Look-up of the config included, both with the driver's launch stubbed."""
    monkeypatch.undo()  # without the fixture that asks the binder at every launch
    from support import fake_gpu

    with pytest.MonkeyPatch.context() as patch:
        fake = fake_gpu.install(patch)
        patch.setattr(fake, "silent", True)
        x, y = torch.randn(64), torch.empty(64)
        op, block = ALL[0], 512
        coefs = (*op.defaults, 1.0)
        theirs = _kernels.forward[(1, 1, 1)]
        found = clock.ratio(
            lambda: _define.launch(op, "forward", op.fn, (x, y), op.defaults),
            lambda: theirs(x, y, 64, coefs, op.fn, block, num_warps=4),
            1,
            calls=300,
        )
        print(f"launch: {found:.2f} x kernel[grid]")  # noqa: T201
        assert found <= 1
