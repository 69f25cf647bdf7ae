"""Which GPU a device is: real drivers' names, cut parts, slices, and names nobody would give."""

import csv
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from triton_acts import gpus
from triton_acts.gpus import _identity

NAMES = Path(__file__).with_name("device_names.csv")  # what drivers report, memory in GiB
H100 = ("sm_90", 132, 79.2)
HOSTILE = [
    "",
    " ",
    "../../etc/passwd",
    "..",
    "-rf",
    "a\0b\n",
    "CON",
    "NVIDIA \uff28\uff11\uff10\uff10 H\u0661\u0660\u0660 \U0001f680",  # other digits
    "H100" * 125,
    "x" * 500,
    "MIG",
    "laptop d ti super mobile max-q",
]


def slug(name, arch, sm_count, mem_gib):
    return gpus.classify(name, arch, sm_count, mem_gib).slug


@pytest.mark.parametrize(
    "row",
    list(csv.DictReader(NAMES.read_text(encoding="utf-8").splitlines())),
    ids=lambda row: row["raw_name"],
)
def test_names_that_drivers_give(row):
    found = gpus.classify(row["raw_name"], row["arch"], int(row["sm_count"]), float(row["mem_gib"]))
    arch = row["arch"].split(":")[0]
    assert found == gpus.GpuId(
        row["slug"],
        "nvidia" if arch.startswith("sm_") else "amd",
        arch,
        int(row["sm_count"]),
        float(row["mem_gib"]),
        "MIG" in row["raw_name"],
    )


@pytest.mark.parametrize("gpu", gpus.table(), ids=lambda gpu: gpu.slug)
def test_every_gpu_of_the_table_is_itself(gpu):
    """By its slug as a name, and without one, but for those that differ in the name alone."""
    what = (gpu.arch, gpu.sm_count)
    for share in (0.91, 1.0, 1.09):
        assert slug(gpu.slug, *what, share * gpu.mem_gib) == gpu.slug
    nameless = slug("", *what, gpu.mem_gib)
    assert nameless == gpu.slug.replace("a100-80gb-pcie", "a100-80gb-sxm")
    assert gpus.constants(gpu.slug) is gpu


