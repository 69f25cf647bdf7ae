"""The campaign itself: which mutants there are, and what counts as noticed."""

import ast
import csv
from pathlib import Path

import campaign
import pytest
from mutants import mutants, sample
from trial import KILLED, SURVIVED, UNUSABLE, trial

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
        ("import time; time.sleep(60)", UNUSABLE, "no end within 5 s"),
    ],
)
def test_verdicts(tmp_path, body, verdict, detail):
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {body}\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text("[tool.pytest.ini_options]\n", encoding="utf-8")
    limit_s = 5.0 if "sleep" in body else 60.0
    found = trial(tmp_path, ["test_it.py"], limit_s)
    assert (found.verdict, found.detail) == (verdict, detail)


def test_the_list_of_tests_is_current():
    root = PACKAGE.parent
    assert [test for test in campaign.TESTS if not (root / test).exists()] == []
    assert {name for name in campaign.NAMED if not (PACKAGE / name).exists()} == set()
