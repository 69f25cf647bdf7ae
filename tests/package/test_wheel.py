"""What a wheel holds, built from a copy of the sources."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_wheel_holds_data_and_types_and_nothing_else(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("triton_acts", "perf", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = "from setuptools import build_meta; build_meta.build_wheel('out')"
    (tmp_path / "out").mkdir()
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "triton_acts").rglob("*")
        if file.suffix in (".py", ".csv", ".json", ".typed")
    }
    assert {"triton_acts/py.typed", "triton_acts/gpus/table.csv"} <= sources
    assert {name for name in names if ".dist-info/" not in name} == sources