@pytest.mark.parametrize(
    ("name", "what", "expected"),
    [
        # other memory, or more multiprocessors: another GPU
        ("NVIDIA H100 80GB HBM3", ("sm_90", 132, 71.9), "nvidia-sm90-sm132-72g"),
        ("NVIDIA H200", ("sm_90", 132, 155.2), "nvidia-sm90-sm132-155g"),
        ("NVIDIA H20-3e", ("sm_90", 78, 140.0), "nvidia-sm90-sm78-140g"),
        ("NVIDIA H100 80GB HBM3", ("sm_90", 133, 79.2), "nvidia-sm90-sm133-79g"),
        ("NVIDIA GeForce RTX 3090 Ti", ("sm_86", 84, 24.0), "nvidia-sm86-sm84-24g"),
        ("NVIDIA GeForce RTX 4090", ("sm_89", 114, 48.0), "nvidia-sm89-sm114-48g"),
        # the architecture counts
        ("NVIDIA H100 80GB HBM3", ("sm_80", 132, 79.2), "nvidia-sm80-sm132-79g"),
        ("NVIDIA GeForce RTX 4090", ("sm_120", 76, 16.0), "nvidia-sm120-sm76-16g"),
        # two that fit: the name, then the memory
        ("NVIDIA A100-PCIE-80GB", ("sm_80", 108, 79.2), "a100-80gb-pcie"),
        ("NVIDIA A800 80GB PCIe", ("sm_80", 108, 79.2), "a100-80gb-pcie"),
        ("NVIDIA H100 80GB HBM3", ("sm_90", 132, 87.9), "h100-80gb-sxm"),
        ("NVIDIA H100 NVL", ("sm_90", 132, 84.7), "h100-94gb-nvl"),
        ("", ("sm_90", 132, 87.9), "h100-94gb-nvl"),
        ("", ("sm_90", 132, 84.7), "h100-80gb-sxm"),
        # cut parts keep what their name adds
        ("NVIDIA GeForce RTX 4090 D", ("sm_89", 114, 24.0), "rtx-4090-d-sm114"),
        ("NVIDIA GeForce RTX 5090 Laptop GPU", ("sm_120", 82, 24.0), "rtx-5090-laptop-sm82"),
        ("GeForce RTX 3090 with Max-Q Design", ("sm_86", 48, 16.0), "rtx-3090-max-q-sm48"),
        ("Mobile RTX 3090 Laptop", ("sm_86", 48, 16.0), "rtx-3090-laptop-mobile-sm48"),
        ("NVIDIA H100 PCIe", ("sm_90", 113, 79.2), "h100-80gb-pcie-sm113"),
        ("NVIDIA H100 NVL", ("sm_90", 120, 93.1), "h100-94gb-nvl-sm120"),
        ("NVIDIA H100", ("sm_90", 120, 79.2), "h100-80gb-sxm-sm120"),
        ("NVIDIA H200", ("sm_90", 120, 140.0), "h200-sm120"),
        ("NVIDIA H200", ("sm_90", 120, 155.0), "h200-sm120"),
        ("NVIDIA_H100_80GB", ("sm_90", 120, 79.2), "h100-80gb-sxm-sm120"),
        ("NVIDIA A100-SXM4", ("sm_80", 100, 39.4), "a100-40gb-sxm-sm100"),
        ("NVIDIA A100-SXM4", ("sm_80", 100, 79.2), "a100-80gb-sxm-sm100"),
        (
            "NVIDIA RTX PRO 6000 Blackwell Server Edition",
            ("sm_120", 180, 95.0),
            "rtx-pro-6000-bw-sm180",
        ),
        # partitions of AMD GPUs: CPX, DPX; MI250 is a cut MI250X
        ("AMD Instinct MI300X", ("gfx942:sramecc+:xnack-", 38, 24.0), "mi300x-sm38"),
        ("AMD Instinct MI300X VF", ("gfx942", 152, 96.0), "mi300x-sm152"),
        ("AMD Instinct MI325X", ("gfx942", 38, 32.0), "mi325x-sm38"),
        ("AMD Instinct MI250X / MI250", ("gfx90a", 104, 64.0), "mi250x-gcd-sm104"),
        ("AMD Radeon Graphics", ("gfx942", 38, 24.0), "amd-gfx942-sm38-24g"),
        # a name that only looks like one of the table
        ("NVIDIA H1000", ("sm_90", 60, 39.0), "nvidia-sm90-sm60-39g"),
        ("NVIDIA \u00dcH100", ("sm_90", 60, 39.0), "nvidia-sm90-sm60-39g"),
        ("NVIDIA GH200 480GB", ("sm_90", 120, 94.5), "nvidia-sm90-sm120-94g"),
        ("NVIDIA H20", ("sm_90", 60, 80.0), "h20-sm60"),
        ("NVIDIA A10", ("sm_80", 60, 24.0), "nvidia-sm80-sm60-24g"),
        ("NVIDIA A100-SXM4-40GB", ("sm_86", 60, 24.0), "nvidia-sm86-sm60-24g"),
        ("NVIDIA A10G", ("sm_86", 70, 24.0), "nvidia-sm86-sm70-24g"),
        ("NVIDIA L40", ("sm_89", 50, 24.0), "nvidia-sm89-sm50-24g"),
        ("NVIDIA L4", ("sm_89", 50, 22.0), "l4-sm50"),
        ("NVIDIA L40S", ("sm_89", 50, 22.0), "l40s-sm50"),
        ("NVIDIA GeForce RTX 5090", ("sm_89", 76, 16.0), "nvidia-sm89-sm76-16g"),
        ("NVIDIA GeForce 4090", ("sm_89", 76, 16.0), "nvidia-sm89-sm76-16g"),
        ("NVIDIA RTX PRO 6000", ("sm_120", 142, 48.0), "nvidia-sm120-sm142-48g"),
        ("AMD Instinct MI300A", ("gfx942", 228, 128.0), "amd-gfx942-sm228-128g"),
        # a name that says another form or memory than the table has
        ("NVIDIA A100-PCIE-40GB", ("sm_80", 100, 39.4), "nvidia-sm80-sm100-39g"),
        ("NVIDIA H100 64GB HBM2", ("sm_90", 100, 63.0), "nvidia-sm90-sm100-63g"),
        # vendors
        ("Some GPU", ("Xe_HPC", 64, 47.6), "unknown-xehpc-sm64-48g"),
        ("AMD Radeon RX 7900 XTX", ("gfx1100", 48, 23.98), "amd-gfx1100-sm48-24g"),
    ],
)
def test_parts(name, what, expected):
    assert slug(name, *what) == expected


