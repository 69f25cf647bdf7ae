"""Names in transformers' table, with a table that stands for it."""

import collections
import sys
import types

import pytest

import triton_acts as ta


@pytest.fixture
def table(monkeypatch):
    class Table(collections.OrderedDict):
        def __getitem__(self, name):
            return super().__getitem__(name)()  # as transformers': it builds a module

    module = types.ModuleType("transformers.activations")
    module.ACT2FN = Table(relu=list)
    package = types.ModuleType("transformers")
    monkeypatch.setitem(sys.modules, "transformers", package)
    monkeypatch.setitem(sys.modules, "transformers.activations", module)
    return module.ACT2FN


def test_adds_those_without_channels_and_again_the_same(table):
    for _ in range(2):
        assert ta.register_transformers() == ("scaled_sigmoid", "penalized_tanh")
        assert list(table) == ["relu", "scaled_sigmoid", "penalized_tanh"]
        assert type(table["penalized_tanh"]) is ta.PenalizedTanh
    assert dict(table.items())["relu"] is list


def test_overwrites_nothing(table):
    table["penalized_tanh"] = dict
    with pytest.raises(ValueError, match="penalized_tanh in ACT2FN already"):
        ta.register_transformers()
    assert list(table) == ["relu", "penalized_tanh"]
    assert table["penalized_tanh"] == {}


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setitem(sys.modules, "transformers.activations", None)
    with pytest.raises(ImportError, match="pip install transformers"):
        ta.register_transformers()
