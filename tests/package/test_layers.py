"""Imports point one way, and importing does nothing."""

import ast
import sys

import pytest
from support.fresh import ROOT, output

PACKAGE = ROOT / "triton_acts"
LAYERS = [
    {"_check", "_dispatch", "_forward", "_launch", "_tiling", "_triton", "_version"}
    | {"gpus", "math"},
    {"tuning"},
    {"pointwise", "dictionary"},
    {"_warmup", "adopt", "init", "kaf_tools", "nn"},
    {"__init__"},
    {"study"},
]
STANDARD = sys.stdlib_module_names
CALL_PATH = {"torch", "triton"}  # what importing the package may import besides itself


def layer(part):
    """The layer of a top-level module or package."""
    (found,) = (i for i, names in enumerate(LAYERS) if part in names)
    return found


def imports(file):
    """(line, absolute module) of every import in a file, relative ones resolved."""
    package = file.relative_to(ROOT).with_suffix("").parts
    if file.stem == "__init__":
        package = package[:-1]
        anchor = package
    else:
        anchor = package[:-1]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = anchor[: len(anchor) - node.level + 1]
            for alias in node.names:
                yield node.lineno, ".".join((*base, *filter(None, [node.module]), alias.name))


@pytest.mark.parametrize(
    "file", sorted(PACKAGE.rglob("*.py")), ids=lambda f: str(f.relative_to(ROOT))
)
def test_imports_point_down(file):
    """A module imports its own layer's package, or layers below; the command line is on top."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    if parts[-1] == "__main__":
        return
    own = parts[0]
    for line, module in imports(file):
        if not module.startswith("triton_acts"):
            continue
        target = module.split(".")[1]
        if not any(target in names for names in LAYERS):
            target = "__init__"  # a public name, not a module
        low = layer(target) < max(layer(own), 1)  # modules of layer 0 share what they have
        assert target == own or low, f"{file}:{line} imports {module}"


def test_every_module_has_a_layer():
    """A new module says where it belongs."""
    found = {f.relative_to(PACKAGE).with_suffix("").parts[0] for f in PACKAGE.rglob("*.py")}
    assert found == set().union(*LAYERS)


def test_no_public_name_is_a_module_beside_it():
    """A function of a module's name would shadow the module and break imports below it."""
    import triton_acts

    modules = {f.stem for f in PACKAGE.iterdir()}
    assert not (set(triton_acts.__all__) - {"init", "kaf_tools", "nn"}) & modules


def test_perf_does_not_import_tests():
    for file in (ROOT / "perf").rglob("*.py"):
        assert not [m for _, m in imports(file) if m.split(".")[0] in ("tests", "support")], file


def test_import_takes_torch_triton_and_nothing_else():
    code = """
import sys, torch, triton, triton.language
before = set(sys.modules)
import triton_acts
new = {m.split('.')[0] for m in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names)))
"""
    assert set(output(code).split()) <= {"triton_acts", *CALL_PATH}


def test_import_asks_no_driver_and_changes_nothing():
    """No CUDA context, no active Triton driver, no change of environment or random state."""
    code = """
import os, torch
environment, state = dict(os.environ), torch.get_rng_state()
def forbidden(*args, **kwargs): raise SystemExit('asked the GPU')
torch.cuda.is_available = torch.cuda.device_count = torch._C._cuda_init = forbidden
torch.cuda.get_device_properties = torch.cuda.current_device = forbidden
import triton_acts
from triton.runtime import driver
assert driver._active is None and driver._default is None
assert dict(os.environ) == environment
assert torch.equal(torch.get_rng_state(), state)
print(torch.cuda.is_initialized())
"""
    assert output(code) == "False"


def test_interpreter_is_chosen_by_the_environment():
    code = "from triton_acts import _dispatch; print(_dispatch.CPU_KERNELS)"
    assert output(code) == "False"
    assert output(code, TRITON_INTERPRET="1") == "True"
