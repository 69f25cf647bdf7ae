"""Values and gradients of every subject under PyTorch's transforms equal the plain formula's.

The reference is float64 and uses autograd alone, never the transform at hand.
"""

import operator
import warnings
from functools import partial

import pytest
import torch
from support.subjects import BRANCHES, SUBJECTS
from support.transforms import PLAIN, TRANSFORMS, close, eager, inputs, reference

import triton_acts
from triton_acts import _triton
from triton_acts.dictionary._composite import definition
from triton_acts.dictionary._kaf import checked_grid

pytestmark = pytest.mark.branches
LEARNED = [subject for subject in SUBJECTS + BRANCHES if subject.row is not None]


def modules(channels):
    """Every module, a layer each."""
    return {
        "scaled_sigmoid": triton_acts.ScaledSigmoid(2.0, 0.5),
        "scaled_sigmoid from output": triton_acts.ScaledSigmoid(save="output"),
        "penalized_tanh": triton_acts.PenalizedTanh(0.1),
        "penalized_tanh per channel": triton_acts.PenalizedTanh(num_parameters=channels),
        "penalized_tanh one weight": triton_acts.PenalizedTanh(num_parameters=1),
        "kaf": triton_acts.KAF(channels, grid=(-2.0, 3.0), gamma=1.5),
        "kaf one row": triton_acts.KAF(1, 5),
    }


@pytest.mark.parametrize("name", PLAIN)
def test_autograd(subject, name, device, launches, runs_kernels):
    """Kernels run where they may, and what autograd does around them changes nothing."""
    leaves, g = inputs(subject, device)
    close(PLAIN[name](subject.call, leaves, g), reference(subject, leaves, g))
    assert bool(launches) == runs_kernels


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(subject, name, device):
    leaves, g = inputs(subject, device)
    close(TRANSFORMS[name](subject.call, leaves, g), reference(subject, leaves, g))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_grad(subject, mode, device, launches, runs_kernels):
    """Leaves that require gradients, and in inference mode inference tensors besides."""
    leaves, g = inputs(subject, device)
    expected = reference(subject, leaves, g)[:1]
    with mode():
        y = subject.call(*(t.requires_grad_() for t in leaves))
        close((y, subject.call(*(t.clone() for t in leaves))), 2 * expected)
    assert not y.requires_grad
    assert bool(launches) == runs_kernels


@pytest.mark.parametrize("how", ["func.jvp", "forward AD"])
def test_tangents(subject, how, device):
    """Of all leaves at once, without a batch around them."""
    leaves, _ = inputs(subject, device)
    tangents = tuple(torch.randn_like(t) for t in leaves)
    wide = [tuple(t.double() for t in group) for group in (leaves, tangents)]
    expected = torch.autograd.functional.jvp(subject.formula, *wide)
    if how == "func.jvp":
        close(torch.func.jvp(subject.call, leaves, tangents), expected)
        return
    with torch.autograd.forward_ad.dual_level():
        duals = map(torch.autograd.forward_ad.make_dual, leaves, tangents)
        close(torch.autograd.forward_ad.unpack_dual(subject.call(*duals)), expected)


def test_hessian(subject, device):
    """Mixed derivatives too."""
    leaves, g = inputs(subject, device, (2, 3))

    def weighted(f, g):
        return lambda *leaves: (f(*leaves) * g).sum()

    wide = tuple(t.double() for t in leaves)
    expected = torch.autograd.functional.hessian(weighted(subject.formula, g.double()), wide)
    found = torch.func.hessian(weighted(subject.call, g), tuple(range(len(leaves))))(*leaves)
    for ours, theirs in zip(found, expected, strict=True):
        close(ours, theirs, rtol=1e-4)


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_vmap_over_x(subject, dim, device, launches):
    """As many batches as any dimension, the gradients within each besides."""
    (x, *weights), _ = inputs(subject, device, (3, 4, 2))
    batch = torch.stack((x, x + 1, -x), dim)
    g = torch.randn_like(x)
    every = [reference(subject, (part, *weights), g) for part in batch.unbind(dim)]
    expected = [torch.stack(column) for column in zip(*every, strict=True)]
    axes = (dim, *[None] * len(weights))
    close((torch.vmap(subject.call, axes)(batch, *weights),), expected[:1])
    each = torch.vmap(lambda *leaves: TRANSFORMS["grad"](subject.call, leaves, g), axes)
    close(each(batch, *weights), expected)
    assert not launches


