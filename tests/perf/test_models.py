"""The models whose training steps are measured, and KAF in them as published."""

import pytest
import torch
from support.steps import CNN, CPU, MLP, NAMES, one_thread  # noqa: F401

import triton_acts
from perf.models import ACTIVATIONS, Published, Step, Training, steps
from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._kaf import checked_grid


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4, 4)], ids=str)
def test_the_published_module_is_ours_in_value_and_gradients(shape):
    ours = triton_acts.KAF(3)
    published = Published(ours)
    assert [p.shape for p in published.parameters()] == [p.shape for p in ours.parameters()]
    assert published.alpha.data_ptr() != ours.alpha.data_ptr()
    g = torch.randn(shape)
    found = []
    x = 2 * torch.randn(shape)
    for module in (ours, published):
        leaf = x.clone().requires_grad_()
        y = module(leaf)
        found.append((y, *torch.autograd.grad(y, (leaf, module.alpha), g)))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert a.abs().max() > 0.1
    grid = checked_grid("kaf", (-3.0, 3.0), None, 20)
    torch.testing.assert_close(found[1][0], definition(x, ours.alpha, grid), rtol=1e-4, atol=1e-5)


def test_both_forms_begin_with_the_same_weights():
    first = [Training(CNN, name, CPU.torch)() for name in NAMES]
    assert first[2].item() == pytest.approx(first[3].item(), rel=1e-5)
    assert len({loss.item() for loss in first[:3]}) == 3


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_steps_of_a_device(kind, quick):
    found = steps(kind, quick)
    variants = {step.variant for step in found}
    both = {f"{model}/{mode}" for model in ("cnn", "mlp") for mode in ("eager", "compiled")}
    assert variants == ({"mlp/eager"} if quick else both)
    measured = [step for step in found if not step.left_out]
    assert len(measured) == {"gpu": 4, "cpu": 3}[kind] or quick
    assert all(step.memory for step in measured if step.mode == "eager") or quick
    with pytest.raises(ValueError, match="'tpu'"):
        steps("tpu", quick)


def test_a_model_is_the_same_whatever_was_drawn_before():
    losses = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        losses.add(Training(MLP, "kaf", CPU.torch)().item())
        assert torch.equal(torch.get_rng_state(), state)
    assert len(losses) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_step_is_what_its_row_says(monkeypatch, dtype):
    seen = []

    class Watched(torch.nn.ReLU):
        def forward(self, x):
            seen.append(x)
            return super().forward(x)

    monkeypatch.setitem(ACTIVATIONS, "relu", lambda _channels: Watched())
    step = Training(Step("mlp", "eager", 8, 16, dtype), "relu", CPU.torch)
    step()
    assert {x.dtype for x in seen} == {dtype}
    parameters = list(step._model.parameters())
    assert {(p.dtype, p.grad) for p in parameters} == {(torch.float32, None)}
    step(2)
    assert [len(x) for x in seen] == [8, 8, 2, 2]
