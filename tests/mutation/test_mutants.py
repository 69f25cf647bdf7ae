"""The campaign itself: which mutants there are, and what counts as noticed."""

import ast
import csv
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import campaign
import pytest
from mutants import Mutant, mutants, sample
from trial import KILLED, SURVIVED, UNUSABLE, Result, trial

PACKAGE = Path(__file__).parents[2] / "triton_acts"
SOURCE = '''
from x import jit, tl

@jit
def f(x, n: tl.constexpr = 2):
    """Adds 1."""
    y: tl.constexpr = "é"
    if x < 0.5 or n == 1:
        x += tl.load(x, mask=x > -n, other=0.0)
    return tl.where(x > 0, tl.minimum(x * 2, n), (n,) + (x.to(tl.float32),))

def host(x):
    return x + 1
'''


@pytest.fixture
def package(tmp_path):
    (tmp_path / "a.py").write_text(SOURCE, encoding="utf-8")
    return tmp_path


def test_every_kind_of_change(package):
    found = [(m.before, m.after) for m in mutants(package)]
    assert found == [
        ("x < 0.5 or n == 1", "x < 0.5 and n == 1"),
        ("x < 0.5", "x <= 0.5"),
        ("x < 0.5", "x > 0.5"),
        ("0.5", "0.505"),
        ("n == 1", "n != 1"),
        ("1", "2"),
        (
            "x += tl.load(x, mask=x > -n, other=0.0)",
            "x = tl.load(x, mask=x > -n, other=0.0)",
        ),
        ("tl.load(x, mask=x > -n, other=0.0)", "tl.load(x)"),
        ("x > -n", "x >= -n"),
        ("x > -n", "x < -n"),
        ("-n", "n"),
        ("0.0", "1.0"),
        (
            "tl.where(x > 0, tl.minimum(x * 2, n), (n,) + (x.to(tl.float32),))",
            "tl.where(x > 0, (n,) + (x.to(tl.float32),), tl.minimum(x * 2, n))",
        ),
        ("x > 0", "x >= 0"),
        ("x > 0", "x < 0"),
        ("0", "1"),
        ("tl.minimum(x * 2, n)", "tl.maximum(x * 2, n)"),
        ("x * 2", "(x) + (2)"),
        ("2", "3"),
        ("x.to(tl.float32)", "x.to(tl.float16)"),
    ]


def test_a_mutant_changes_its_own_place_alone(package):
    for mutant in mutants(package):
        text = mutant.applied(SOURCE)
        ast.parse(text)
        end = mutant.start + len(mutant.before)
        assert text == SOURCE[: mutant.start] + mutant.after + SOURCE[end:]
        assert SOURCE[mutant.start : end] == mutant.before


def test_device_code_has_mutants_with_names_of_their_own():
    found = mutants(PACKAGE)
    assert len(found) > 500
    assert len({mutant.name for mutant in found}) == len(found)
    assert sample(found, 100, 1) == sample(found, 100, 1) != sample(found, 100, 2)


def test_the_list_of_equivalents_is_current():
    """Each names a mutant that exists, and says why nothing can notice it."""
    names = {mutant.name for mutant in mutants(PACKAGE)}
    with campaign.EQUIVALENTS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["mutant"] for row in rows}) == len(rows)
    for row in rows:
        assert row["mutant"] in names
        assert len(row["proof"]) > 20


