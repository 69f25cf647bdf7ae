"""What a layer KAF keeps: state dicts, copies, buffers, and tensors without memory."""

import copy
import io
import pickle

import pytest
import torch
from support.kaf_layer import INITS, OTHERS, assert_defined, elu, inputs, other, values

import triton_acts as ta
from triton_acts.dictionary._gridding import Grid


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("init", ["normal", "zeros", "identity", elu], ids=INITS)
def test_from_meta(init):
    with torch.device("meta"):
        module = other(init=init)
    assert all(t.is_meta for t in module.state_dict(keep_vars=True).values())
    assert module(torch.empty(7, 4, device="meta")).is_meta
    module.to_empty(device="cpu")
    with torch.no_grad():
        for t in module.state_dict(keep_vars=True).values():
            t.fill_(torch.nan)  # as memory may be
    module.reset_parameters()
    assert values(module) == values(other())
    if init != "normal":
        assert torch.equal(module.alpha, other(init=init).alpha)
    assert_defined(module)


def test_meta_state_dicts_keep_the_dictionary():
    with torch.device("meta"):
        state = ta.KAF(4).state_dict()
    module = other()
    module.load_state_dict(state, assign=True)
    module.to_empty(device="cpu")
    module.reset_parameters()
    assert values(module) == values(other())


def test_copies():
    module = other(init=elu)
    x = inputs()
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(twin) == repr(module)
        assert torch.equal(twin(x), module(x))
        twin.reset_parameters()
        assert torch.equal(twin.alpha, module.alpha)
        with torch.no_grad():
            twin.alpha.zero_()
        assert module.alpha.any()


LOADS = {
    "strict": {},
    "not strict": {"strict": False},
    "assign": {"assign": True},
    "both": {"strict": False, "assign": True},
}


