"""Every kernel that the search times: all configs compute the same bits, and a fault is found."""

from dataclasses import replace

import pytest
import torch

import triton_acts
from triton_acts import _launch
from triton_acts.pointwise import _bench as _pointwise_bench
from triton_acts.tuning.outlook import candidates_for
from triton_acts.tuning.registry import REGISTRY
from triton_acts.tuning.target import hardware_of

assert triton_acts  # its import fills the registry
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
TUNED = [
    (op, variant) for op, spec in REGISTRY.items() for variant in spec.variants if variant.bench
]


def made(op, variant, dtype, aligned, device, octave=10):
    """A bench, its default, and the other candidates."""
    where = torch.device(device)
    default, candidates = candidates_for(op, variant, dtype, hardware_of(where))
    bench = variant.bench(dtype, 1 << octave, aligned, where)
    return bench, default, [config for config in candidates if config != default]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(
    "tuned", TUNED, ids=lambda t: f"{t[0]}-{t[1].name}-{t[1].direction}-{t[1].layout}"
)
@torch.no_grad()
def test_every_config_computes_the_default_s_bits(tuned, aligned, device, monkeypatch):
    op, variant = tuned
    dtype = DTYPES[(TUNED.index(tuned) + aligned) % 3]
    bench, default, others = made(op, variant, dtype, aligned, device)
    assert bench.default == default
    assert bench.reads == variant.tensors - 1
    assert all((t.data_ptr() % 16 == 0) == aligned for t in (bench.x, bench.outputs[0]))
    assert bench.check(default) == ""
    tried = (others[0], others[-1])  # `tune --exhaustive` tries all of them on a GPU
    warps, real = [], _launch.Launcher.__call__
    monkeypatch.setattr(
        _launch.Launcher, "__call__", lambda *args: (warps.append(args[-1]), real(*args))
    )
    for config in tried:
        assert bench.check(config) == ""
    assert warps == [n for config in tried for n in (config.num_warps, default.num_warps)]
    assert set(warps) != {default.num_warps}, "what is named is what is launched"


CHANGES = {
    "a wrong value": lambda y, _: y[7:8].add_(0.5),
    "a changed bit": lambda y, _: y[:1].view(torch.int32).bitwise_xor_(1),
    "an element nobody wrote": lambda y, before: y[-3:-2].copy_(before[-3:-2]),
    "a tile nobody wrote": lambda y, before: y[512:].copy_(before[512:]),
}
SAYS = {
    "a wrong value": "of the largest value, allowed is",
    "a changed bit": "1 results differ from the default's in their bits",
    "an element nobody wrote": "1 results are NaN or were never written",
    "a tile nobody wrote": "NaN or were never written",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("name", "output"),
    [
        ("scaled_sigmoid scalar backward", 0),
        ("penalized_tanh per_channel forward", 0),
        ("kaf d20 forward", 0),
    ],
)
@torch.no_grad()
def test_a_broken_launch_is_found(change, name, output, device):
    op, variant = next(
        (op, v)
        for op, v in TUNED
        if f"{op} {v.name} {v.direction}" == name and v.layout != "shared"
    )
    sound, default, others = made(op, variant, torch.float32, True, device)

    def launch(config):
        y = sound.outputs[output].view(-1)
        before = y.clone()
        sound.launch(config)
        if config == broken:
            CHANGES[change](y, before)

    bench = replace(sound, launch=launch)
    broken = others[0]
    assert SAYS[change] in bench.check(broken)
    broken = default
    if change != "a changed bit":  # only other configs are held against the default's bits
        assert SAYS[change] in bench.check(default)
    broken = None
    assert bench.check(others[0]) == ""


@pytest.mark.parametrize("aligned", [True, False])
@torch.no_grad()
def test_a_kernel_that_takes_one_input_for_the_other_is_found(aligned, device, monkeypatch):
    op = "scaled_sigmoid"
    variant = next(v for o, v in TUNED if o == op and v.direction == "backward")
    bench, default, _ = made(op, variant, torch.float32, aligned, device)
    assert bench.check(default) == ""
    pointwise = _pointwise_bench.launch

    def swapped(op, direction, fn, tensors, params, config):
        x, g, out = tensors
        pointwise(op, direction, fn, (g, x, out), params, config)

    monkeypatch.setattr(_pointwise_bench, "launch", swapped)
    assert "of the largest value" in bench.check(default)
