"""Python in a fresh process outside the repository's folder."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(**changes):
    """This process's, with the package and the tests' support, without the interpreter."""
    known = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    return {**known, "PYTHONPATH": path, **{name: str(value) for name, value in changes.items()}}


def output(code, **changes):
    """What the code prints; it must not fail."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(**changes),
        cwd="/",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
