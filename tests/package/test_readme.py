"""What the README says can be done."""

import re
from pathlib import Path

import pytest
from support import accuracy, readme

try:
    from support import tables
except ImportError:
    tables = None

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_code_blocks_run():
    """In order, in one namespace, as a reader would."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) >= 2
    namespace = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), namespace)


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"make ([a-z]+)", README))
    assert {"perf", "test"} <= targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def section(name):
    """What stands between the marks of a table."""
    return re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)[1]


def test_accuracy_table_is_filled():
    assert section("accuracy").count("\n|") > 12


@pytest.mark.skipif(tables is None, reason="Triton is not installed")
def test_inspect_table_is_what_the_compiler_makes():
    """Written with the pinned Triton; the counts are the same with 3.6.0."""
    assert tables.table("sm_90") in section("inspect")


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
