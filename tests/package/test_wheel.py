"""What a wheel holds, built from a copy of the sources, and that it runs by itself."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USE = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
import triton_acts
from triton_acts import gpus, nn
from triton_acts.tuning import store

assert triton_acts.__file__.startswith(sys.argv[1]), triton_acts.__file__
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
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("triton_acts", "perf", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools import build_meta; build_meta.build_wheel('out')"
    (folder / "out").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True)
    (found,) = (folder / "out").glob("*.whl")
    return zipfile.ZipFile(found)


def test_wheel_holds_data_and_types_and_nothing_else(wheel):
    names = set(wheel.namelist())
    sources = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "triton_acts").rglob("*")
        if file.suffix in (".py", ".csv", ".json", ".typed")
    }
    assert {"triton_acts/py.typed", "triton_acts/gpus/table.csv"} <= sources
    assert {name for name in names if ".dist-info/" not in name} == sources


def test_what_a_wheel_holds_runs(wheel, tmp_path):
    """Without the sources beside it: every activation, a shipped config and the GPUs' table."""
    wheel.extractall(tmp_path)
    command = [sys.executable, "-I", "-c", USE, str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