@pytest.mark.parametrize(
    ("name", "what", "expected"),
    [
        ("NVIDIA H100 80GB HBM3 MIG 7g.80gb", H100, "h100-80gb-sxm-sm132"),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", ("sm_90", 16, 9.8), "h100-80gb-sxm-sm16"),
        ("NVIDIA H100 PCIe MIG 1g.10gb", ("sm_90", 16, 9.8), "h100-80gb-pcie-sm16"),
        ("NVIDIA H100 NVL MIG 3g.47gb", ("sm_90", 60, 46.0), "h100-94gb-nvl-sm60"),
        ("NVIDIA A100-SXM4-40GB MIG 3g.20gb", ("sm_80", 42, 19.6), "a100-40gb-sxm-sm42"),
        ("NVIDIA A100-SXM4-80GB MIG 3g.40gb", ("sm_80", 42, 39.5), "a100-80gb-sxm-sm42"),
        ("NVIDIA A100 80GB PCIe MIG 7g.80gb", ("sm_80", 98, 79.2), "a100-80gb-pcie-sm98"),
        ("NVIDIA A30 MIG 4g.24gb", ("sm_80", 56, 23.5), "nvidia-sm80-sm56-24g-mig"),
        ("MIG 3g.40gb H100 80GB", ("sm_90", 60, 39.0), "nvidia-sm90-sm60-39g-mig"),
    ],
)
def test_a_slice_is_never_the_whole(name, what, expected):
    found = gpus.classify(name, *what)
    assert (found.slug, found.mig) == (expected, True)
    whole = gpus.classify(name.replace("MIG", ""), *what)
    assert not whole.mig


@pytest.mark.parametrize("gpu", gpus.table(), ids=lambda gpu: gpu.slug)
def test_no_slice_of_any_gpu_has_its_slug(gpu):
    what = (gpu.arch, gpu.sm_count, gpu.mem_gib)
    assert slug(f"{gpu.slug} MIG 7g", *what) != gpu.slug
    assert slug("MIG", *what) != gpu.slug


def test_a_migrant_is_no_slice():
    assert gpus.classify("NVIDIA H100 80GB MIGHTY", *H100).slug == "h100-80gb-sxm"


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:12]))
@pytest.mark.parametrize("arch", ["sm_90", "gfx942:x", "../é", "日本", "_", "SM 9/0"])
def test_a_slug_is_a_file_name_whatever_the_driver_says(name, arch):
    for what in ((arch, 132, 79.2), (arch, 60, 39.0), (arch, 1, 0.01)):
        for raw_name in (name, f"NVIDIA H100 {name}", f"{name} MI300X MIG"):
            found = slug(raw_name, *what)
            assert re.fullmatch(r"[a-z0-9][a-z0-9.-]*", found), found
            assert len(found) < 80
    if arch == "sm_90" and name != "MIG":
        assert slug(name, *H100) == "h100-80gb-sxm"
        assert slug(name, "sm_90", 60, 39.0) == "nvidia-sm90-sm60-39g"


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (("", 132, 79.0), "arch.*''"),
        ((":sramecc+", 132, 79.0), "arch.*':sramecc"),
        (("sm_90", 0, 79.0), "sm_count.* 0"),
        (("sm_90", -3, 79.0), "sm_count.* -3"),
        (("sm_90", 132, 0.0), r"mem_gib.* 0\.0"),
        (("sm_90", 132, -1.0), r"mem_gib.* -1\.0"),
        (("sm_90", 132, math.nan), "mem_gib.* nan"),
        (("sm_90", 132, math.inf), "mem_gib.* inf"),
    ],
)
def test_wrong_properties_are_named(what, said):
    with pytest.raises(ValueError, match=said):
        gpus.classify("NVIDIA H100", *what)


