"""The commands tune, plan and explain where nothing can be measured, as a user runs them."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import triton_acts
from triton_acts import _triton, gpus
from triton_acts.tuning import __main__ as cli
from triton_acts.tuning import golden
from triton_acts.tuning.commands import plan
from triton_acts.tuning.commands import tune as command
from triton_acts.tuning.config import Config
from triton_acts.tuning.machine_code import Counts
from triton_acts.tuning.registry import REGISTRY

assert triton_acts  # its import fills the registry
GOOD = Counts(3.0, 1.0, 2.0, 16, 16, 16, 32, 0)
NARROW = ["--ops", "scaled_sigmoid", "--dtype", "bfloat16"]
KEYS = ["scaled_sigmoid/forward/bfloat16/aligned", "scaled_sigmoid/backward/bfloat16/aligned"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder on a machine without a GPU and without a golden table."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "configs"))
    for name in ("RANK", "TRITON_ACTS_GPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(golden, "default_file", lambda: tmp_path / "golden.csv")
    monkeypatch.setattr(command, "records_folder", lambda: tmp_path / "records")
    return tmp_path


@pytest.fixture
def h200(monkeypatch):
    """A machine with an H200; `identify` says what it is."""
    identity = gpus.classify("NVIDIA H200", "sm_90", 132, 140)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpus, "identify", lambda device=None: identity)
    monkeypatch.setattr(command, "tune", lambda *_, **__: pytest.fail("must not start"))
    monkeypatch.setattr(command, "here", lambda: pytest.fail("must not start"))


@pytest.fixture
def compiled(monkeypatch):
    """Nothing is compiled; 16 elements a thread spill, and 32 are the fastest."""
    asked = []

    def compiled_counts(variant, dtype, arch, candidates):
        asked.append((variant.direction, dtype, arch))
        found = dict.fromkeys(candidates, replace(GOOD, instr_per_elt=900.0))
        for config in candidates:
            if config.elements_per_thread == 16:
                found[config] = replace(GOOD, spill_bytes=8)
            if config == Config(32, 4, warp_size=config.warp_size):
                found[config] = GOOD
        return found

    monkeypatch.setattr(plan, "compiled_counts", compiled_counts)
    return asked


def run(*argv):
    """The exit code, whether by return or by argparse."""
    try:
        return cli.main(argv)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(
    ("options", "code", "reason"),
    [
        ((), 1, "tune: there is no GPU here (torch "),
        (("--gpu", "h200"), 2, "tune: there is no h200 here (torch "),
    ],
)
def test_tune_without_a_gpu(options, code, reason, folder, capsys):
    assert run("tune", *options) == code
    out, err = capsys.readouterr()
    assert (out, err.startswith(reason)) == ("", True)
    assert list(folder.iterdir()) == []


def test_tune_under_another_gpu_s_name(h200, folder, capsys, monkeypatch):
    assert run("tune", "--gpu", "h100-80gb-sxm") == 2
    assert capsys.readouterr().err == "tune: the GPU here is h200, not h100-80gb-sxm\n"
    monkeypatch.setenv("TRITON_ACTS_GPU", "h20")
    for options in ((), ("--gpu", "h200")):
        assert run("tune", *options) == 2
        assert "the GPU here is h200, but TRITON_ACTS_GPU is h20: unset" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_tune_where_it_may_not(h200, folder, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert run("tune") == 1
    assert capsys.readouterr().err.startswith("tune: this is rank 3 of a distributed job, and only")
    monkeypatch.delenv("RANK")
    monkeypatch.setattr(_triton, "INTERPRETED", True)
    assert run("tune", "--gpu", "h200") == 1
    assert "unset TRITON_INTERPRET" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("gpu", "reason"),
    [
        (
            None,
            "there is no GPU here (torch {torch} finds no GPU). The plan for h200 serves as an ",
        ),
        ("mi300x", "there is no mi300x here (torch {torch} finds no GPU).\n"),
    ],
)
def test_or_plan_prints_the_plan_and_says_why(gpu, reason, folder, capsys, compiled):
    options = ("--gpu", gpu) if gpu else ()
    assert run("tune", "--or-plan", "--ops", "scaled_sigmoid", *options) == 0
    out = capsys.readouterr().out
    assert out.startswith("Nothing is tuned: " + reason.format(torch=torch.__version__))
    assert f"Plan for {gpu or 'h200'} (" in out
    assert all(key in out for key in KEYS)
    assert list(folder.iterdir()) == []


def test_or_plan_beside_another_gpu(h200, capsys, compiled):
    assert run("tune", "--or-plan", *NARROW[:2], "--gpu", "h20") == 0
    out = capsys.readouterr().out
    assert out.startswith("Nothing is tuned: the GPU here is h200, not h20.\n")
    assert "Plan for h20 (" in out


def test_the_reason_is_out_before_minutes_of_compiling(monkeypatch):
    """Where stdout is a pipe, it would wait in a buffer."""
    events = []
    monkeypatch.setattr(command, "print_plan", lambda *_: events.append("plan") or 0)
    monkeypatch.setattr(sys.stdout, "flush", lambda: events.append("flush"))
    assert run("tune", "--or-plan") == 0
    assert events == ["flush", "plan"]


@pytest.mark.parametrize(
    ("argv", "allowed"),
    [
        (["tune", "--ops", "relu"], ["invalid ops: relu", *REGISTRY]),
        (["tune", "--ops", "kaf,relu"], ["invalid ops: relu (allowed", *REGISTRY]),
        (["tune", "--ops", ","], ["invalid ops: none", *REGISTRY]),
        *[
            (["tune", "--budget", text], [f"invalid seconds: '{text}'", "positive"])
            for text in ("0", "-1", "nan", "inf", "soon")
        ],
        (["tune", "--gpu", "h999"], ["invalid choice: 'h999'", "h200", "mi300x"]),
        (["plan", "--gpu", "h999"], ["invalid choice: 'h999'", "h200", "mi300x"]),
        *[
            (["plan", "--numel", text], [f"invalid size: '{text}'", "1 to 2^63 - 1"])
            for text in ("0", "-5", "1e6", "x", str(1 << 63))
        ],
        (["plan", "--dtype", "float64"], ["invalid choice: 'float64'", "bfloat16"]),
        (["explain", "relu"], ["invalid choice: 'relu'", *REGISTRY]),
        (["explain", "kaf", "--nodes", "0"], ["invalid size: '0'"]),
    ],
)
@pytest.mark.parametrize("more", [[], ["--or-plan"]])
def test_wrong_arguments_name_what_is_allowed(argv, allowed, more, folder, capsys):
    assert run(*argv, *(more if argv[0] == "tune" else [])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    for text in allowed:
        assert text in err
    assert list(folder.iterdir()) == []


def test_plan_without_a_gpu_needs_a_name(capsys):
    assert run("plan") == 1
    assert capsys.readouterr() == ("", "plan: there is no GPU here; name one with --gpu\n")
    assert run("explain", "kaf") == 1
    assert capsys.readouterr() == ("", "explain: there is no GPU here; name one with --gpu\n")


def test_plan_in_brief(compiled, capsys):
    assert run("plan", "--gpu", "h200", *NARROW) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "Plan for h200 (sm_90), 16777216 elements: predicted, nothing is measured."
    assert [line.split()[0] for line in lines[3:5]] == KEYS
    assert lines[3].split("  ")[-1] == "dram"
    words = " ".join(lines[3].split())
    assert " 10 5 8 elements a thread, 4 warps 32 elements a thread, 4 warps 0.0140 dram" in words
    assert lines[-1].endswith("plan --gpu h200 --all")
    assert err.startswith("compiling: 0 of 2 keys\n")
    assert compiled == [
        (direction, torch.bfloat16, "sm_90") for direction in ("forward", "backward")
    ]


def test_plan_with_every_candidate_and_as_a_file(compiled, folder, capsys):
    file = folder / "plan.csv"
    assert run("plan", "--gpu", "mi300x", *NARROW, "--all", "--csv", str(file)) == 0
    with file.open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["key"] for row in rows] == [KEYS[0]] * 15 + [KEYS[1]] * 15
    verdicts = [row["verdict"] for row in rows[:15]]
    assert verdicts.count("dropped: spills 8 bytes a thread") == 5
    assert verdicts.count("default") == verdicts.count("predicted best") == 1
    for row in rows:
        assert (row["predicted_ms"] == "") == row["verdict"].startswith("dropped")
        assert int(row["block"]) == int(row["elements"]) * int(row["warps"]) * 64
    out = capsys.readouterr().out
    assert out.count("spills 8 bytes a thread") == 10
    assert "predicted_ms" in out


def test_a_plan_that_cannot_be_written_says_so(compiled, folder, capsys):
    file = folder / "none" / "plan.csv"
    assert run("plan", "--gpu", "h200", *NARROW, "--csv", str(file)) == 1
    assert f"plan: {file} is not written: No such file" in capsys.readouterr().err


def test_a_plan_reads_the_golden_table_of_these_versions_alone(compiled, folder, capsys):
    kernels = golden.kernels(["sm_90"], ["scaled_sigmoid"])
    entries = [golden.entry(kernel, GOOD) for kernel in kernels]
    golden.write(folder / "golden.csv", entries)
    assert run("plan", "--gpu", "h200", *NARROW) == 0
    assert compiled == []
    assert "the default" in capsys.readouterr().out
    golden.write(folder / "golden.csv", [replace(entry, triton="0.1") for entry in entries])
    assert run("plan", "--gpu", "h200", *NARROW) == 0
    assert len(compiled) == 2
    (folder / "golden.csv").write_text("nonsense\n")
    assert run("plan", "--gpu", "h200", *NARROW) == 0
    assert len(compiled) == 4
    assert "plan: compiles everything, since " in capsys.readouterr().err


def test_a_plan_needs_a_compiler_or_a_table(monkeypatch, capsys):
    monkeypatch.setattr(_triton, "INTERPRETED", True)
    assert run("plan", "--gpu", "h200", *NARROW) == 1
    assert "unset TRITON_INTERPRET" in capsys.readouterr().err


def test_a_plan_compiles_for_a_gpu_that_is_not_there(capsys):
    assert run("plan", "--gpu", "mi300x", "--ops", "scaled_sigmoid", "--dtype", "float16") == 0
    lines = capsys.readouterr().out.splitlines()
    found = [line.split()[1:3] for line in lines[3:5]]
    assert [int(tried) + int(dropped) for tried, dropped in found] == [15, 15]


def test_explain_names_tier_and_reason(folder):
    """In a process of its own, as docs/tuning.md has it."""
    words = ["penalized_tanh", "--gpu", "mi300x", "--dtype", "bfloat16", "--numel", "16777216"]
    done = subprocess.run(
        [sys.executable, "-m", "triton_acts.tuning", "explain", *words],
        capture_output=True,
        text=True,
        check=False,
        env={
            **{k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"},
            "PYTHONPATH": str(Path(triton_acts.__file__).parents[1]),
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == ("penalized_tanh forward, bfloat16, 16777216 elements, flat, on mi300x:")
    found = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines[1:]}
    assert "(block " in found["config"]
    assert found["tier"] in ("shipped", "nearest", "architecture", "vendor", "analytic")
    assert "penalized_tanh/forward/bfloat16/aligned" in found["reason"]
    assert list(folder.iterdir()) == []


def test_explain_of_weights_and_wrong_layouts(capsys):
    assert run("explain", "kaf", "--gpu", "h200", "--nodes", "64", "--layout", "innerN") == 0
    assert "kaf forward, bfloat16, 16777216 elements, innerN, on h200" in capsys.readouterr().out
    assert run("explain", "kaf", "--gpu", "h200", "--layout", "flat") == 2
    assert "allowed are" in capsys.readouterr().err
