"""`make sanitize`: the GPU tests under compute-sanitizer's memcheck, racecheck and initcheck.

Exit codes: 0 if all passed, or if there is nothing to do here (it says why); 1 if a tool found
something or a test failed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = ("memcheck", "racecheck", "initcheck")
TESTS = Path(__file__).parent
ENVIRONMENT = {
    # PyTorch's allocator hands out pieces of large blocks, past whose ends memcheck sees nothing
    "PYTORCH_NO_CUDA_MEMORY_CACHING": "1",
    # NaN in fresh memory would be a write, after which initcheck sees nothing
    "TESTS_LEAVE_FRESH_MEMORY": "1",
}
LEFT_OUT = [
    "tests/gpus/test_capture.py",  # without that allocator a capture cannot allocate
    "tests/battery/test_large.py",  # 26 GB, twice, of which each access would be looked up
]


def main(tests):
    """Runs the tests under each tool; returns the exit code."""
    sanitizer = shutil.which("compute-sanitizer")
    if sanitizer is None:
        say("nothing is checked: compute-sanitizer, of the CUDA toolkit, is not here")
        return 0
    failed = [tool for tool in TOOLS if run(sanitizer, tool, tests)]
    if failed:
        say(f"FAILED: {', '.join(failed)}")
        return 1
    say(f"passed: {', '.join(TOOLS)}")
    return 0


def run(sanitizer, tool, tests):
    """The exit code of one tool, which is 1 if it reports an error of a kernel."""
    left_out = [word for test in LEFT_OUT for word in ("--deselect", test)]
    pytest = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", *left_out, *tests]
    command = [sanitizer, "--tool", tool, "--error-exitcode", "1", *pytest]
    say(" ".join(command))
    done = subprocess.run(command, env={**os.environ, **ENVIRONMENT}, check=False)
    return done.returncode


def say(text):
    """Prints a line at once, before those of the tools."""
    sys.stdout.write(f"sanitize: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or [str(TESTS)]))
