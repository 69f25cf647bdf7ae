"""The comparison with the best of all candidates, and the command that tunes and prints it."""

import math
from dataclasses import replace

import pytest
import torch
from support.fake_tuning import FakeClock, note_runs, only, steady, toy_device

from triton_acts import _triton
from triton_acts.tuning import __main__ as cli
from triton_acts.tuning import exhaustive as module
from triton_acts.tuning import lookup, promotion, records, store, timing, tuner
from triton_acts.tuning.bench import Scratch
from triton_acts.tuning.commands import tune as command
from triton_acts.tuning.exhaustive import draw, exhaustive
from triton_acts.tuning.jobs import jobs
from triton_acts.tuning.lookup import Explanation
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.records import RESULTS
from triton_acts.tuning.registry import FLAT, REGISTRY, Hardware
from triton_acts.tuning.tuner import tune

pytestmark = pytest.mark.skipif(
    not _triton.INTERPRETED, reason="a GPU is tuned by `make gpu`; its clock is not a fake"
)
DEVICE = toy_device("h200")
RULE = lookup.RULES["scaled_sigmoid", "forward", "flat"]
CANDIDATES = RULE.candidates(torch.bfloat16, Hardware(), FLAT)
DEFAULT, C = CANDIDATES[0], CANDIDATES[1:]
TODO = only(jobs(["scaled_sigmoid"], [torch.bfloat16], [10]), "forward", "backward")
TIMES = {config: 2.0 + 0.1 * i for i, config in enumerate(CANDIDATES)}
TIMES |= {C[3]: 1.0, C[5]: 1.05, C[7]: 1.1, C[9]: 1.25, C[11]: 1.08}
GOOD = Counts(3.0, 1.0, 2.0, 16, 16, 16, 32, 0)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The records' folder; `select` answers C[9], the model C[7]."""
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "configs"))
    for name in ("RANK", "TRITON_ACTS_GPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(timing, "canary", lambda device, clock: 99.0)
    monkeypatch.setattr(lookup, "answer", lambda *_: Explanation(C[9], "user", ""))
    monkeypatch.setattr(
        module,
        "compiled_counts",
        lambda variant, dtype, arch, candidates: {
            c: replace(GOOD, instr_per_elt=1.0 if c == C[7] else 1e6) for c in candidates
        },
    )
    lookup.forget()
    return tmp_path / "records"


@pytest.fixture
def clock(monkeypatch):
    made = FakeClock(steady(TIMES))
    note_runs(monkeypatch, made)
    return made


def compare(folder, clock, todo=TODO, device=DEVICE):
    return list(exhaustive(todo, folder, "run", device, clock, 10.0))


def rows_of(folder):
    table = records.read(folder / "h200.csv", RESULTS)
    assert table.problems == []
    return table.rows


@pytest.mark.composite
def test_keys_are_drawn_by_seed():
    todo = jobs(list(REGISTRY))
    drawn = draw(todo, 3)
    assert drawn == draw(todo, 3) != draw(todo, 4)
    assert len({job.label for job in drawn}) == 20
    assert all(job.aligned and job in todo for job in drawn)
    assert sorted(map(str, draw(TODO, 0))) == sorted(map(str, TODO))


def test_regrets(folder, clock):
    for found, job in zip(compare(folder, clock), TODO, strict=True):
        assert found.job == job
        assert (found.best, found.chosen, found.predicted) == (C[3], C[9], C[7])
        assert found.chosen_regret == pytest.approx(0.25)
        assert found.predicted_regret == pytest.approx(0.1)


def test_every_candidate_has_twenty_samples_and_the_best_are_timed_again(folder, clock):
    compare(folder, clock, TODO[:1])
    everyone = [ran for ran in clock.rounds if set(ran) == {None, *CANDIDATES}]
    again = clock.rounds[len(everyone) :]
    assert len(everyone) == len(again) == 20 + 2  # and two to warm up
    assert {frozenset(ran) for ran in again} == {frozenset([None, C[3], C[5], C[11], C[7], C[9]])}


def test_the_second_times_count_for_all(folder, clock):
    """A first round that flatters the model's choice, or ours, tells nothing."""
    late = TIMES | {C[3]: 1.5, C[5]: 1.0}
    clock.ms = lambda config, number: steady(TIMES if number <= 22 else late)(config, number)
    (found,) = compare(folder, clock, TODO[:1])
    assert found.best == C[5]
    assert (found.chosen_regret, found.predicted_regret) == pytest.approx((0.25, 0.1))


def test_what_computes_other_bits_is_marked_and_never_the_best(folder, clock, monkeypatch):
    """Finalists and others alike."""
    real = Scratch.check

    def check(self, config):
        return "3 results differ" if config in (C[3], C[0]) else real(self, config)

    monkeypatch.setattr(Scratch, "check", check)
    (found,) = compare(folder, clock, TODO[:1])
    assert found.best == C[5]
    assert found.chosen_regret == pytest.approx(1.25 / 1.05 - 1)
    statuses = [row["status"] for row in rows_of(folder)]
    assert statuses.count("wrong: 3 results differ") == 2
    assert statuses.count("ok") == len(CANDIDATES) - 2


def test_a_gpu_without_constants_has_no_prediction(folder, clock):
    (found,) = compare(folder, clock, TODO[:1], replace(DEVICE, gpu=None))
    assert found.predicted is None
    assert math.isnan(found.predicted_regret)


def test_failures_and_full_memory_cost_their_keys(folder, monkeypatch):
    clock = FakeClock(steady(TIMES))
    note_runs(monkeypatch, clock, dict.fromkeys(CANDIDATES, RuntimeError("no")))
    flat = TODO[0]
    assert compare(folder, clock, [flat]) == []
    assert {row["status"] for row in rows_of(folder)} == {"failed: RuntimeError: no"}
    note_runs(monkeypatch, clock, {C[3]: RuntimeError("no"), C[9]: RuntimeError("no")})

    def full(*_):
        raise torch.OutOfMemoryError

    large = replace(flat, variant=replace(flat.variant, bench=full))
    (found,) = compare(folder, clock, [large, flat])
    assert found.best == C[5]
    assert math.isnan(found.chosen_regret)


def test_promotion_ignores_these_rows(folder, clock):
    tuned = tune(TODO, folder, device=DEVICE, clock=clock)
    before = promotion.measurements(folder)
    clock.ms = steady(TIMES | {C[11]: 0.1})
    found = list(exhaustive(TODO, folder, tuned.run_id, DEVICE, clock, 10.0))
    assert {regret.best for regret in found} == {C[11]}
    assert promotion.measurements(folder) == before
    assert set(before["h200"].winners.values()) == {C[3]}
    rows = [row for row in rows_of(folder) if row["config_source"] == "exhaustive"]
    assert len(rows) == len(TODO) * len(CANDIDATES)
    assert not any(row["is_winner"] for row in rows)
    assert {row["run_id"] for row in rows} == {tuned.run_id}


@pytest.fixture
def machine(monkeypatch, clock):
    """A machine with that GPU, for the command."""
    monkeypatch.setattr(command, "_obstacle", lambda gpu: ("", 0))
    monkeypatch.setattr(command, "here", lambda: DEVICE)
    monkeypatch.setattr(command, "jobs", lambda ops: TODO)
    for place in (command, tuner):
        monkeypatch.setattr(place, "CudaClock", lambda *_: clock)
    monkeypatch.setattr(tuner, "KEY_S", 10.0)
    real = tuner.tune
    monkeypatch.setattr(command, "tune", lambda *a, **k: real(*a, clock=clock, **k))
    return clock


def test_the_command(folder, machine, capsys):
    assert cli.main(["tune", "--records", str(folder), "--budget", "77"]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("Tuning h200: 2 keys and sizes in at most 77 s, the most used first.")
    assert "tuning: 0 of 2 keys and sizes, about 77 s left" in err
    lines = out.splitlines()
    assert lines[0].split() == ["key", "log2_numel", "config"]
    assert [line.split()[:2] for line in lines[1:3]] == [
        ["scaled_sigmoid/backward/bfloat16/aligned", "10"],
        ["scaled_sigmoid/forward/bfloat16/aligned", "10"],
    ]
    assert lines[3] == "h200: done. Files:"
    assert [line.strip() for line in lines[4:]] == [
        str(folder / "runs.csv"),
        str(folder / "h200.csv"),
        str(folder.parent / "configs" / "h200.json"),
    ]


def test_the_command_prints_regrets(folder, machine, capsys):
    assert cli.main(["tune", "--records", str(folder), "--exhaustive"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[-1] for line in out.splitlines() if "25.0%" in line] == ["10.0%"] * 2
    assert "chosen within 2% of the best: 0 of 2" in out
    assert "the model's choice within 2%: 0 of 2" in out


def test_the_command_says_what_went_wrong(folder, machine, monkeypatch, capsys):
    faults = {C[0]: RuntimeError("no"), C[1]: RuntimeError("no")}
    note_runs(monkeypatch, machine, faults)
    machine.round_s = 1.0
    assert cli.main(["tune", "--records", str(folder), "--budget", "1"]) == 0
    out = capsys.readouterr().out
    assert f"2 of {len(CANDIDATES)} candidates failed or were wrong, the first: failed: Runt" in out
    assert "left out, out of time: 1 of 2 keys and sizes, the first scaled_sigmoid/backward" in out


@pytest.mark.parametrize("options", [[], ["--exhaustive"]])
def test_ctrl_c_in_the_command(options, folder, machine, monkeypatch, capsys):
    def ms(config, number):
        if number > 120 if options else number > 40:  # a key takes 29, its comparison 44
            raise KeyboardInterrupt
        return steady(TIMES)(config, number)

    machine.ms = ms
    assert cli.main(["tune", "--records", str(folder), *options]) == 130
    out, err = capsys.readouterr()
    assert "interrupted; what was measured is kept" in (err if options else out)
    assert "Traceback" not in err
    if options:
        assert out.count("25.0%") == 1
    else:
        assert len(store.user("h200").entries) == 1


@pytest.mark.composite
def test_errors_of_the_command_are_one_line(folder, machine, capsys):
    folder.mkdir()
    (folder / "h200.csv").write_text("run_id,op\n")
    assert cli.main(["tune", "--records", str(folder)]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("tune: ")
    assert message.endswith("move the file away or convert it")
