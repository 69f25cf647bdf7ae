"""The sources call nothing that runs text or unpacks objects; files of others are not taken."""

import ast
import builtins
from pathlib import Path

import pytest
from support.fresh import ROOT

SOURCES = sorted([*(ROOT / "triton_acts").rglob("*.py"), *(ROOT / "perf").rglob("*.py")])
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
MODULES |= {"pty", "commands", "code", "codeop", "runpy", "imp"}
MODULES |= {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests"}
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "os.system",
    "os.popen",
    *(f"os.{way}{how}" for way in ("exec", "spawn") for how in ("l", "le", "lp", "v", "ve", "vp")),
    "subprocess.getoutput",
    "subprocess.getstatusoutput",
    "asyncio.create_subprocess_shell",
    "tempfile.mktemp",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "torch.hub.load",
    "torch.package.PackageImporter",
    "torch.utils.cpp_extension.load",
    "torch.utils.cpp_extension.load_inline",
    "pandas.read_pickle",
    "pandas.eval",
    "numpy.fromfile",
    "logging.config.listen",
}
METHODS = {"read_pickle", "to_pickle"}
UNPICKLES = {"torch.load": ("weights_only", True), "numpy.load": ("allow_pickle", False)}


def forbidden(text):
    """(line, what) of every forbidden call, import and argument in a source."""
    tree = ast.parse(text)
    known = _imported(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += [(node.lineno, name) for name in _modules(node) if name in MODULES]
        elif isinstance(node, ast.Name | ast.Attribute):
            name = _name(node, known)
            bare = isinstance(node, ast.Name) and node.id not in known
            if name in CALLS or (bare and name in BUILTINS) or name.startswith("builtins."):
                found.append((node.lineno, name))
            elif isinstance(node, ast.Attribute) and node.attr in METHODS:
                found.append((node.lineno, node.attr))
        elif isinstance(node, ast.Call):
            found += [(node.lineno, what) for what in _call(node, _name(node.func, known))]
    return found


def _imported(tree):
    """What names stand for: `from os import system as s` makes s os.system."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                module = "." * node.level + (node.module or "")
                known[alias.asname or alias.name] = f"{module}.{alias.name}"
        elif isinstance(node, ast.FunctionDef):
            known.setdefault(node.name, f"own.{node.name}")
    return known


def _modules(node):
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    return [] if node.level else [node.module.split(".")[0]]


def _name(node, known):
    """The dotted name of an expression, with imports resolved; "" for any other."""
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        base = _name(node.value, known)
        return f"{base}.{node.attr}" if base else ""
    return ""


def _call(node, name):
    given = {word.arg: word.value for word in node.keywords}
    shell = given.get("shell")
    if shell is not None and not (isinstance(shell, ast.Constant) and shell.value is False):
        yield f"{name}(shell=...)"
    runs = name.startswith("subprocess.") and name.rsplit(".")[-1] in _RUNS
    command = node.args[0] if node.args else given.get("args")
    if runs and isinstance(command, ast.Constant | ast.JoinedStr | ast.BinOp):
        yield f"{name} of one text"
    if None in given and (runs or name in UNPICKLES):
        yield f"{name}(**...)"
    if name in UNPICKLES:
        word, safe = UNPICKLES[name]
        value = given.get(word)
        if not (isinstance(value, ast.Constant) and value.value is safe):
            yield f"{name} without {word}={safe}"


_RUNS = {"run", "Popen", "call", "check_call", "check_output"}


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_source_calls_nothing_forbidden(file):
    assert forbidden(file.read_text(encoding="utf-8")) == []


def test_all_sources_are_seen():
    found = {str(file.relative_to(ROOT)) for file in SOURCES}
    assert {"triton_acts/tuning/store.py", "perf/step_memory.py"} <= found
    assert len(found) > 80


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "import pickle as p",
        "from pickle import loads",
        "def f():\n import marshal.x",
        "eval('1')",
        "exec(text)",
        "compile('1', '', 'eval')",
        "run = eval",
        "map(exec, texts)",
        "import builtins\nbuiltins.eval('1')",
        "from builtins import eval as e\ne('1')",
        "__import__(name)",
        "import os\nos.system('ls')",
        "import os as o\no.system('ls')",
        "from os import system as s\ns('ls')",
        "import os\nf = os.popen",
        "import os\nos.execv(path, [])",
        "import subprocess\nsubprocess.run(['ls'], shell=True)",
        "import subprocess\nsubprocess.run(['ls'], shell=flag)",
        "from subprocess import Popen\nPopen(x, shell=1)",
        "import subprocess\nsubprocess.run('ls')",
        "import subprocess\nsubprocess.run(f'ls {x}')",
        "import subprocess\nsubprocess.check_output('ls ' + x)",
        "import subprocess\nsubprocess.run(**options)",
        "import tempfile\ntempfile.mktemp()",
        "import yaml\nyaml.load(text)",
        "import torch\ntorch.load(file)",
        "import torch\ntorch.load(file, weights_only=False)",
        "import torch\ntorch.load(file, **options)",
        "import numpy as np\nnp.load(file)",
        "import numpy as np\nnp.load(file, allow_pickle=True)",
        "import pandas as pd\npd.read_pickle(file)",
        "frame.to_pickle(file)",
    ],
)
def test_what_is_forbidden_is_found(text):
    assert forbidden(text)


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ntorch.compile(f)",
        "import re\nre.compile('x')",
        "from torch import compile\ncompile(f)",
        "def compile(x): ...\ncompile(1)",
        "model.eval()",
        "frame.eval = 1",
        "import json\njson.loads(text)",
        "import subprocess\nsubprocess.run(['ls', '-l'], shell=False, check=True)",
        "import subprocess\nsubprocess.run(command)",
        "import torch\ntorch.load(file, weights_only=True)",
        "import numpy as np\nnp.load(file, allow_pickle=False)",
        "import tempfile\ntempfile.mkstemp()",
    ],
)
def test_what_is_allowed_is_not_found(text):
    assert forbidden(text) == []


def test_the_names_exist():
    """A name that is misspelt would forbid nothing."""
    import os
    import subprocess
    import tempfile

    assert {name for name in BUILTINS if hasattr(builtins, name)} == BUILTINS
    for module in (os, subprocess, tempfile):
        for name in CALLS:
            if name.startswith(f"{module.__name__}."):
                assert hasattr(module, name.split(".")[1]) or name.startswith("os.spawn"), name
    assert all(hasattr(subprocess, name) for name in _RUNS)


def test_sources_are_only_here():
    """No compiled or hidden file that this test would not read is part of the package."""
    allowed = {".py", ".pyc", ".csv", ".json", ".typed", ".md"}
    found = [file for file in Path(ROOT / "triton_acts").rglob("*") if file.is_file()]
    assert {file.suffix or file.name for file in found} <= allowed | {"py.typed"}
