"""KAF's launches through Triton's real JIT binder and compiler, with only the driver faked."""

import pytest
import torch

from triton_acts import kaf
from triton_acts.dictionary import _kernel_road, _kernels
from triton_acts.tuning.config import Config
from triton_acts.tuning.lookup import config_override

pytestmark = pytest.mark.usefixtures("binder_agrees")
SHAPES = [(640, 512), (37, 512), (1001, 3), (4, 32, 28, 28), (5, 7, 17, 19), (9, 12, 7, 7)]


def step(x, alpha, **options):
    """Forward and backward; results are whatever the memory held."""
    x, alpha = x.detach().requires_grad_(), alpha.detach().requires_grad_()
    kaf(x, alpha, **options).backward(torch.empty_like(x))


def test_every_layout(gpu):
    """The variants that shapes choose are those that the binder would; names say what runs."""
    for shape in SHAPES:
        x = torch.empty(shape, dtype=torch.bfloat16)
        for channels in (shape[1], 1):
            alpha = torch.randn(channels, 20)
            step(x, alpha)
            step(x, alpha)
            assert [launch.name for launch in gpu.launches[-2:]] == [
                "kaf_factored",
                "kaf_factored_backward",
            ]
    grids = {launch.grid for launch in gpu.launches}
    assert all(max(g[1:]) < 2**16 for g in grids)


def test_other_dictionaries(gpu):
    """Several anchors, free nodes, narrow Gaussians; one gradient alone."""
    x = torch.empty(64, 48, dtype=torch.bfloat16)
    step(x, torch.randn(48, 64))
    passes = [launch for launch in gpu.launches if "backward" in launch.name]
    assert len(passes) == 2
    step(x, torch.randn(48, 20), nodes=torch.randn(20), gamma=2.0)
    assert gpu.launches[-1].name == "kaf_direct_backward"
    step(x, torch.randn(48, 20), gamma=1000.0)
    assert gpu.launches[-1].name == "kaf_direct_backward"
    for needs in ((True, False), (False, True)):
        tensors = (x, torch.randn(48, 20))
        leaves = [t.detach().requires_grad_(n) for t, n in zip(tensors, needs, strict=True)]
        kaf(*leaves).backward(torch.empty_like(x))
        assert gpu.launches[-1].name == "kaf_factored_backward"


def test_one_variant_for_every_number_of_rows(gpu):
    """Rows, and the last row's incomplete end, compile nothing new, to beyond 2^31 elements."""
    alpha = torch.randn(64, 20)
    compiled = set()
    with torch.no_grad():
        for rows in (64, 65, 1000, 2**14, 2**25 + 1):
            kaf(torch.empty(rows, 64, dtype=torch.float16), alpha)  # never touched
            compiled.add(gpu.launches[-1].compiled)
    assert len(compiled) <= 2  # rows a program owns are a multiple of 16, or not


def test_a_kernel_not_loaded_before_capture_is_replaced(gpu, monkeypatch):
    """The composite runs, with a warning, forward and backward."""
    for launcher in (_kernel_road._forward, _kernel_road._backward):
        monkeypatch.setattr(launcher, "_variants", {})
        monkeypatch.setattr(launcher, "_bound", set())
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    x = torch.randn(6, 4, requires_grad=True)
    alpha = torch.randn(4, 20, requires_grad=True)
    with pytest.warns(RuntimeWarning, match="kaf: its kernel"):
        y = kaf(x, alpha)
    with pytest.warns(RuntimeWarning, match="kaf: its kernel"):
        found = torch.autograd.grad(y.sum(), (x, alpha))
    assert not gpu.launches
    kappa = torch.exp(-1 / (6 * (6 / 19) ** 2) * (x[..., None] - torch.linspace(-3, 3, 20)) ** 2)
    torch.testing.assert_close(y, (kappa * alpha).sum(-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[1], kappa.sum(0), rtol=1e-4, atol=1e-5)


def test_kernel_arguments_have_safe_names():
    """Triton's binder itself uses these names: a kernel with one of them cannot be launched."""
    for kernel in (_kernels.forward, _kernels.backward):
        assert not {"params", "specialization", "options"} & set(kernel.arg_names)


def test_a_config_cannot_change_a_sum(gpu):
    """Tiles and splits of alpha's gradient are the shape's, as is what the compiler fuses in it."""
    x, alpha = torch.empty(640, 512), torch.randn(512, 20)
    step(x, alpha)
    first = gpu.launches[-1]
    with config_override("kaf", Config(8, 2, 2), "forward"):
        step(x, alpha)
        assert gpu.launches[-2].compiled is not gpu.launches[0].compiled
        assert gpu.launches[-1].compiled is first.compiled
    for config in (Config(1, 8, 2), Config(4, 2, 2), Config(4, 8, 2)):
        with (
            config_override("kaf", config, "backward"),
            pytest.raises(ValueError, match="allowed is 2 elements a thread, 4 warps, 2 tiles"),
        ):
            step(x, alpha)
