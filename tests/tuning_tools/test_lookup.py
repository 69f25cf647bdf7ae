"""Who answers for a block size: every tier, overrides, and the cost of asking."""

import builtins
import os
import pathlib
import statistics
import threading
import time

import pytest
import torch

import triton_acts
from triton_acts import gpus
from triton_acts.tuning import Config, config_override, explain, lookup, select, store
from triton_acts.tuning.keys import key
from triton_acts.tuning.registry import Dims, Hardware
from triton_acts.tuning.target import target_of

assert triton_acts  # its import fills the registry
BF16 = torch.bfloat16
NAME = "penalized_tanh/forward/bfloat16/aligned"
ABOUT = {
    "slug": "x",
    "vendor": "nvidia",
    "arch": None,
    "sm_count": 1,
    "mem_gib": 1,
    "warp_size": 32,
}


def holding(config, name=NAME, octave=24, kind="model", warp_size=32):
    """A file with one entry."""
    about = ABOUT | {"warp_size": warp_size}
    return store.ConfigFile(about, {"kind": kind, "run_ids": []}, {name: {octave: config}})


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """An H200 with empty folders; tests put files into `shipped` and ask anew."""
    shipped = {}
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "user"))
    monkeypatch.delenv("TRITON_ACTS_GPU", raising=False)
    monkeypatch.setattr(store, "shipped", shipped.get)
    identity = gpus.classify("NVIDIA H200", "sm_90", 132, 140)
    monkeypatch.setattr(gpus, "identify", lambda device=None: identity)
    monkeypatch.setattr(gpus, "device_rate", lambda device: gpus.DeviceRate(32, 18.4))
    lookup.forget()
    yield shipped
    lookup.forget()


def ask(numel=1 << 24, **options):
    target = target_of(0)
    dims = Dims(**options)
    return lookup.answer("penalized_tanh", "forward", BF16, numel, True, dims, target)


def test_every_tier_answers_before_those_below_it(machine):
    """Put in place from the lowest to the highest, each takes over from the one before."""
    assert ask().tier == "analytic"
    assert ask().config == Config(8, 4)
    for i, (tier, name) in enumerate(
        [
            ("vendor", "vendor-nvidia"),
            ("architecture", "arch-sm_90"),
            ("nearest", "h100-94gb-nvl"),
            ("shipped", "h200"),
        ]
    ):
        config = Config(16, 1 << i)
        machine[name] = holding(config)
        lookup.forget()
        found = ask()
        assert (found.config, found.tier) == (config, tier)
        assert f"shipped {name}.json has {NAME} for 2^24 elements (model)" in found.reason
        assert select("penalized_tanh", "forward", BF16, 1 << 24, True, 0) == config
    provenance = {"kind": "measured", "run_ids": ["a"]}
    store.update_user("h200", ABOUT, provenance, {NAME: {24: Config(32, 2)}})
    lookup.forget()
    assert ask().tier == "user"
    assert ask().config == Config(32, 2)
    with config_override("penalized_tanh", Config(64, 8)):
        assert ask().tier == "override"
        assert select("penalized_tanh", "forward", BF16, 1 << 24, True, 0) == Config(64, 8)
    assert ask().tier == "user"


def test_the_nearest_gpu_is_nearest_in_bytes_a_clock(machine, monkeypatch):
    """Of sm_90, a part at 26 bytes a clock and multiprocessor is like an H20, not an H100."""
    identity = gpus.classify("NVIDIA GH999", "sm_90", 99, 50)
    monkeypatch.setattr(gpus, "identify", lambda device=None: identity)
    machine["h20"], machine["h100-80gb-sxm"] = holding(Config(16, 4)), holding(Config(8, 8))
    for rate, slug in ((26.0, "h20"), (12.9, "h100-80gb-sxm")):
        monkeypatch.setattr(gpus, "device_rate", lambda _, r=rate: gpus.DeviceRate(32, r))
        lookup.forget()
        found = ask()
        assert found.tier == "nearest"
        assert slug in found.reason
    monkeypatch.setattr(gpus, "device_rate", lambda _: gpus.DeviceRate(32, 0.0))
    machine["arch-sm_90"] = holding(Config(32, 4))
    lookup.forget()
    assert ask().tier == "architecture"


