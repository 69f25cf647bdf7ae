"""Configs, the names under which they are stored, and the rules that offer them."""

import pytest
import torch

import triton_acts
from triton_acts.tuning import Config
from triton_acts.tuning.keys import bucket, key, layout_of, nearest
from triton_acts.tuning.registry import RULES, Dims, Hardware

assert triton_acts  # its import fills the registry
BF16 = torch.bfloat16


def test_the_nearest_size_wins_and_the_smaller_of_two():
    sizes = dict.fromkeys((12, 16, 20), Config(8))
    assert [nearest(sizes, octave) for octave in (9, 10, 13, 14, 15, 20, 22, 23)] == [
        *(None, 12, 12, 12, 16, 20, 20, None)
    ]
    assert nearest({}, 10) is None
    assert [bucket(n) for n in (1, 2, 3, 4, 1023, 1024, 2**31 + 17)] == [0, 1, 2, 2, 10, 10, 31]
    # sqrt(2) times a power of two is half-way
    assert [bucket(n) for n in (1448, 1449, 46340, 46341)] == [10, 11, 15, 16]
    with pytest.raises(ValueError, match="numel must be at least 1, got 0"):
        bucket(0)


def test_keys():
    assert key("kaf", "forward", BF16, True, Dims("inner1", 20)) == (
        "kaf/forward/bfloat16/aligned/D<=20/inner1"
    )
    assert key("kaf", "backward", torch.float32, False, Dims("shared", 21, True)) == (
        "kaf/backward/float32/any/free<=40/shared"
    )
    assert key("kaf", "forward", BF16, True, Dims("small", 9999)).split("/")[4] == "D<=more"
    assert [layout_of(*shape) for shape in ((1, 9), (2, 1), (2, 255), (2, 256))] == [
        *("shared", "inner1", "small", "innerN")
    ]


def test_every_rule_offers_its_default_and_admits_its_candidates():
    for (op, direction, layout), rule in RULES.items():
        for nodes in (0, 8, 20, 40, 64, 300) if op == "kaf" else (0,):
            for free in (False, True):
                for hardware in (Hardware(32, 18.4), Hardware(32, 26.0), Hardware(64, 8.3)):
                    for dtype in (BF16, torch.float32):
                        dims = Dims(layout, nodes, free)
                        default = rule.default(dtype, hardware, dims)
                        candidates = rule.candidates(dtype, hardware, dims)
                        assert default in candidates, (op, direction, dims)
                        assert len(set(candidates)) == len(candidates)
                        assert all(c.warp_size == hardware.warp_size for c in candidates)
                        if direction == "backward" and layout != "flat":
                            assert candidates == (default,)


@pytest.mark.parametrize(
    "bad", [{"elements_per_thread": 3}, {"num_warps": 0}, {"num_warps": True}, {"unroll": -2}]
)
def test_a_config_is_of_powers_of_two(bad):
    (name,) = bad
    with pytest.raises(ValueError, match=f"{name} must be a power of two, got"):
        Config(**{"elements_per_thread": 8, **bad})


def test_a_config_fits_a_program():
    with pytest.raises(ValueError, match="2048 threads, allowed are 1024"):
        Config(1, 64)
    with pytest.raises(ValueError, match="allowed are 1048576"):
        Config(1 << 16, 4)
    assert Config(8, 4).on(64) == Config(8, 4, warp_size=64)