@pytest.mark.parametrize("options", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("nested", [False, True])
def test_state_dicts_through_a_file(options, nested):
    """The dictionary comes with them, rounded as it always was, and forward sees it."""
    module, twin = other(), ta.KAF(4)
    if nested:
        module, twin = (
            torch.nn.Sequential(torch.nn.Sequential(m), ta.KAF(4)) for m in (module, twin)
        )
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    buffer.seek(0)
    result = twin.load_state_dict(torch.load(buffer, weights_only=True), **options)
    assert not result.missing_keys
    assert not result.unexpected_keys
    x = inputs()
    assert torch.equal(twin(x), module(x))
    kaf = twin[0][0] if nested else twin
    assert_defined(kaf)
    assert "grid=(-2.0999999, 2.0999999), gamma=3.29999995" in repr(kaf)


def test_the_dictionary_is_rounded_once():
    """A layer, what it saves, and what loads that are one function."""
    module = other()
    assert values(module) == module._dictionary
    assert module._dictionary.gamma != OTHERS["gamma"]
    twin = ta.KAF(4)
    twin.load_state_dict(module.state_dict())
    assert twin._dictionary == module._dictionary


def test_parts_of_a_state_dict():
    state = other().state_dict()
    for missing in state:
        module = ta.KAF(4)
        result = module.load_state_dict(
            {k: v for k, v in state.items() if k != missing}, strict=False
        )
        assert result.missing_keys == [missing]
        for name, value in module.state_dict().items():
            assert torch.equal(value, state[name]) == (name != missing)
        assert_defined(module)
    module = ta.KAF(4)
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "gamma"'):
        module.load_state_dict({k: v for k, v in state.items() if k != "gamma"})
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "bias"'):
        module.load_state_dict({**state, "bias": torch.zeros(1)})


def test_changed_buffers_count_when_they_are_loaded():
    module = ta.KAF(4)
    with torch.no_grad():
        module.grid.copy_(torch.tensor([-1.0, 2.0]))
        module.gamma.fill_(0.5)
    module.load_state_dict(module.state_dict())
    assert module._dictionary == Grid(-1.0, 2.0, 20, 0.5)
    assert_defined(module)


def test_narrow_state_dicts_are_widened():
    state = {k: v.half() for k, v in other().state_dict().items()}
    for assign in (False, True):
        module = ta.KAF(4)
        module.load_state_dict(state, assign=assign)
        assert module.alpha.requires_grad
        for name, value in module.state_dict().items():
            assert value.dtype is torch.float32
            assert torch.equal(value, state[name].float())
        assert_defined(module)
    assert state["alpha"].dtype is torch.float16


INVALID = {
    "decreasing": ({"grid": torch.tensor([3.0, -3.0])}, r"increasing, got \(3\.0, -3\.0\)"),
    "one bound": ({"grid": torch.tensor([3.0])}, r"pair .* got \[3\.0\]"),
    "number": ({"grid": torch.tensor(3.0)}, r"pair .* got 3\.0"),
    "matrix": ({"grid": torch.zeros(2, 2)}, r"grid must be a real number, got \[0\.0, 0\.0\]"),
    "nan": ({"grid": torch.tensor([-3.0, torch.nan])}, "grid must be finite .* nan"),
    "no gamma": ({"gamma": torch.tensor(0.0)}, r"gamma must be positive and finite, got 0\.0"),
    "infinite": ({"gamma": torch.tensor(torch.inf)}, "gamma must be finite .* inf"),
    "vector": ({"gamma": torch.ones(1)}, r"gamma must be a real number, got \[1\.0\]"),
    "nodes": ({"alpha": torch.ones(4, 21)}, r"size mismatch for .*alpha.*\[4, 21\].*\[4, 20\]"),
    "channels": ({"alpha": torch.ones(5, 20)}, r"size mismatch for .*alpha.*\[5, 20\].*\[4, 20\]"),
}


@pytest.mark.parametrize(("change", "message"), INVALID.values(), ids=INVALID)
@pytest.mark.parametrize("options", LOADS.values(), ids=LOADS)
@pytest.mark.parametrize("prefix", ["", "0."], ids=["alone", "nested"])
def test_a_state_dict_that_does_not_fit_changes_nothing(change, message, options, prefix):
    kaf = ta.KAF(4)
    module = torch.nn.Sequential(kaf) if prefix else kaf
    before = {k: v.clone() for k, v in kaf.state_dict().items()}
    state = {prefix + k: v for k, v in {**other().state_dict(), **change}.items()}
    with pytest.raises(RuntimeError, match=message) as raised:
        module.load_state_dict(state, **options)
    assert prefix + next(iter(change)) in str(raised.value)
    for name, value in kaf.state_dict().items():
        assert torch.equal(value, before[name])
    assert_defined(kaf)


def test_buffers_that_somebody_wrote_to():
    """In place, by assignment or by another module's state: forward computes what they say."""
    x = torch.randn(5, 4)
    wide, narrow = ta.KAF(4, boundary=5.0), ta.KAF(4)
    expected = wide(x)
    with torch.no_grad():
        for own, other in zip(
            narrow.state_dict().values(), wide.state_dict().values(), strict=True
        ):
            own.copy_(other)
    torch.testing.assert_close(narrow(x), expected, rtol=0, atol=0)
    assert "grid=(-5, 5)" in repr(narrow)
    fresh = ta.KAF(4)
    before = fresh(x)
    found = torch.func.functional_call(fresh, wide.state_dict(), (x,))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(fresh(x), before, rtol=0, atol=0)
    fresh.gamma = torch.tensor(3.0)
    assert not torch.allclose(fresh(x), before)
    average = torch.optim.swa_utils.AveragedModel(ta.KAF(4), use_buffers=True)
    average.update_parameters(wide)
    torch.testing.assert_close(average(x), expected, rtol=0, atol=0)
    with torch.inference_mode():
        made_there = ta.KAF(4)
        assert made_there(x).shape == x.shape
