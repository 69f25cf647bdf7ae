"""Expectations of candidates: filter and model together, and which one is chosen."""

import pytest
import torch

import triton_acts
from triton_acts import gpus
from triton_acts.tuning.config import Config
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.outlook import Outlook, candidates_for, choose, closest, outlook
from triton_acts.tuning.predict import Prediction, predict
from triton_acts.tuning.registry import REGISTRY, Hardware

assert triton_acts  # its import fills the registry
DEFAULT = Config(8, 4)
H200 = gpus.constants("h200")
FORWARD = REGISTRY["scaled_sigmoid"].variants[0]
GOOD = Counts(3.0, 1.0, 2.0, 16, 16, 16, 32, 0)
SLOW = Counts(300.0, 1.0, 2.0, 16, 16, 16, 32, 0)
SPILLS = Counts(3.0, 1.0, 2.0, 16, 16, 16, 32, 8)


def expected(known, numel=1 << 24, **options):
    return outlook(FORWARD, torch.bfloat16, H200, numel, DEFAULT, known, **options)


def seen(**ms):
    """Outlooks by config: the name e16w8 is 16 elements and 8 warps."""
    return [
        Outlook(Config(*(int(n) for n in name[1:].split("w"))), "", Prediction(t, 1.0, 1.0, "dram"))
        for name, t in ms.items()
    ]


def test_each_candidate_is_filtered_and_the_rest_predicted():
    other, spills, text, unknown = Config(16, 4), Config(32, 4), Config(4, 4), Config(2, 4)
    known = {DEFAULT: GOOD, other: SLOW, spills: SPILLS, text: "does not compile", unknown: None}
    found = {o.config: o for o in expected(known)}
    num_bytes = FORWARD.tensors * 2 << 24
    assert list(found) == list(known)
    assert found[DEFAULT].prediction == predict(H200, GOOD, num_bytes, 1 << 24, 4)
    assert found[other].prediction == predict(H200, SLOW, num_bytes, 1 << 24, 4)
    assert found[other].prediction.ms > found[DEFAULT].prediction.ms
    assert (found[spills].dropped, found[spills].prediction) == ("spills 8 bytes a thread", None)
    assert (found[text].dropped, found[text].prediction) == ("does not compile", None)
    assert (found[unknown].dropped, found[unknown].prediction) == ("", None)


def test_filling_the_machine_can_be_left_out_of_account():
    known = {DEFAULT: GOOD, Config(16, 8): GOOD}
    assert [o.dropped for o in expected(known, 132 << 10)] == [
        "",
        "fills 33 of 132 multiprocessors",
    ]
    assert [o.dropped for o in expected(known, 132 << 10, fill=False)] == ["", ""]


def test_the_fastest_by_prediction_is_chosen():
    assert choose(seen(e8w4=1.0, e16w4=0.98, e32w8=0.9, e4w1=2.0), DEFAULT) == Config(32, 8)


def test_predictions_within_five_percent_are_a_tie_for_the_default():
    assert choose(seen(e16w4=1.0, e8w4=1.0499), DEFAULT) == DEFAULT
    assert choose(seen(e16w4=1.0, e8w4=1.0501), DEFAULT) == Config(16, 4)


def test_of_a_tie_the_nearest_to_the_default_then_the_faster():
    assert choose(seen(e8w4=2.0, e16w8=1.0, e16w4=1.005, e64w4=1.0), DEFAULT) == Config(16, 4)
    assert closest({Config(16, 4): 1.005, Config(8, 8): 1.001}, DEFAULT) == Config(8, 8)
    assert closest({Config(8, 4, 4): 1.0, Config(8, 8): 1.0}, DEFAULT) == Config(8, 8)
    tie = {Config(16, 4): 1.0, Config(8, 8): 1.0}
    assert closest(tie, DEFAULT) == closest(dict(reversed(tie.items())), DEFAULT)


def test_if_nothing_is_known_it_is_the_default():
    assert choose([], DEFAULT) == DEFAULT
    assert choose([Outlook(Config(16, 4), "spills", None)], DEFAULT) == DEFAULT


@pytest.mark.parametrize("warp_size", [32, 64])
@pytest.mark.parametrize("rate", [0.0, 18.4, 26.0])
def test_every_default_is_among_its_candidates(warp_size, rate):
    hardware = Hardware(warp_size, rate)
    for op, spec in REGISTRY.items():
        for variant in spec.variants:
            for dtype in (torch.bfloat16, torch.float32):
                default, candidates = candidates_for(op, variant, dtype, hardware)
                assert default in candidates
                assert len(set(candidates)) == len(candidates)
                assert {c.warp_size for c in candidates} == {warp_size}
                rule = spec.rules[variant.direction, variant.dims.layout]
                assert (len(candidates) > 1) == (rule.choices is not None)
