"""What the GPUs are: the constants table, which of them a device is, and a device's rates."""

from triton_acts.gpus._identity import DeviceRate, GpuId, classify, device_rate, identify
from triton_acts.gpus._table import GPU, architectures, constants, nearest, table

__all__ = [
    "GPU",
    "DeviceRate",
    "GpuId",
    "architectures",
    "classify",
    "constants",
    "device_rate",
    "identify",
    "nearest",
    "table",
]
