"""A process that writes the user's file; imports the store without its packages, so without torch.

store_process.py write NUMBER TIMES    writes so many entries of its own once stdin ends
store_process.py loop                  writes entries and prints their sizes until it is killed
store_process.py die STEP              kills itself before or after a step of one update
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path
from types import ModuleType

for name in ("triton_acts", "triton_acts.tuning"):  # the real ones import torch
    package = sys.modules[name] = ModuleType(name)
    package.__path__ = [str(Path(__file__).parents[2].joinpath(*name.split(".")))]

from triton_acts.tuning.config import Config  # noqa: E402
from triton_acts.tuning.store import update_user  # noqa: E402

GPU = {"slug": "toy", "vendor": "nvidia", "warp_size": 32}


def write(name, size):
    """One update with one entry."""
    provenance = {"kind": "measured", "run_ids": [f"{name}-{size}"]}
    update_user("toy", GPU, provenance, {f"{name}/forward/float32/aligned": {size: Config(8)}})


def kill(*args, **kwargs):
    """As nothing in Python can catch."""
    os.kill(os.getpid(), signal.SIGKILL)


def kill_at(step):
    """Lets the next update end at this step."""
    sync, replace = os.fsync, os.replace
    if step == "half written":
        os.fsync = lambda handle: (os.ftruncate(handle, os.fstat(handle).st_size // 2), kill())
    elif step == "written":
        os.fsync = lambda handle: (sync(handle), kill())
    elif step == "replaced":
        os.replace = lambda *paths: (replace(*paths), kill())


def main(role, *args):
    """Plays the role."""
    if role == "write":
        number, times = args
        sys.stdin.read()
        for size in range(int(times)):
            write(f"op{number}", size)
    elif role == "loop":
        for i in count():
            write("loop", i % 60)
            sys.stdout.write(f"{i % 60}\n")
            sys.stdout.flush()
    else:
        kill_at(*args)
        write("die", 0)


main(*sys.argv[1:])