def test_constants_are_those_of_whole_gpus():
    assert gpus.constants("h100-80gb-sxm-sm60") is None
    assert gpus.constants("H200") is None


@pytest.mark.parametrize(
    ("arch", "rate", "expected"),
    [
        ("sm_90", 18.4, "h200"),
        ("sm_90", 1e-9, "h100-80gb-pcie"),
        ("sm_90", 1e9, "h20"),
        # H200 18.4, H20 25.9: half way is 22.1 as a difference and 21.8 as a ratio
        ("sm_90", 21.9, "h20"),
        ("sm_90", 21.7, "h200"),
        ("gfx942", 8.3, "mi300x"),
        ("gfx942", 9.3, "mi325x"),
        ("gfx906", 8.3, None),
        ("sm_90", 0.0, None),
        ("sm_90", math.nan, None),
    ],
)
def test_nearest_is_by_ratio_within_an_architecture(arch, rate, expected):
    found = gpus.nearest(arch, rate)
    assert (found.slug if found else None) == expected


MI300X = SimpleNamespace(
    name="AMD Radeon Graphics",
    gcnArchName="gfx942:sramecc+:xnack-",
    major=9,
    minor=4,
    multi_processor_count=304,
    total_memory=192 * 2**30,
)
H200 = SimpleNamespace(
    name="NVIDIA H200",
    gcnArchName="NVIDIA H200",  # CUDA builds of torch have the name here
    major=9,
    minor=0,
    multi_processor_count=132,
    total_memory=int(139.8 * 2**30),
)


@pytest.fixture
def devices(monkeypatch):
    """Puts GPUs in this machine; returns the indices that were asked for."""

    def install(*properties, hip=None, current=0):
        asked = []

        def get(index):
            asked.append(index)
            return properties[index]

        monkeypatch.setattr(torch.version, "hip", hip)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
        monkeypatch.setattr(torch.cuda, "get_device_properties", get)
        return asked

    _identity._identified.cache_clear()
    yield install
    _identity._identified.cache_clear()


def test_identify_nvidia(devices):
    devices(H200)
    assert gpus.identify() == gpus.GpuId(
        "h200", "nvidia", "sm_90", 132, H200.total_memory / 2**30, False
    )


def test_identify_amd(devices):
    devices(MI300X, hip="6.4.1")
    assert gpus.identify(0) == gpus.GpuId("mi300x", "amd", "gfx942", 304, 192.0, False)


def test_identify_asks_once_a_device(devices):
    l4 = SimpleNamespace(**vars(H200) | {"minor": 9, "major": 8, "multi_processor_count": 58})
    l4.total_memory = 22 * 2**30
    asked = devices(H200, l4, current=1)
    for device in (1, None, torch.device("cuda"), torch.device("cuda", 1)):
        assert gpus.identify(device).slug == "l4"
    for device in (0, torch.device("cuda", 0)):
        assert gpus.identify(device).slug == "h200"
    assert asked == [1, 0]


@pytest.mark.parametrize(
    "device", [torch.device("cpu"), torch.device("meta"), torch.device("cpu", 0), -1]
)
def test_identify_takes_gpus_only(device, devices):
    asked = devices(H200)
    with pytest.raises(ValueError, match=f"must be a GPU.*got {re.escape(repr(device))}"):
        gpus.identify(device)
    assert not asked
