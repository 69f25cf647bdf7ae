"""What `make wheel` builds from a copy of the sources, and that it runs by itself."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import re
import sys
sys.path.insert(0, sys.argv[1])
from importlib import metadata
import torch
import triton_acts
from triton_acts import gpus, nn
from triton_acts.tuning import store

assert triton_acts.__file__.startswith(sys.argv[1]), triton_acts.__file__
about = metadata.metadata("triton_acts")
assert about["Version"] == triton_acts.__version__
assert {"tools", "study"} <= {*about.get_all("Provides-Extra")}
core = [r for r in metadata.requires("triton_acts") if "extra ==" not in r]
assert {re.match("[a-z]+", r)[0] for r in core} == {"torch", "triton"}, core

x = torch.linspace(-2, 2, 12).view(3, 4)
half = torch.tanh(x / 2)
torch.testing.assert_close(triton_acts.scaled_sigmoid(x), 2 * half)
torch.testing.assert_close(triton_acts.penalized_tanh(x)[2], x[2].tanh())
learned = triton_acts.penalized_tanh(x, torch.full((4,), 0.5))
torch.testing.assert_close(learned[0], x[0].tanh() / 2)
assert triton_acts.kaf(x, torch.zeros(4, 20)).eq(0).all()
assert nn.KAF(4)(x).shape == x.shape
assert store.shipped("h200") and store.shipped("vendor-nvidia")
assert "h200" in [gpu.slug for gpu in gpus.table()]

net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
net = triton_acts.swap(net, {torch.nn.ReLU: "kaf_fitted"}).model
assert triton_acts.kaf_tools.coverage(net, x).keys() == {"1"}
assert triton_acts.init.initialize_(net)[0].activation
assert abs(triton_acts.init.calculate_gain("penalized_tanh") - 2.1849) < 1e-4
from triton_acts import study
from triton_acts.study import tasks

heavy = {"pandas", "matplotlib", "scipy", "sklearn"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE", "Makefile"):
        shutil.copy(ROOT / name, folder)
    for name in ("triton_acts", "perf", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    stale = folder / "build" / "lib" / "triton_acts" / "stale.py"  # of an earlier build
    stale.parent.mkdir(parents=True)
    stale.touch()
    command = ["make", "wheel", f"PY={sys.executable}"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = (folder / "dist").glob("*.whl")
    return found


def test_wheel_holds_data_and_types_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "triton_acts").rglob("*")
        if file.suffix in (".py", ".csv", ".json", ".typed")
    }
    assert {"triton_acts/py.typed", "triton_acts/gpus/table.csv"} <= sources
    assert {"adopt", "init", "kaf_tools", "study"} <= {name.split("/")[1] for name in sources}
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_an_installed_wheel_runs(wheel, tmp_path):
    """Without sources beside it: every activation, tools, shipped tables; and nothing heavy."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(tmp_path), str(wheel)], check=True)
    command = [sys.executable, "-I", "-c", USE, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
