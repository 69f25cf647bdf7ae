"""Every code block, command, path, link and test that README and docs/ show."""

import importlib
import os
import re
import runpy
import struct
import subprocess
import sys

import pytest
import torch
from support import pages
from support.fresh import environment

from triton_acts.dictionary import compile_as
from triton_acts.pointwise import ALL
from triton_acts.tuning.registry import REGISTRY, RULES

each_page = pytest.mark.parametrize("page", pages.PAGES, ids=pages.name_of)
AFTERNOON = re.compile(r"<!-- afternoon -->\n+```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def as_it_was(monkeypatch, tmp_path):
    """What a page may change for the whole process, put back: op tables, transformers' names."""
    monkeypatch.chdir(tmp_path)
    threads, names = torch.get_num_threads(), _act2fn()
    kept = [(table, dict(table)) for table in (REGISTRY, RULES, names)]
    ops = [*ALL]
    torch.manual_seed(0)
    yield tmp_path
    ALL[:] = ops
    new = _act2fn()  # which a page may be the first to import
    for name in ("scaled_sigmoid", "penalized_tanh"):
        if name not in names:
            new.pop(name, None)
    for table, before in kept[:2]:
        table.clear()
        table.update(before)
    compile_as("composite")
    torch.set_num_threads(threads)


def _act2fn():
    """The table of transformers, if that was imported."""
    module = sys.modules.get("transformers.activations")
    return {} if module is None else module.ACT2FN


# torch.onnx copies PyTorch's own tree specs, whose class warns that it will go
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
@pytest.mark.parametrize(
    "page", [p for p in pages.PAGES if pages.blocks(pages.text_of(p), "python")], ids=pages.name_of
)
def test_code_runs(page, as_it_was):
    pages.run_blocks(page, as_it_was)


def test_the_afternoon_is_under_40_lines():
    """From an import to a verdict, with each of the tools that it is about."""
    (block,) = AFTERNOON.findall(pages.text_of(pages.ROOT / "README.md"))
    assert len(block.splitlines()) < 40
    for step in ("ta.swap(", "init.", "coverage(", ".backward()", "plot(", "compare("):
        assert step in block


@each_page
def test_blocks_are_python_or_bash(page):
    """Any other language would not be looked at by these tests."""
    assert set(pages.languages(pages.text_of(page))) <= {"python", "bash", "bibtex"}


@each_page
def test_make_targets_exist(page):
    makefile = (pages.ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    assert pages.make_targets(pages.text_of(page)) <= known


@each_page
def test_links_lead_somewhere(page):
    for target in pages.links(pages.text_of(page)):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert not anchor or anchor in pages.anchors(pages.text_of(file)), target


@each_page
def test_paths_exist(page):
    text = pages.text_of(page)
    assert [path for path in pages.paths(text) if not pages.exists(path)] == []
    for path, test, part in pages.named_tests(text):
        source = (pages.ROOT / path).read_text(encoding="utf-8")
        assert test is None or f"def {test}(" in source, f"{path}::{test}"
        assert part is None or part in source, f"{path} -k {part}"


@each_page
def test_commands_parse(page, capsys, monkeypatch):
    """Subcommand and options are in the help of the program."""
    for module, words in pages.commands(pages.text_of(page)):
        if module == "perf":
            monkeypatch.syspath_prepend(pages.ROOT)
        main = importlib.import_module(f"{module}.__main__").main
        first = [w for w in words[:1] if re.fullmatch(r"[a-z]+", w)]
        with pytest.raises(SystemExit) as stopped:
            main([*first, "--help"])
        shown = capsys.readouterr().out
        assert stopped.value.code == 0, (module, words)
        for option in (w for w in words if w.startswith("--")):
            assert option in shown, (module, words, option)


def test_pages_are_reached_from_the_readme():
    linked = pages.links(pages.text_of(pages.ROOT / "README.md"))
    assert {pages.name_of(page) for page in pages.PAGES[1:]} <= linked


def test_the_distributed_example_runs():
    """As docs/deploying.md starts it: both ways, on two gloo processes."""
    command = next(
        line
        for line in pages.shell(pages.text_of(pages.ROOT / "docs" / "deploying.md"))
        if "torch.distributed.run" in line
    )
    words = command.split()
    assert words[0] == "python"
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=pages.ROOT,
        env=environment(OMP_NUM_THREADS=1, PYTHONPATH=os.fspath(pages.ROOT)),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    weights = {}
    for way in ("ddp", "fsdp2"):
        (line,) = (line for line in done.stdout.splitlines() if line.startswith(f"{way}: "))
        weights[way], first, last = map(float, re.findall(r"(?<= )[\d.]+", line))
        assert last < 0.7 * first
    assert 0.4 < weights["fsdp2"] / weights["ddp"] < 0.6


def test_the_gallery_is_drawn_at_800_pixels():
    """And the committed picture has the size of what `make gallery` draws."""
    file = pages.ROOT / "docs" / "gallery.py"
    figure = runpy.run_path(str(file))["gallery"]()
    size = [int(inches * figure.dpi) for inches in figure.get_size_inches()]
    assert size[0] == 800
    assert len(figure.axes) == 12
    header = file.with_suffix(".png").read_bytes()[:24]
    assert list(struct.unpack(">II", header[16:24])) == size
