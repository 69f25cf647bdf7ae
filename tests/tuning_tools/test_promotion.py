"""Shipped configs are what records and the golden table produce, by rules that can be followed."""

from pathlib import Path

import pytest
import torch

import triton_acts
from triton_acts import gpus
from triton_acts.tuning import __main__ as cli
from triton_acts.tuning import golden, promotion, records, store
from triton_acts.tuning.commands import promote
from triton_acts.tuning.config import Config
from triton_acts.tuning.jobs import OCTAVES, jobs
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.records import RESULTS, RUNS

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "triton_acts" / "configs"
assert triton_acts  # its import fills the registry


def counts(kernel, instructions=25.0, **changed):
    """Counts that nothing speaks against: the more elements a thread, the fewer instructions."""
    known = {
        "instr_per_elt": instructions + 8 / kernel.config.elements_per_thread,
        "mufu_per_elt": 2.0,
        "fp32_per_elt": 10.0,
        "load_bytes": 16,
        "store_bytes": 16,
        "thread_load_bytes": kernel.config.elements_per_thread * kernel.dtype.itemsize,
        "regs": 32,
        "spill_bytes": 0,
    }
    return Counts(**(known | changed))


@pytest.fixture(scope="module")
def entries():
    """A golden table of made-up counts."""
    return [
        golden.Entry(*kernel.key[:7], kernel.config.num_warps, kernel.key[7], found, "9.9", "1.1")
        for kernel in golden.kernels()
        for found in [counts(kernel)]
    ]


@pytest.fixture(scope="module")
def modelled(entries):
    """The shipped files without any record."""
    return promotion.promoted({}, entries)


def run_row(slug="h200", run_id="run-1", utc_time="2026-01-01T00:00:00Z"):
    known = dict.fromkeys(RUNS.columns)
    known |= {"run_id": run_id, "utc_time": utc_time, "gpu_slug": slug, "torch": "2.13.0"}
    return known | {"triton": "3.7.1", "driver": "555"}


def tune_row(config, ms, winner=False, run_id="run-1", **changed):
    known = dict.fromkeys(RESULTS.columns)
    known |= {
        "run_id": run_id,
        "op": "scaled_sigmoid",
        "variant": "scalar",
        "direction": "forward",
        "provider": "triton_acts",
        "dtype": "bfloat16",
        "shape": "16777216",
        "layout": "flat",
        "numel": 1 << 24,
        "aligned": True,
        "elements_per_thread": config.elements_per_thread,
        "num_warps": config.num_warps,
        "unroll": config.unroll,
        "config_source": "tune: candidate",
        "is_winner": winner,
        "ms_p50": ms,
        "status": "ok",
    }
    return known | changed


def write(folder, runs, rows, slug="h200"):
    records.append(folder / "runs.csv", RUNS, runs)
    records.append(folder / f"{slug}.csv", RESULTS, rows)
    return folder


KEY = "scaled_sigmoid/forward/bfloat16/aligned"


def test_every_gpu_architecture_and_vendor_has_a_sound_file(modelled):
    """All keys and sizes, marked as a model with the versions it was made from."""
    files = modelled
    names = [gpu.slug for gpu in gpus.table()]
    names += [f"arch-{arch}" for arch in gpus.architectures()] + ["vendor-nvidia", "vendor-amd"]
    assert sorted(files) == sorted(names)
    todo = {
        (j.key, j.octave) for j in jobs(("scaled_sigmoid", "penalized_tanh", "kaf")) if j.aligned
    }
    for name, file in files.items():
        assert store.parse(store.render(file)) == file
        assert {(k, o) for k, sizes in file.entries.items() for o in sizes} == todo
        assert file.provenance["kind"] == (
            "common-best" if "-" in name and name not in SLUGS else "model"
        )
        assert file.provenance["triton"] == "9.9"
    assert files["h200"].gpu["arch"] == files["arch-sm_90"].gpu["arch"] == "sm_90"
    assert files["vendor-amd"].gpu["arch"] is None
    assert files["vendor-amd"].gpu["warp_size"] == 64


SLUGS = {gpu.slug for gpu in gpus.table()}


def test_the_same_input_gives_the_same_bytes(entries, modelled):
    first = modelled
    second = promotion.promoted({}, list(reversed(entries)))
    assert [store.render(f) for f in first.values()] == [store.render(f) for f in second.values()]


def test_a_measured_gpu_gets_what_was_measured(entries, tmp_path):
    """Winners of the newest run for each key; rows of perf, and of exhaustive checks, are none."""
    rows = [
        tune_row(Config(8, 4), 1.0, winner=True),
        tune_row(Config(16, 4), 2.0),
        tune_row(Config(16, 4), 1.0, winner=True, numel=1 << 20),
        tune_row(Config(32, 2), 0.5, winner=True, run_id="run-2"),
        tune_row(Config(8, 4), 0.9, run_id="run-2"),
        tune_row(Config(8, 8), 0.1, winner=True, run_id="run-2", config_source="exhaustive"),
        tune_row(Config(8, 8), 0.1, winner=True, run_id="run-2", config_source="shipped"),
    ]
    newer = run_row(run_id="run-2", utc_time="2026-02-01T00:00:00Z")
    folder = write(tmp_path, [newer, run_row()], rows)
    files = promotion.promoted(promotion.measurements(folder), entries)
    own = files["h200"]
    assert own.entries == {KEY: {24: Config(32, 2), 20: Config(16, 4)}}
    assert own.provenance["kind"] == "measured"
    assert own.provenance["run_ids"] == ["run-1", "run-2"]
    assert own.provenance["driver"] == "555"
    assert files["h100-94gb-nvl"].provenance["kind"] == "model"
    assert files["arch-sm_90"].provenance["run_ids"] == ["run-1", "run-2"]