def test_a_tier_without_the_entry_is_passed_over(machine):
    """Another key, or a size over two octaves away, is no answer."""
    machine["h200"] = holding(Config(16, 4), name=NAME.replace("forward", "backward"))
    machine["arch-sm_90"] = holding(Config(32, 4))
    assert ask().tier == "architecture"
    assert ask(1 << 26).tier == ask(11 << 23).tier == "architecture"
    assert ask(12 << 23).tier == "analytic"
    assert ask(1 << 22).tier == ask(3 << 20).tier == "architecture"
    assert ask(11 << 18).tier == "analytic"


def test_a_file_made_for_other_warps_is_adapted(machine):
    machine["h200"] = holding(Config(8, 4, warp_size=64), warp_size=64)
    assert ask().config == Config(8, 4, warp_size=32)


def test_a_file_whose_warps_are_too_many_here_is_passed_over(machine, monkeypatch):
    """32 warps of 32 lanes would be 2048 threads on AMD."""
    machine["h200"] = holding(Config(8, 32))
    assert ask().config == Config(8, 32)
    monkeypatch.setattr(gpus, "device_rate", lambda device: gpus.DeviceRate(64, 18.4))
    monkeypatch.setattr(gpus, "constants", lambda slug: None)
    lookup.forget()
    assert ask().tier == "analytic"


@pytest.mark.parametrize(
    ("op", "dims", "default"),
    [
        ("penalized_tanh", Dims("inner1"), Config(8, 4)),
        ("kaf", Dims("inner1", 20), Config(2, 4, 2)),
    ],
)
def test_files_cannot_change_the_order_of_a_sum(op, dims, default, machine):
    """Where elements are added up, no file is asked."""
    machine["h200"] = holding(Config(64, 8), name=key(op, "backward", BF16, True, dims))
    target = target_of(0)
    found = lookup.answer(op, "backward", BF16, 1 << 24, True, dims, target)
    assert (found.tier, found.config) == ("analytic", default)
    assert "function of the shape" in found.reason


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("relu", "forward", BF16, 8, True, 0), "op 'relu'.*allowed are .*kaf forward: inner1"),
        (("kaf", "sideways", BF16, 8, True, 0, "inner1"), "direction 'sideways'"),
        (("kaf", "forward", BF16, 8, True, 0), "layout 'flat'"),
        (("scaled_sigmoid", "forward", BF16, 0, True, 0), "numel must be at least 1"),
    ],
)
def test_what_select_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        select(*arguments)


def test_a_cpu_is_no_gpu(monkeypatch):
    monkeypatch.undo()
    for device in (-1, torch.device("cpu")):
        with pytest.raises(ValueError, match=r"GPU|CPU"):
            select("scaled_sigmoid", "forward", BF16, 8, True, device)


def test_overrides_nest_end_with_errors_and_know_directions(machine):
    """The outer one is back after the inner; an exception ends both."""
    arguments = ("scaled_sigmoid", "{}", BF16, 4096, True, 0)

    def both():
        return [select(*(a.format(d) if a == "{}" else a for a in arguments)) for d in DIRECTIONS]

    before = both()
    with config_override("scaled_sigmoid", Config(16, 2)):
        assert both() == [Config(16, 2)] * 2
        with config_override("scaled_sigmoid", Config(32, 1), "backward"):
            assert both() == [Config(16, 2), Config(32, 1)]
        assert both() == [Config(16, 2)] * 2
        assert select("penalized_tanh", "forward", BF16, 4096, True, 0) == Config(8, 4)
    with pytest.raises(KeyError), config_override("scaled_sigmoid", Config(16, 2)):
        raise KeyError
    assert both() == before
    with pytest.raises(ValueError, match="op 'relu'"), config_override("relu", Config(8)):
        pass
    with pytest.raises(TypeError, match="must be a Config, got int"), config_override("kaf", 8):
        pass


