"""The device that perf measures on."""

from types import SimpleNamespace

import pytest
import torch

from triton_acts import gpus
from triton_acts.tuning import device


@pytest.mark.parametrize(
    ("sm_count", "slug", "flush_mib"),
    [(304, "mi300x", 512), (38, "mi300x-sm38", 1200)],
)
def test_a_gpu_is_named_and_its_caches_emptied(sm_count, slug, flush_mib, monkeypatch):
    """Twice the last-level cache: the table's, or the driver's L2 for a part of a GPU."""
    properties = SimpleNamespace(name="AMD Instinct MI300X", L2_cache_size=600 * 2**20)
    found = gpus.classify(properties.name, "gfx942", sm_count, 192.0)
    monkeypatch.setattr(gpus, "identify", lambda index: found if index == 1 else None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    assert device.here() == device.Device(
        torch.device("cuda", 1), slug, properties.name, gpus.constants(slug), flush_mib * 2**20
    )


def test_without_a_gpu_it_is_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = device.here()
    assert (found.kind, found.slug, found.gpu, found.flush_bytes) == ("cpu", "cpu", None, 0)
    assert found.name.endswith("threads")