@pytest.mark.parametrize("learned", LEARNED, ids=lambda subject: subject.name)
@pytest.mark.parametrize("axes", [(None, 0), (None, 1), (0, 0), (1, -1)], ids=str)
def test_vmap_over_weights(learned, axes, device, launches):
    """A batch of weights for one x, and one for a batch of x."""
    leaves, g = inputs(learned, device)
    parts = [
        [t, t, t] if dim is None else [t, 2 * t, -t] for t, dim in zip(leaves, axes, strict=True)
    ]
    every = [reference(learned, own, g) for own in zip(*parts, strict=True)]
    expected = [torch.stack(column) for column in zip(*every, strict=True)]
    batches = [
        t[0] if dim is None else torch.stack(t, dim) for t, dim in zip(parts, axes, strict=True)
    ]
    close((torch.vmap(learned.call, axes)(*batches),), expected[:1])
    each = torch.vmap(lambda *leaves: TRANSFORMS["grad"](learned.call, leaves, g), axes)
    close(each(*batches), expected)
    assert not launches


def test_vmap_of_vmap(subject, device):
    (x, *weights), g = inputs(subject, device)
    batches = torch.stack((x, x + 1, x - 1, 2 * x)).view(2, 2, *x.shape)
    nested = torch.vmap(torch.vmap(lambda x: subject.call(x, *weights)))(batches)
    expected = [reference(subject, (x, *weights), g)[0] for x in batches.flatten(0, 1)]
    close(nested.flatten(0, 1), expected)


# Dynamo sees the composite in every process, so the interpreter's leaves out what costs most
@pytest.mark.parametrize("dynamic", [False] if _triton.INTERPRETED else [False, True])
def test_compiled(subject, dynamic, device, launches):
    """One graph, and with dynamic=True one for all sizes."""
    torch._dynamo.reset()
    graphs, compilations = [], []

    def backend(graph, example):
        graphs.append(graph)
        return torch._dynamo.backends.debugging.aot_eager(graph, example)

    # Sizes of many nodes as symbols take 20 s to compile: rows of x are the only ones then
    rows_alone = dynamic and subject.row is not None and sum(subject.row) > 3
    sizes = None if rows_alone else dynamic
    compiled = torch.compile(subject.call, fullgraph=True, dynamic=sizes, backend=backend)

    def call(x, *weights):
        if rows_alone:
            torch._dynamo.mark_dynamic(x, 0)
        return compiled(x, *weights)

    for rows in (5, 6) if dynamic else (5,):  # no size that another dimension has
        leaves, g = inputs(subject, device, (rows, 4))
        close(eager(call, leaves, g), reference(subject, leaves, g))
        compilations.append(len(graphs))
    assert compilations[0] == compilations[-1] > 0
    assert not launches


def test_compiled_by_inductor(device, launches):
    """One model of the forms that are compiled in seconds."""
    torch._dynamo.reset()
    chosen = [subject for subject in SUBJECTS if subject.row in (None, (), (3,))]
    weights = [w for subject in chosen for w in subject.weights(4, device=device)]

    def model(how, x, *weights):
        rest = list(weights)
        for subject in chosen:
            x = getattr(subject, how)(x, *(rest.pop(0) for _ in subject.weights(4)))
        return x

    leaves, g = (torch.randn(3, 4, device=device), *weights), torch.randn(3, 4, device=device)
    compiled = torch.compile(partial(model, "call"), fullgraph=True)
    wide = [t.double() for t in leaves]
    close(eager(compiled, leaves, g), eager(partial(model, "formula"), wide, g.double()))
    assert not launches


if _triton.INTERPRETED:  # Dynamo sees the composite in every process, and this takes longest
    del test_compiled_by_inductor


class Model(torch.nn.Module):
    """A function as a module."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *leaves):
        return self.f(*leaves)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "not strict"])
def test_exported(subject, strict, device, launches):
    """Export sees PyTorch's own operators, which any runtime has."""
    leaves, g = inputs(subject, device)
    program = torch.export.export(Model(subject.call), leaves, strict=strict)
    targets = {node.target for node in program.graph.nodes if node.op == "call_function"}
    operators = targets - {operator.getitem}  # of what returns several tensors
    assert all(isinstance(t, torch._ops.OpOverload) and t.namespace == "aten" for t in operators)
    leaves, g = inputs(subject, device)
    close(eager(program.module(), leaves, g), reference(subject, leaves, g))
    assert not launches


