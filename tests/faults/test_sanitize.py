"""`make sanitize`, with a compute-sanitizer that only notes how it is called."""

import subprocess
import sys

import pytest
from support.fresh import ROOT, environment
from support.kernels import AS_IT_IS

LEFT_OUT = ["--deselect", "tests/gpus/test_capture.py"]
LEFT_OUT += ["--deselect", "tests/battery/test_large.py"]
FAKE = """#!{python}
import os, sys
with open(r"{log}", "a") as log:
    names = "PYTORCH_NO_CUDA_MEMORY_CACHING", "{fresh}"
    print(*map(os.environ.get, names), *sys.argv[1:], sep="|", file=log)
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
    fake.write_text(
        FAKE.format(python=sys.executable, log=log, fresh=AS_IT_IS, code=f"int({fails})")
    )
    fake.chmod(0o755)
    done = sanitize(tmp_path, "tests/gpus")
    assert done.returncode == code
    assert done.stdout.endswith(ends)
    calls = [line.split("|") for line in log.read_text().splitlines()]
    assert [call[:6] for call in calls] == [
        ["1", "1", "--tool", tool, "--error-exitcode", "1"]
        for tool in ("memcheck", "racecheck", "initcheck")
    ]
    for call in calls:
        pytest_of_all = [sys.executable, "-m", "pytest", "-q", "-m", "gpu"]
        assert call[6:] == [*pytest_of_all, *LEFT_OUT, "tests/gpus"]


def test_what_is_left_out_exists():
    assert all((ROOT / test).is_file() for test in LEFT_OUT[1::2])


def test_make_calls_it():
    known = {name: value for name, value in environment().items() if not name.startswith("MAKE")}
    command = ["make", "-n", "sanitize", "PY=python"]
    done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=True)
    assert done.stdout == "python tests/sanitize.py\n"
