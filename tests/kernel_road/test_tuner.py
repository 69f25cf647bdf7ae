"""A whole tune: real kernels and real files, a device and a clock that are told what to say."""

import signal
from dataclasses import replace

import pytest
import torch
from support.fake_tuning import FakeClock, jittered, note_runs, only, steady, toy_device

from triton_acts import _triton
from triton_acts.tuning import lookup, records, store, timing, tuner
from triton_acts.tuning.config import Config
from triton_acts.tuning.jobs import jobs
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.records import RESULTS, RUNS
from triton_acts.tuning.registry import FLAT, Hardware
from triton_acts.tuning.target import Target
from triton_acts.tuning.tuner import tune

pytestmark = pytest.mark.skipif(
    not _triton.INTERPRETED, reason="a GPU is tuned by `make gpu`; its clock is not a fake"
)
BEST = Config(16, 2)
DEVICE = toy_device()
RULE = lookup.RULES["scaled_sigmoid", "forward", "flat"]
DEFAULT = RULE.default(torch.bfloat16, Hardware(), FLAT)
CANDIDATES = RULE.candidates(torch.bfloat16, Hardware(), FLAT)
TODO = jobs(["scaled_sigmoid"], [torch.bfloat16, torch.float16], [10])
ALIGNED = only(TODO, "forward", "backward")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The records' folder beside the user's, both empty."""
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "configs"))
    for name in ("RANK", "TRITON_ACTS_GPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(timing, "canary", lambda device, clock: 99.0)
    lookup.forget()
    yield tmp_path / "records"
    lookup.forget()


@pytest.fixture
def clock(monkeypatch):
    """Any config takes 1 ms, the best one 0.5."""
    made = FakeClock(lambda config, _: 0.5 if config == BEST else 1.0)
    note_runs(monkeypatch, made)
    return made


def results(folder):
    """The rows, all of them sound."""
    table = records.read(folder / "toy-gpu.csv", RESULTS)
    assert table.problems == []
    return table.rows


def runs(folder):
    table = records.read(folder / "runs.csv", RUNS)
    assert table.problems == []
    return table.rows


def label(job):
    return (job.variant.direction, str(job.dtype).removeprefix("torch."), job.aligned)


def labels(rows):
    return [tuple(row[name] for name in ("direction", "dtype", "aligned")) for row in rows]


def by_size(todo, config):
    return {job.key: {job.octave: config} for job in todo}


def test_a_tune_records_every_candidate_and_writes_the_winners(folder, clock):
    (kaf,) = only(jobs(["kaf"], [torch.float32], [10]), "forward")[:1]
    rule = lookup.RULES["kaf", "forward", kaf.variant.dims.layout]
    others = rule.candidates(torch.float32, Hardware(), kaf.variant.dims)
    todo = [*TODO, kaf]
    tuned = tune(todo, folder, device=DEVICE, clock=clock)
    assert (tuned.interrupted, tuned.left_out) == (False, {})
    (run,) = runs(folder)
    assert (run["run_id"], run["gpu_slug"]) == (tuned.run_id, "toy-gpu")
    assert run["canary_gbps"] == 99.0
    rows = results(folder)
    assert len(rows) == len(tuned.rows) == len(CANDIDATES) * len(TODO) + len(others)
    flat = [row for row in rows if row["op"] == "scaled_sigmoid"]
    assert list(dict.fromkeys(labels(flat))) == [label(job) for job in TODO]
    assert {row["run_id"] for row in rows} == {tuned.run_id}
    assert {row["status"] for row in rows} == {"ok"}
    winners = [row for row in flat if row["is_winner"]]
    assert labels(winners) == [label(job) for job in TODO]
    for row in winners:
        tensors = 2 if row["direction"] == "forward" else 3
        assert (row["elements_per_thread"], row["num_warps"], row["unroll"]) == (16, 2, 1)
        assert (row["block"], row["numel"], row["shape"]) == (BEST.block, 1024, "1024")
        assert (row["ms_p20"], row["ms_p50"], row["ms_p80"]) == (0.5, 0.5, 0.5)
        assert row["bytes"] == tensors * 2 * 1024
        assert row["gbps"] == pytest.approx(row["bytes"] / 0.5e-3 / 1e9)
        assert row["share_of_peak"] == pytest.approx(row["gbps"] / 4800, rel=0.05)
        assert row["share_of_yardstick"] == 2.0
        assert row["yardstick"] == ("copy" if tensors == 2 else "add")
    sources = [row["config_source"] for row in flat[: len(CANDIDATES)]]
    assert sources == ["tune: default", *["tune: candidate"] * (len(CANDIDATES) - 1)]
    shares = [row["share_of_yardstick"] for row in flat[: len(CANDIDATES)]]
    assert sum(share is not None for share in shares) in (4, 5), "finalists alone have one"
    own = store.user("toy-gpu")
    assert own.entries == tuned.chosen
    assert {**by_size(TODO, BEST)}.items() <= tuned.chosen.items()
    assert (own.gpu["slug"], own.provenance["kind"]) == ("toy-gpu", "measured")
    assert own.provenance["run_ids"] == [tuned.run_id]
    assert set(tuned.files) == {
        folder / "runs.csv",
        folder / "toy-gpu.csv",
        folder.parent / "configs" / "toy-gpu.json",
    }


def test_a_second_run_keeps_its_choices(folder, clock):
    times = dict.fromkeys(CANDIDATES, 1.0) | {BEST: 0.9}
    for seed in range(4):
        clock.ms = jittered(times, 0.01, seed)
        tuned = tune(ALIGNED[:2], folder, device=DEVICE, clock=clock)
        assert tuned.chosen == by_size(ALIGNED[:2], BEST)
        times[BEST] = 0.995  # no longer clearly the fastest
    assert len(runs(folder)) == 4
    assert len(store.user("toy-gpu").provenance["run_ids"]) == 4
    times[BEST] = 1.2
    clock.ms = steady(times)
    assert tune(ALIGNED[:1], folder, device=DEVICE, clock=clock).chosen != by_size(
        ALIGNED[:1], BEST
    )


def test_the_choice_holds_from_the_next_launch_on(folder, clock, monkeypatch):
    job, target = ALIGNED[0], Target("toy-gpu", "none", "none", Hardware())

    def answer():
        with monkeypatch.context() as patch:
            patch.setattr(_triton, "INTERPRETED", False)
            return lookup.answer(
                job.op, job.variant.direction, job.dtype, 1 << 10, True, FLAT, target
            )

    assert answer().tier == "analytic"
    tune([job], folder, device=DEVICE, clock=clock)
    assert (answer().tier, answer().config) == ("user", BEST)


@pytest.mark.parametrize("moment", ["watch", "clock", "check", "signal"])
def test_ctrl_c_keeps_what_was_finished(moment, folder, clock, monkeypatch):
    def stop(*_):
        if moment == "signal":
            signal.raise_signal(signal.SIGINT)
        raise KeyboardInterrupt

    def watch(todo, total):
        assert total == len(ALIGNED)
        for i, job in enumerate(todo):
            if i == 2:
                {
                    "watch": stop,
                    "signal": stop,
                    "clock": lambda: monkeypatch.setattr(clock, "ms", stop),
                    "check": lambda: monkeypatch.setattr(tuner, "trial_rows", stop),
                }[moment]()
            yield job

    tuned = tune(ALIGNED, folder, device=DEVICE, clock=clock, watch=watch)
    assert tuned.interrupted
    assert len(results(folder)) == 2 * len(CANDIDATES)
    assert tuned.chosen == store.user("toy-gpu").entries == by_size(ALIGNED[:2], BEST)


def test_what_the_time_does_not_reach_is_listed(folder, clock):
    clock.round_s = 0.1  # a key takes ten rounds
    tuned = tune(ALIGNED, folder, device=DEVICE, clock=clock, budget_s=0.8)
    assert list(tuned.left_out) == [job.label for job in ALIGNED[1:]]
    assert set(tuned.left_out.values()) == {"out of time"}
    assert tuned.chosen == store.user("toy-gpu").entries == by_size(ALIGNED[:1], BEST)
    assert labels(results(folder)) == [label(ALIGNED[0])] * len(CANDIDATES)


def full(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("where", ["scratch", "check"])
def test_what_does_not_fit_the_memory_is_listed(where, folder, clock):
    job = ALIGNED[0]

    def bench(*args):
        return full() if where == "scratch" else replace(job.variant.bench(*args), sample=full)

    large = replace(job, variant=replace(job.variant, bench=bench))
    tuned = tune([large, *ALIGNED[1:2]], folder, device=DEVICE, clock=clock)
    assert tuned.left_out == {job.label: "out of memory"}
    assert tuned.chosen == by_size(ALIGNED[1:2], BEST)
    assert labels(results(folder)) == [label(ALIGNED[1])] * len(CANDIDATES)


def test_a_key_whose_candidates_all_fail_is_listed_and_recorded(folder, monkeypatch):
    clock = FakeClock(lambda *_: 1.0)
    fault = RuntimeError("no\nluck")
    job, other = ALIGNED[0], only(jobs(["kaf"], [torch.float32], [10]), "forward")[0]
    note_runs(monkeypatch, clock, dict.fromkeys([*CANDIDATES], fault))
    tuned = tune([job, other], folder, device=DEVICE, clock=clock)
    assert tuned.left_out == {job.label: "every candidate failed"}
    assert list(store.user("toy-gpu").entries) == [other.key]
    failed = [row for row in results(folder) if row["op"] == "scaled_sigmoid"]
    assert len(failed) == len(CANDIDATES)
    assert {(row["status"], row["ms_p50"], row["is_winner"]) for row in failed} == {
        ("failed: RuntimeError: no", None, False)
    }


def test_what_the_static_filter_drops_is_a_row_and_never_runs(folder, clock, monkeypatch):
    target = Target("toy-gpu", "nvidia", "sm_90", Hardware())
    monkeypatch.setattr(tuner, "target_of", lambda device: target)
    asked = []

    def compiled(variant, dtype, arch, candidates, load):
        asked.append((variant.direction, dtype, arch))
        good = Counts(3.0, 1.0, 2.0, 16, 16, 16, 32, 0)
        found = dict.fromkeys(candidates, good)
        return found | {BEST: replace(good, spill_bytes=8)}

    monkeypatch.setattr(tuner, "compiled_counts", compiled)
    todo = [*ALIGNED[:1], *jobs(["scaled_sigmoid"], [torch.bfloat16], [11])[:1]]
    tuned = tune(todo, folder, device=DEVICE, clock=clock)
    assert asked == [("forward", torch.bfloat16, "sm_90")], "compiled once for all sizes"
    assert tuned.chosen[ALIGNED[0].key] == {10: DEFAULT, 11: DEFAULT}
    assert not any(BEST in ran for ran in clock.rounds)
    dropped = [row for row in results(folder) if row["status"] != "ok"]
    assert [row["status"] for row in dropped] == ["dropped: spills 8 bytes a thread"] * 2
    assert [(row["spills"], row["ms_p50"], row["predicted_bound"]) for row in dropped] == [
        (8, None, "launch")
    ] * 2
    assert all(row["regs"] == 32 and row["predicted_ms"] > 0 for row in results(folder))


def test_the_user_s_file_is_that_of_the_gpu_at_hand(folder, clock, monkeypatch):
    """TRITON_ACTS_GPU is for look-ups alone."""
    monkeypatch.setenv("TRITON_ACTS_GPU", "h20")
    tune(ALIGNED[:1], folder, device=DEVICE, clock=clock)
    assert [file.name for file in (folder.parent / "configs").glob("*.json")] == ["toy-gpu.json"]


def refused(folder, match, error=RuntimeError, **options):
    options = {"device": DEVICE, "clock": FakeClock(lambda *_: 1.0)} | options
    with pytest.raises(error, match=match):
        tune(ALIGNED, folder, **options)
    assert not (folder.parent / "configs").exists()


@pytest.mark.composite
@pytest.mark.parametrize("rank", ["1", "7"])
def test_other_ranks_may_not_tune(rank, folder, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    refused(folder, rf"this is rank {rank} of a distributed job, and only rank 0 may tune")
    assert not folder.exists()
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: int(rank))
    refused(folder, rf"this is rank {rank} ")


@pytest.mark.parametrize("rank", ["0", ""])
def test_rank_0_may(rank, folder, clock, monkeypatch):
    monkeypatch.setenv("RANK", rank)
    assert tune(ALIGNED[:1], folder, device=DEVICE, clock=clock).chosen


@pytest.mark.composite
def test_other_refusals_write_nothing(folder, monkeypatch):
    cuda = replace(DEVICE, torch=torch.device("cuda", 0))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    refused(folder, "a CUDA graph is being captured", device=cuda)
    monkeypatch.setattr(tuner, "here", lambda: DEVICE)
    refused(folder, "there is no GPU here; `plan` says", device=None, clock=None)
    assert not folder.exists()
    folder.mkdir()
    (folder / "toy-gpu.csv").write_text("run_id,op\n")
    refused(folder, "columns missing", ValueError)
    assert [file.name for file in folder.iterdir()] == ["toy-gpu.csv"]
    (folder / "toy-gpu.csv").unlink()
    (folder / "toy-gpu.csv").mkdir()
    refused(folder, "toy-gpu.csv", OSError)
