"""A GPU that is not there: launches are recorded, and everything before them is real.

CPU tensors take the kernel road: guards, look-up, Triton's JIT binder with its specialisation,
and its compiler.
"""

from dataclasses import dataclass, field

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver

from triton_acts import _dispatch, gpus
from triton_acts.tuning import lookup


@dataclass
class Launch:
    """One recorded launch."""

    name: str
    grid: tuple[int, int, int]
    args: tuple
    compiled: object
    hooks: tuple


@dataclass
class Utils:
    """What the driver's compiled helper would do."""

    loaded: list = field(default_factory=list)

    def get_device_properties(self, device):
        return {"max_shared_mem": 232448, "multiprocessor_count": 132, "warpSize": 32}

    def load_binary(self, name, kernel, shared, device):
        self.loaded.append(name)
        return object(), name, 32, 0, 1024


class Driver:
    """The interface of Triton's active driver, for an sm_90 GPU."""

    def __init__(self, arch=90):
        self.launches = []
        self.utils = Utils()
        self.target = GPUTarget("cuda", arch, 32)
        self.device = -1  # what a CPU tensor's get_device() says
        self.silent = False  # for timing what comes before a launch
        record, fake = self.launches, self

        class Launcher:
            def __init__(self, src, metadata):
                self.signature = src.signature

            def __call__(self, x, y, z, stream, function, packed, metadata, enter, leave, *args):
                if fake.silent:
                    return
                assert len(args) == len(self.signature), "not the arguments that were compiled"
                record.append(Launch(function, (x, y, z), args, self, (enter, leave)))

        self.launcher_cls = Launcher

    def get_current_device(self):
        return self.device

    def get_current_stream(self, device):
        return 0

    def get_current_target(self):
        return self.target

    def get_active_torch_device(self):
        raise NotImplementedError

    def is_active(self):
        return True


FAKE = Driver()  # one a process: Triton and our launchers keep what they compiled for it


def install(monkeypatch):
    """Makes the fake GPU the active one for a test and returns its driver."""
    FAKE.launches.clear()
    rate = gpus.DeviceRate(32, 18.4)
    monkeypatch.setattr(driver, "_active", FAKE)
    monkeypatch.setattr(_dispatch, "CPU_KERNELS", True)
    identity = gpus.GpuId("nvidia-sm90-sm99-9g", "nvidia", "sm_90", 99, 9.0, False)
    monkeypatch.setattr(gpus, "device_rate", lambda device: rate)
    monkeypatch.setattr(gpus, "identify", lambda device=None: identity)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    lookup.forget()
    return FAKE
