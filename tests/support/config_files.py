"""A file of block sizes, as content and as text, and what tests of it share."""

import os

from triton_acts.tuning import store
from triton_acts.tuning.config import Config
from triton_acts.tuning.store import ConfigFile

GPU = {
    "slug": "toy",
    "vendor": "nvidia",
    "arch": "sm_90",
    "sm_count": 132,
    "mem_gib": 139.8,
    "warp_size": 32,
}
PROVENANCE = {
    "kind": "measured",
    "run_ids": ["r1"],
    "torch": "2.12.0",
    "triton": "3.7.1",
    "ptxas": None,
    "driver": "580.95",
    "kernel_hash": "0a1b",
}
KEY = "scaled_sigmoid/forward/bfloat16/aligned"
KAF = "kaf/forward/bfloat16/aligned/D<=20/inner1"
FILE = ConfigFile(GPU, PROVENANCE, {KEY: {24: Config(8), 9: Config(4)}, KAF: {20: Config(4, 4, 4)}})
TEXT = """\
{
  "schema": 1,
  "gpu": {
    "arch": "sm_90",
    "mem_gib": 139.8,
    "slug": "toy",
    "sm_count": 132,
    "vendor": "nvidia",
    "warp_size": 32
  },
  "provenance": {
    "driver": "580.95",
    "kernel_hash": "0a1b",
    "kind": "measured",
    "ptxas": null,
    "run_ids": ["r1"],
    "torch": "2.12.0",
    "triton": "3.7.1"
  },
  "entries": {
    "kaf/forward/bfloat16/aligned/D<=20/inner1": {
      "20": {"elements_per_thread": 4, "num_warps": 4, "unroll": 4}
    },
    "scaled_sigmoid/forward/bfloat16/aligned": {
      "9": {"elements_per_thread": 4, "num_warps": 4},
      "24": {"elements_per_thread": 8, "num_warps": 4}
    }
  }
}
"""


def update(entries=FILE.entries, **provenance):
    """Writes the user's file."""
    return store.update_user("toy", GPU, PROVENANCE | provenance, entries)


def names(folder):
    """What is in a folder."""
    return {file.name for file in folder.iterdir()}


def failing(code):
    """A function that fails as the system's do."""

    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    return fail
