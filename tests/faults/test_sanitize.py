"""`make sanitize`, with a compute-sanitizer that only notes how it is called."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.fresh import ROOT, environment

FAKE = """#!{python}
import os, sys
with open(r"{log}", "a") as log:
    print(os.environ.get("PYTORCH_NO_CUDA_MEMORY_CACHING"), *sys.argv[1:], sep="|", file=log)
sys.exit({code})
"""


def sanitize(path, *tests):
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "sanitize.py"), *tests],
        capture_output=True,
        text=True,
        env=environment(PATH=path),
        check=False,
    )


def test_without_the_tool_it_says_so(tmp_path):
    done = sanitize(tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("sanitize: nothing is checked: compute-sanitizer, of the CUDA")


@pytest.mark.parametrize(
    ("fails", "code", "ends"),
    [
        ("0", 0, "passed: memcheck, racecheck, initcheck\n"),
        ("sys.argv[2] != 'racecheck'", 1, "FAILED: memcheck, initcheck\n"),
    ],
)
def test_every_tool_runs_the_gpu_tests(tmp_path, fails, code, ends):
    log = tmp_path / "log"
    fake = tmp_path / "compute-sanitizer"
    fake.write_text(FAKE.format(python=sys.executable, log=log, code=f"int({fails})"))
    fake.chmod(0o755)
    done = sanitize(tmp_path, "tests/gpus")
    assert done.returncode == code
    assert done.stdout.endswith(ends)
    calls = [line.split("|") for line in log.read_text().splitlines()]
    assert [call[:5] for call in calls] == [
        ["1", "--tool", tool, "--error-exitcode", "1"]
        for tool in ("memcheck", "racecheck", "initcheck")
    ]
    for call in calls:
        assert call[5:] == [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpus"]


def test_make_calls_it():
    text = Path(ROOT / "Makefile").read_text()
    assert "\nsanitize: $(READY)\n\t$(PYTHON) tests/sanitize.py\n" in text