def test_a_size_a_little_below_its_octave_is_of_that_octave(entries, tmp_path):
    """Rows of 49 elements do not make 2^24."""
    below = (1 << 24) // (512 * 49) * 512 * 49
    row = tune_row(Config(16, 4), 1.0, winner=True, numel=below)
    found = promotion.measurements(write(tmp_path, [run_row()], [row]))
    assert list(found["h200"].winners) == [(KEY, 24)]


def test_groups_take_the_smallest_sum_of_slowdowns(entries, tmp_path):
    """Two GPUs disagree: the config that is second on both beats either's best."""
    configs = {Config(8, 4): (1.0, 2.0), Config(16, 4): (2.0, 1.0), Config(32, 4): (1.2, 1.2)}
    for i, slug in enumerate(("rtx-3090", "a10")):
        rows = [
            tune_row(
                c, times[i], winner=min(t[i] for t in configs.values()) == times[i], run_id=slug
            )
            for c, times in configs.items()
        ]
        write(tmp_path, [run_row(slug, slug)], rows, slug)
    files = promotion.promoted(promotion.measurements(tmp_path), entries)
    assert files["a10"].entries[KEY][24] == Config(16, 4)
    assert files["rtx-3090"].entries[KEY][24] == Config(8, 4)
    assert files["arch-sm_86"].entries[KEY][24] == Config(32, 4)
    assert files["arch-sm_86"].provenance["kind"] == "common-best"


def test_the_model_leaves_what_spills_and_prefers_the_default_in_a_tie(entries, modelled):
    """DRAM-bound configs are all alike, so the analytic one stays; a spill moves it."""
    assert set(modelled["a100-80gb-sxm"].entries[KEY].values()) == {Config(8, 4)}
    kernels = {k.key: k for k in golden.kernels(["sm_80"])}
    worse = [
        golden.Entry(*e.key[:7], e.num_warps, e.unroll, changed, e.triton, e.ptxas)
        for e in entries
        for k in [kernels.get(e.key)]
        for changed in [
            counts(k, 2000.0)
            if k and k.config.elements_per_thread == 8 and e.op == "scaled_sigmoid"
            else counts(k, spill_bytes=4)
            if k and k.config.elements_per_thread == 16
            else e.counts
        ]
    ]
    found = promotion.promoted({}, worse)["a100-80gb-sxm"].entries[KEY]
    assert found[24].elements_per_thread == 32


def test_damaged_records_are_named(entries, tmp_path):
    folder = write(tmp_path, [run_row()], [tune_row(Config(8, 4), 1.0, winner=True)])
    with (folder / "h200.csv").open("a") as file:
        file.write("run-1,what\n")
    with pytest.raises(ValueError, match=r"h200.csv, line 3: the row has 2 fields"):
        promotion.measurements(folder)
    assert promotion.measurements(tmp_path / "none") == {}


@pytest.mark.parametrize("changed", [{"variant": "gone"}, {"op": "gone"}, {"dtype": "float64"}])
def test_names_of_no_variant_are_left_out(changed, entries, tmp_path):
    """Records outlive kernels."""
    row = tune_row(Config(8, 4), 1.0, winner=True, **changed)
    found = promotion.measurements(write(tmp_path, [run_row()], [row]))
    assert found["h200"].winners == {}


def test_the_committed_files_are_what_promote_makes():
    """Never edited by hand: change records or the golden table, then run promote."""
    texts = promote.texts_from(ROOT / "perf" / "records", golden.default_file())
    assert {file.stem: file.read_text(encoding="utf-8") for file in CONFIGS.glob("*.json")} == texts
    for name in texts:
        assert store.shipped(name) is not None


def test_the_command_checks_writes_and_removes(entries, tmp_path, monkeypatch, capsys):
    """Run twice it writes nothing the second time."""
    (tmp_path / "perf").mkdir()
    (tmp_path / "triton_acts").mkdir()
    table = tmp_path / "perf" / "golden.csv"
    golden.write(table, entries)
    monkeypatch.setattr(promote, "checkout", lambda: tmp_path)
    monkeypatch.setattr(golden, "default_file", lambda: table)
    assert cli.main(["promote", "--check"]) == 1
    assert not list((tmp_path / "triton_acts").rglob("*.json"))
    assert cli.main(["promote"]) == 0
    stale = tmp_path / "triton_acts" / "configs" / "gone.json"
    stale.write_text("{}")
    assert cli.main(["promote", "--check"]) == 1
    assert "gone.json would change" in capsys.readouterr().out
    assert cli.main(["promote"]) == 0
    assert not stale.exists()
    assert "0 written, 1 removed" in capsys.readouterr().out
    assert cli.main(["promote", "--check"]) == 0
    table.unlink()
    assert cli.main(["promote"]) == 2
    assert "golden.csv" in capsys.readouterr().err


def test_octaves_leave_no_gap():
    """Every size from 2^10 to 2^30 has an entry within two octaves."""
    for octave in range(10, 31):
        assert min(abs(octave - known) for known in OCTAVES) <= 2
    assert torch.bfloat16 in {job.dtype for job in jobs(("kaf",))}