DIRECTIONS = ("forward", "backward")


def test_an_override_holds_in_other_threads():
    """Autograd's backward threads are not the thread that entered the context."""
    seen = []
    with config_override("scaled_sigmoid", Config(16, 2)):
        arguments = ("scaled_sigmoid", "backward", BF16, 4096, True, 0)
        thread = threading.Thread(target=lambda: seen.append(select(*arguments)))
        thread.start()
        thread.join()
    assert seen == [Config(16, 2)]


def test_the_environment_names_another_gpu(machine, monkeypatch):
    """For look-up only: warp size and rates stay those of the GPU at hand."""
    machine["b200"] = holding(Config(64, 2))
    monkeypatch.setenv("TRITON_ACTS_GPU", "b200")
    lookup.forget()
    assert (ask().tier, ask().config) == ("shipped", Config(64, 2))
    assert target_of(0).hardware == Hardware(32, gpus.constants("h200").bytes_per_clock_sm)
    monkeypatch.setenv("TRITON_ACTS_GPU", "../../etc/passwd")
    lookup.forget()
    with pytest.raises(ValueError, match="etc/passwd"):
        ask()


def test_explain_reads_the_tensor(machine, monkeypatch):
    x = torch.empty(4096, 256, dtype=BF16)
    monkeypatch.setattr(torch.Tensor, "get_device", lambda self: 0)
    machine["h200"] = holding(Config(16, 4), octave=20)
    assert explain("penalized_tanh", x).config == Config(16, 4)
    assert explain("penalized_tanh", x.view(-1)[1:]).tier == "analytic"  # misaligned
    assert explain("penalized_tanh", x, "backward").tier == "analytic"
    for shape, layout in (((64, 8, 16, 16), "innerN"), ((64, 8), "inner1"), ((64, 1), "shared")):
        x = torch.empty(shape, dtype=BF16)
        assert explain("kaf", x).reason.split()[3].endswith(layout)
        reason = explain("penalized_tanh", x, channel_dim=1).reason
        assert reason.split()[3] == f"penalized_tanh/forward/bfloat16/aligned/{layout}"
    last = torch.empty(64, 8, 16, 16, dtype=BF16).to(memory_format=torch.channels_last)
    assert "inner1" in explain("kaf", last, num_nodes=64).reason
    assert "D<=64" in explain("kaf", last, num_nodes=64).reason


def test_after_the_first_call_nothing_is_read_or_asked(machine, monkeypatch):
    machine["h200"] = holding(Config(16, 4))
    arguments = ("penalized_tanh", "forward", BF16, 1 << 24, True, 0)
    first = select(*arguments)

    def forbidden(*args, **kwargs):
        raise AssertionError("asked again")

    places = (
        *((builtins, "open"), (os, "stat"), (os, "open"), (os.environ, "get")),
        *((pathlib.Path, "read_text"), (pathlib.Path, "open"), (store, "user")),
        *((gpus, "identify"), (gpus, "device_rate"), (torch.cuda, "get_device_properties")),
        (torch.cuda, "current_device"),
    )
    with monkeypatch.context() as patch:
        for place, name in places:
            patch.setattr(place, name, forbidden)
        found = [select(*arguments[:3], n, *arguments[4:]) for n in (1 << 24, 11 << 21)]
    assert all(config is first for config in found)


@pytest.mark.alone
def test_select_takes_half_a_microsecond(machine):
    """Median of 10^5 calls, the call's own overhead included."""
    arguments = ("penalized_tanh", "forward", BF16, 1 << 24, True, 0)
    select(*arguments)

    def median():
        times = []
        for _ in range(100):
            start = time.perf_counter_ns()
            for _ in range(1000):
                select(*arguments)
            times.append((time.perf_counter_ns() - start) / 1000)
        return statistics.median(times)

    found = min(median() for _ in range(5))  # a busy machine slows whole stretches
    print(f"select: {found:.0f} ns")  # noqa: T201
    assert found <= 500
