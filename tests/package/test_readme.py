"""The tables of README and docs/ that commands write."""

import re
from pathlib import Path

import pytest
from support import accuracy, readme

try:
    from support import tables
except ImportError:
    tables = None

ROOT = Path(__file__).parents[2]


def section(page, name):
    """What stands between the marks of a table."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", text, re.DOTALL)[1]


def test_accuracy_tables_are_filled():
    assert section("docs/accuracy.md", "accuracy").count("\n|") > 12
    assert section("docs/accuracy.md", "kaf accuracy").count("\n|") > 8


@pytest.mark.skipif(tables is None, reason="Triton is not installed")
def test_inspect_table_is_that_of_the_golden_file():
    """Which `compiled/test_golden.py` holds to the compiler, all of these kernels."""
    assert tables.table("sm_90") in section("docs/speed.md", "inspect")


def test_make_writes_the_tables_where_they_are():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "--accuracy-table docs/accuracy.md" in makefile
    assert tables is None or section(tables.FILE.relative_to(ROOT), "inspect")


def test_sections_are_replaced_alone(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("a\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nb\n", encoding="utf-8")
    accuracy.write(file, {("f", "|x| < 4", "float32", "interpreter"): (1.5, None)}, {})
    text = file.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- accuracy -->")
    assert text.endswith("<!-- /accuracy -->\nb\n")
    assert r"| f | \|x\| < 4 | float32 | 1.50 |  |" in text
    assert "old" not in text
    file.write_text("<!-- kaf accuracy -->\n<!-- /kaf accuracy -->\n", encoding="utf-8")
    both = {
        (20, kind): (value,) * 5 for kind, value in zip(accuracy.KINDS, (1e-6, 2e-6), strict=True)
    }
    accuracy.write(file, {}, both)
    assert "| 20 | 1.0e-06 / 2.0e-06 |" in file.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="0 sections named 'speed'"):
        readme.replace_section(file, "speed", "")
