"""Peers: not installed, not runnable, wrong, or timed as different work; each is a row."""

import sys
import types
import zipfile

import pytest
import torch

from perf import peers
from perf.cases import BOTH, Case, Shape
from perf.ops import pointwise_ops
from triton_acts.tuning.timing import YARDSTICK

OPS = {(op.name, op.variant): op for op in pointwise_ops()}
SHAPE = Shape("tiny", 0.01, 8, 4)


def rows_by_provider(rows_of, op, direction="forward"):
    case = Case(OPS[op], direction, torch.float32, SHAPE, providers=("triton_acts",), peers=True)
    return {row["provider"]: row for row in rows_of(case)}


@pytest.fixture
def install(monkeypatch):
    """Puts a module with an autograd.Function-like name in place of a package."""

    def install(module, name, function):
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:i]), types.ModuleType(parts[i - 1]))
        leaf = sys.modules[module]
        setattr(
            leaf, name, function if name == "sigmoid" else types.SimpleNamespace(apply=function)
        )

    return install


def test_not_installed_is_a_row(rows_of):
    found = rows_by_provider(rows_of, ("scaled_sigmoid", "scalar"))
    assert set(found) == {YARDSTICK, "triton_acts", "liger relu^2", "fla sigmoid"}
    assert found["liger relu^2"]["status"] == "not installed: liger_kernel of liger-kernel"
    assert found["fla sigmoid"]["status"].endswith("fla of flash-linear-attention")


@pytest.mark.parametrize("direction", ["forward", "backward", BOTH])
def test_an_installed_peer_is_timed_as_different_work(rows_of, install, direction):
    install("fla.modules.activations", "sigmoid", torch.sigmoid)
    row = rows_by_provider(rows_of, ("scaled_sigmoid", "scalar"), direction)["fla sigmoid"]
    assert row["status"] == "ok: different work, sigmoid(x)"
    assert row["ms_p50"] > 0
    assert row["max_err"] <= 2


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_weights_of_a_peer_get_gradients(rows_of, install, direction):
    def dyt(x, alpha, gamma, beta):
        return gamma * torch.tanh(alpha * x) + beta

    install("liger_kernel.ops.dyt", "LigerDyTFunction", dyt)
    row = rows_by_provider(rows_of, ("penalized_tanh", "per_channel"), direction)["liger DyT"]
    assert row["status"].startswith("ok: different work, gamma tanh(alpha x) + beta")


def nan_at_zero(x):
    return torch.sigmoid(x) + torch.where(x > 0, 0.0, torch.nan)


@pytest.mark.parametrize(
    ("function", "status"),
    {
        "off": (lambda x: torch.sigmoid(x) + 1e-4, "wrong"),
        "NaN": (nan_at_zero, "wrong"),
        "raises": (lambda x: 1 / 0, "not available: needs a GPU: ZeroDivisionError: division by"),
    }.values(),
    ids=["off", "NaN", "raises"],
)
def test_a_peer_that_fails(rows_of, install, function, status):
    """Its row says how; the others are timed all the same."""
    install("fla.modules.activations", "sigmoid", function)
    found = rows_by_provider(rows_of, ("scaled_sigmoid", "scalar"))
    assert found["fla sigmoid"]["status"].startswith(status)
    assert found["triton_acts"]["status"] == "ok"


def test_wheels_in_a_folder_are_importable(tmp_path, monkeypatch, rows_of):
    """Offline: a wheel of pure Python is imported from where it lies."""
    with zipfile.ZipFile(tmp_path / "fla-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("fla/__init__.py", "")
        wheel.writestr("fla/modules/__init__.py", "")
        wheel.writestr("fla/modules/activations.py", "from torch import sigmoid")
    monkeypatch.setenv("WHEELS", str(tmp_path))
    monkeypatch.setattr(sys, "path", list(sys.path))
    peers._use_wheels.cache_clear()
    found = rows_by_provider(rows_of, ("scaled_sigmoid", "scalar"))["fla sigmoid"]
    assert found["status"].startswith("ok")
    for name in [name for name in sys.modules if name.split(".")[0] == "fla"]:
        monkeypatch.delitem(sys.modules, name)
    peers._use_wheels.cache_clear()