def test_jit_traced(subject, device, launches):
    leaves, g = inputs(subject, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated; its check calls the function once more
        traced = torch.jit.trace(subject.call, leaves, check_trace=False)
    assert not launches
    leaves, g = inputs(subject, device)
    close(eager(traced, leaves, g), reference(subject, leaves, g))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_autocast(subject, dtype, device, launches, runs_kernels):
    """No operator of ours is on autocast's lists: x keeps its dtype and float32 its digits."""
    leaves, g = inputs(subject, device)
    with torch.autocast(device.type, dtype):
        found = eager(subject.call, leaves, g)
        close(found, reference(subject, leaves, g))
        assert bool(launches) == runs_kernels
        x, *weights = leaves
        leaves, g = (x.to(dtype), *weights), g.to(dtype)
        y, dx, *rest = eager(subject.call, leaves, g)
    expected, rtol = reference(subject, leaves, g), 2 * torch.finfo(dtype).eps
    close((y, dx), expected[:2], rtol, dtype)
    close(rest, expected[2:], rtol)


def curve(x, a):
    return torch.where(x > 0, x.tanh(), a * x.tanh())


FORMULAS = {
    "scaled_sigmoid": lambda x: 2 * x.sigmoid() + 0.5,
    "scaled_sigmoid from output": lambda x: 4 * x.sigmoid() - 2,
    "penalized_tanh": partial(curve, a=0.1),
    "penalized_tanh per channel": curve,
    "penalized_tanh one weight": curve,
    "kaf": partial(definition, dictionary=checked_grid("kaf", (-2.0, 3.0), 1.5, 20)),
    "kaf one row": partial(definition, dictionary=checked_grid("kaf", (-3.0, 3.0), None, 5)),
}


@pytest.mark.parametrize("kind", modules(4))
def test_functional_call(kind, device):
    """Parameters from outside, also a batch of them, as ensembles are trained."""
    module = modules(4)[kind].to(device)
    x = torch.randn(3, 4, device=device)
    names = [name for name, _ in module.named_parameters()]
    twins = [{n: torch.randn_like(module.get_parameter(n)) for n in names} for _ in range(2)]
    expected = []
    for twin in twins:
        own, wide = [w.double() for w in twin.values()], x.double()
        expected.append(
            eager(lambda x, own=own: FORMULAS[kind](x, *own), (wide,), torch.ones_like(wide))
        )
        call = partial(torch.func.functional_call, module, twin)
        close(eager(call, (x,), torch.ones_like(x)), expected[-1])
    stacked = {n: torch.stack([twin[n] for twin in twins]) for n in names}

    def each(weights):
        y = torch.func.functional_call(module, weights, (x,))
        return y, torch.func.grad(
            lambda x: torch.func.functional_call(module, weights, (x,)).sum()
        )(x)

    found = torch.vmap(each)(stacked) if names else [t.expand(2, 3, 4) for t in each({})]
    close(found, [torch.stack(column) for column in zip(*expected, strict=True)])


PUBLIC = [subject for subject in SUBJECTS if hasattr(triton_acts, subject.op)]


@pytest.mark.parametrize("public", PUBLIC, ids=lambda subject: subject.name)
def test_symbolically_traced_functions(public, device, launches, runs_kernels):
    """torch.fx sees one node, whose call runs the kernels."""

    class Learned(torch.nn.Module):
        def forward(self, x, w):
            return public.call(2 * x, w) + 1

    class Fixed(torch.nn.Module):
        def forward(self, x):
            return public.call(2 * x) + 1

    leaves, g = inputs(public, device)
    traced = torch.fx.symbolic_trace((Fixed, Learned)[len(leaves) - 1]())
    function = getattr(triton_acts, public.op)
    assert [node.target for node in traced.graph.nodes].count(function) == 1
    y, dx, *rest = reference(public, (2 * leaves[0], *leaves[1:]), g)
    close(eager(traced, leaves, g), (y + 1, 2 * dx, *rest))
    assert bool(launches) == runs_kernels


def test_symbolically_traced_modules(device):
    """A model of all modules: the graph's parameters are the model's, and it trains as it does."""
    layers = [layer for m in modules(4).values() for layer in (torch.nn.Linear(4, 4), m)]
    model = torch.nn.Sequential(*layers).to(device)
    traced = torch.fx.symbolic_trace(model)
    assert dict(traced.named_parameters()).keys() == dict(model.named_parameters()).keys()
    x = torch.randn(3, 4, device=device)
    found = []
    for f in (model, traced):
        f.zero_grad()
        y = f(x)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in f.parameters())])
    for a, b in zip(*found, strict=True):
        assert torch.equal(a, b)
