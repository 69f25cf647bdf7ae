"""What the README says can be done."""

import re
from pathlib import Path

import pytest
from support import accuracy, readme

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


def test_tables_are_filled():
    for name in ("accuracy", "inspect"):
        section = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", README, re.DOTALL)
        assert section[1].count("\n|") > 4


def test_sections_are_replaced_alone(tmp_path):
    file = tmp_path / "README.md"
    file.write_text("a\n<!-- accuracy -->\nold\n<!-- /accuracy -->\nb\n", encoding="utf-8")
    accuracy.write(file, {("f", "|x| < 4", "float32", "interpreter"): (1.5, None)})
    text = file.read_text(encoding="utf-8")
    assert text.startswith("a\n<!-- accuracy -->")
    assert text.endswith("<!-- /accuracy -->\nb\n")
    assert r"| f | \|x\| < 4 | float32 | 1.50 |  |" in text
    assert "old" not in text
    with pytest.raises(ValueError, match="0 sections named 'speed'"):
        readme.replace_section(file, "speed", "")
