"""The package is imported by many at once, forked, and without what a GPU machine has."""

import pytest
from support.config_files import names
from support.fresh import output

EVERY_OP = """
from support.transforms import close, eager, inputs, reference
def every_op():
    torch.manual_seed(0)
    for subject in SUBJECTS:
        leaves, g = inputs(subject, 'cpu', (4, 5, 6))
        close(eager(subject.call, leaves, g), reference(subject, leaves, g))
    return len(SUBJECTS)
"""
NO_TRITON = """
import sys
class NoTriton:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'triton':
            raise ImportError('no triton here')
sys.meta_path.insert(0, NoTriton())
import torch
"""
NO_DRIVER = """
import torch
torch.version.cuda = '13.0'
def init():
    raise RuntimeError('Found no NVIDIA driver on your system.')
torch._C._cuda_init, torch._C._cuda_getDeviceCount = init, lambda: 0
assert not torch.cuda.is_available()
"""
NO_GPU_IN_TORCH = """
import torch
torch.version.cuda = torch.version.hip = None
for name in [name for name in dir(torch._C) if name.startswith('_cuda_')]:
    delattr(torch._C, name)
assert not torch.backends.cuda.is_built() or not torch.cuda.is_available()
"""
FACTS = "print(_triton.INSTALLED, _triton.INTERPRETED, torch.cuda.is_initialized(), every_op() > 8)"


@pytest.mark.parametrize(
    ("machine", "facts"),
    [
        (NO_TRITON, "False False False True"),
        (NO_DRIVER, "True False False True"),
        (NO_GPU_IN_TORCH, "True False False True"),
    ],
    ids=["no Triton", "no driver", "a torch without GPUs"],
)
def test_every_op_runs_without(machine, facts):
    code = f"{machine}\nfrom support.subjects import SUBJECTS\nfrom triton_acts import _triton\n"
    # without Triton nobody is there to interpret
    asked = {"TRITON_INTERPRET": 1} if machine is NO_TRITON else {}
    assert output(f"{code}{EVERY_OP}{FACTS}", **asked) == facts


def test_a_fork_of_a_process_that_has_imported_can_use_everything():
    """Also a GPU, where there is one: the import has made no CUDA context."""
    code = f"""
import os, torch
from support.subjects import SUBJECTS
{EVERY_OP}
torch.set_num_threads(1)  # as data loaders do: OpenMP's threads do not survive a fork
every_op()
assert not torch.cuda.is_initialized()
pid = os.fork()
if not pid:
    every_op()
    if torch.cuda.is_available():
        import triton_acts
        assert triton_acts.scaled_sigmoid(torch.zeros(9, device='cuda')).sum().item() == 0
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert output(code) == "0"


AGAIN = """
import gc, importlib, sys, torch, triton_acts
from triton_acts.dictionary import _op
x, alpha = torch.randn(2, 3), torch.randn(3, 20)
nodes = torch.linspace(-3, 3, 20)
def step():
    import triton_acts
    leaves = [t.clone().requires_grad_() for t in (x, alpha)]
    made = torch.utils.checkpoint.checkpoint(triton_acts.kaf, *leaves, use_reentrant=False)
    own = torch.ops.triton_acts.kaf(*leaves, None, -3.0, 3.0, 10.0, 1)
    return [made.detach(), *torch.autograd.grad(made.sum() + own.sum(), leaves)]
expected, old = step(), triton_acts.kaf
def check(found):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)
importlib.reload(_op)
check(step())
for keep in (True, False):
    if not keep:
        del old, _op, triton_acts
    for name in [name for name in sys.modules if name.split('.')[0] == 'triton_acts']:
        del sys.modules[name]
    gc.collect()
    check(step())
    import triton_acts
    if keep:
        check([old(x, alpha)] + expected[1:])
gc.collect()
check(step())
print('the same')
"""


def test_reloaded_and_imported_again():
    """As notebooks and test runners do; operators are registered for the whole process."""
    assert output(AGAIN) == "the same"


AT_ONCE = """
import os, sys, torch, triton, triton.language
torch.set_num_threads(1)
sys.pycache_prefix = os.environ['BYTECODE']  # empty: all compile the package and write its bytecode
ready, go = os.pipe()
pids = []
for n in range(50):
    pid = os.fork()
    if not pid:
        os.close(go)
        os.read(ready, 1)  # until the parent closes its end: all begin at that moment
        try:
            import triton_acts
            from triton_acts.tuning import store
            import warnings
            x = torch.ones(8, requires_grad=True)
            (triton_acts.scaled_sigmoid(x) + triton_acts.penalized_tanh(x)).sum().backward()
            triton_acts.kaf(torch.ones(2, 3), torch.ones(3, 20))
            assert x.grad.isfinite().all()
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                assert store.user('toy') is None
        except BaseException as error:
            sys.stderr.write(f'{n}: {error!r}\\n')
            os._exit(1)
        os._exit(0)
    pids.append(pid)
os.close(go)
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids))
"""


def test_fifty_processes_import_at_once(tmp_path):
    """And all write its bytecode, and find the same corrupt file, which one of them moves.

    They are forks of one that has imported torch and Triton: those imports take minutes of CPU.
    """
    configs = tmp_path / "configs"
    configs.mkdir(mode=0o700)
    (configs / "toy.json").write_text("{")
    folders = {"TRITON_ACTS_CONFIG_DIR": configs, "BYTECODE": tmp_path / "bytecode"}
    assert output(AT_ONCE, **folders, PYTHONDONTWRITEBYTECODE="") == "0"
    assert list(tmp_path.rglob("bytecode/**/triton_acts/__init__.*.pyc"))
    assert names(configs) == {"toy.json.corrupt-1", "toy.json.lock"}