@pytest.mark.parametrize(
    ("body", "verdict", "detail"),
    [
        ("assert True", SURVIVED, ""),
        ("assert False", KILLED, "test_it.py::test_it: AssertionError"),
        ("import pytest; pytest.raises(KeyError, int)", KILLED, "test_it.py::test_it: Failed"),
        ("raise TypeError", UNUSABLE, "test_it.py::test_it: TypeError"),
        ("import os; os.abort()", UNUSABLE, "signal 6"),
        ("import time; time.sleep(60)", UNUSABLE, "no end within 3 s"),
    ],
)
def test_verdicts(tmp_path, body, verdict, detail):
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    limit_s = 3.0 if "sleep" in body else 60.0
    found = trial(tmp_path, ["test_it.py"], limit_s)
    assert (found.verdict, found.detail) == (verdict, detail)
    assert found.crashed == ("abort" in body)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [("raise IndexError", UNUSABLE), ("assert False", KILLED), ("pass", UNUSABLE)],
)
def test_a_crash_is_tried_between_forbidden_pages(tmp_path, monkeypatch, body, verdict):
    """And counts only where an assertion fails there."""
    (tmp_path / "triton_acts").mkdir()
    (tmp_path / "triton_acts" / "a.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "test_it.py").write_text("def test_it():\n    import os; os.abort()\n")
    (tmp_path / "test_guards.py").write_text(f"def test_guards():\n    {body}\n")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    monkeypatch.setattr(campaign, "_checkout", tmp_path)
    monkeypatch.setattr(campaign, "TESTS", ("test_it.py",))
    monkeypatch.setattr(campaign, "GUARDS", "test_guards.py")
    mutant = mutants(tmp_path / "triton_acts")[0]
    assert campaign._try(mutant, 60.0).verdict == verdict
    assert (tmp_path / "triton_acts" / "a.py").read_text(encoding="utf-8") == SOURCE


def test_a_loop_without_end_costs_seconds(tmp_path, monkeypatch):
    """Or a few of them would eat the campaign's time."""
    (tmp_path / "test_it.py").write_text("def test_it():\n    while True: pass\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    monkeypatch.setattr("trial._STALL_S", 1)
    found = trial(tmp_path, ["test_it.py"], 60.0)
    assert (found.verdict, found.detail) == (UNUSABLE, "a test without end in 1 s")
    assert found.seconds < 30


def test_the_list_of_tests_is_current():
    root = PACKAGE.parent
    assert [test for test in campaign.TESTS if not (root / test).exists()] == []
    assert {name for name in campaign.NAMED if not (PACKAGE / name).exists()} == set()


def results(killed, survived=0, unusable=0):
    verdicts = [KILLED] * killed + [SURVIVED] * survived + [UNUSABLE] * unusable
    names = [Mutant("a.py", "f", str(i), "", 0, 0) for i in range(len(verdicts))]
    return {m: Result(v, "why", 1.0) for m, v in zip(names, verdicts, strict=True)}


@pytest.mark.parametrize(
    ("found", "fewest", "code", "line"),
    [
        (results(100), 100, 0, "killed 100 of 100: 100.0%, bar 95%"),
        (results(99, unusable=61), 100, 1, "too few: a score of fewer than 100 says little"),
        (results(99, unusable=61), 0, 0, "do not end: 61, 38.1%"),
        (results(94, 6), 100, 1, "killed 94 of 100: 94.0%, bar 95%"),
        (results(95, 5), 100, 0, "Not tried, out of time: 7"),
    ],
)
def test_the_score_is_of_a_hundred(found, fewest, code, line, capsys):
    assert campaign._report(found, 7, {}, fewest) == code
    assert line in capsys.readouterr().out


def test_no_trial_begins_when_time_is_over(monkeypatch):
    """Each look at the clock takes 100 s: the last trial begins after 1,000 s and has 200 left."""
    limits = []

    def tried(mutant, limit_s):
        limits.append(limit_s)
        return Result(KILLED, mutant.name, 1.0) if mutant else Result(SURVIVED, "", 1.0)

    clock = SimpleNamespace(monotonic=partial(next, count(0.0, 100.0)))
    monkeypatch.setattr(campaign, "time", clock)
    monkeypatch.setattr(campaign, "ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    monkeypatch.setattr(campaign, "_try", tried)
    found = dict(campaign._results(list(results(50)), workers=1))
    assert limits == [1200, 240, 240, 240, 240, 200]
    assert len(found) == 5
    assert all(result.detail == mutant.name for mutant, result in found.items())
