"""Who competes in a case: triton_acts, the eager formula and torch.compile of the formula.

Each is checked against float64 before anything is timed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch._functorch import config as functorch_config

from perf.cases import Case, Formula
from triton_acts.tuning.timing import Call

__all__ = [
    "PROVIDERS",
    "Inputs",
    "Prepared",
    "Reference",
    "disagreement",
    "make_inputs",
    "one_line",
    "prepare",
    "reference",
]

TOLERANCE = 8.0  # in the unit of `disagreement`; the worst eager spelling needs 3
GRAPH_CALLS = 20  # calls in one replayed graph
CHUNK_NUMEL = 1 << 24  # elements that are compared with float64 at a time


@dataclass(frozen=True)
class Inputs:
    """The tensors of a case, and what x and the weights need for a gradient.

    Attributes:
        x: N(0, 1), of the case's shape, dtype and layout.
        weights: (a,) of shape (C,) in x's dtype, or ().
        g: incoming gradient, N(2, 1), so that sums over it do not cancel and can be checked.
    """

    x: Tensor
    weights: tuple[Tensor, ...]
    g: Tensor


@dataclass(frozen=True)
class Prepared:
    """A provider that is ready to be timed, or the reason why it is not.

    Attributes:
        call: the work, or None.
        max_err: largest disagreement with float64, NaN where nothing ran.
        status: "ok", "wrong", "not available: ..." or "failed: ...".
        calls: units of work in one call.
    """

    call: Call | None
    max_err: float
    status: str
    calls: int = 1


def make_inputs(case: Case, device: torch.device, seed: int) -> Inputs:
    """Random tensors on the device; never zeros, which need less power and run faster."""
    generator = torch.Generator(device=device).manual_seed(seed)
    layout = getattr(torch, case.shape.layout.replace("contiguous", "contiguous_format"))

    def normal(*sizes: int) -> Tensor:
        values = torch.empty(sizes, dtype=case.dtype, device=device)
        if len(sizes) == 4:
            values = values.to(memory_format=layout)
        return values.normal_(generator=generator)

    x = normal(*case.sizes)
    weights = (normal(case.sizes[1]) * 0.25,) if case.op.weight_derivative else ()
    return Inputs(x, weights, normal(*case.sizes).add_(2))


def _ours(case: Case) -> Formula:
    return case.op.ours


def _eager(case: Case) -> Formula:
    return case.op.eager


def _compiled(case: Case) -> Formula:
    torch._dynamo.reset()
    return torch.compile(case.op.eager, fullgraph=True, dynamic=False)


PROVIDERS: dict[str, Callable[[Case], Formula]] = {
    "triton_acts": _ours,
    "eager": _eager,
    "torch.compile": _compiled,
}


def prepare(name: str, case: Case, inputs: Inputs, expected: Reference) -> Prepared:
    """Builds a provider's call, runs it once and compares the result with float64."""
    try:
        formula = PROVIDERS[name](case)
        call, results = _work(case, inputs, formula)
        error = disagreement(case, inputs, expected, results)
    except Exception as problem:
        kind = "not available" if _missing(name, problem) else "failed"
        return Prepared(None, math.nan, f"{kind}: {one_line(problem)}")
    if not error <= TOLERANCE:
        return Prepared(None, error, "wrong")
    if case.mode == "graph-replayed":
        try:
            return Prepared(_graph(call), error, "ok", GRAPH_CALLS)
        except RuntimeError as problem:
            return Prepared(None, error, f"not available: no graph: {one_line(problem)}")
    return Prepared(call, error, "ok")


def one_line(problem: Exception) -> str:
    """The type of an exception, and the first and last line of its text."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or [""]
    return f"{type(problem).__name__}: {' ... '.join(dict.fromkeys((lines[0], lines[-1])))}"


def _missing(name: str, problem: Exception) -> bool:
    """True for what a machine lacks, a compiler or memory; false for faults of ours."""
    return name == "torch.compile" or isinstance(problem, torch.OutOfMemoryError)


def _work(case: Case, inputs: Inputs, formula: Formula) -> tuple[Call, tuple[Tensor, ...]]:
    """The call to time, and its results from a first run.

    The caller has switched gradients off: a switch inside the call would be timed.
    """
    if case.direction == "forward":

        def forward() -> Tensor:
            return formula(inputs.x, *inputs.weights)

        return forward, (forward(),)
    leaves = tuple(t.detach().requires_grad_() for t in (inputs.x, *inputs.weights))
    with torch.enable_grad(), functorch_config.patch(donated_buffer=False):
        y = formula(*leaves)

        def backward() -> tuple[Tensor, ...]:
            return torch.autograd.grad(y, leaves, inputs.g, retain_graph=True)

        return backward, backward()


def _graph(call: Call) -> Call:
    """`GRAPH_CALLS` calls as one CUDA graph: device time without any launch cost."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(GRAPH_CALLS):
            call()
    return graph.replay


@dataclass(frozen=True)
class Reference:
    """What a case's results should be, in float64.

    Attributes:
        elementwise: y or dx, in pieces of `rows` batch entries.
        rows: batch entries of a piece.
        weights: the weights' gradients, or ().
    """

    elementwise: tuple[Tensor, ...]
    rows: int
    weights: tuple[Tensor, ...] = ()


@torch.no_grad()
def reference(case: Case, inputs: Inputs) -> Reference:
    """Computes the results in float64, by the plain definitions."""
    op, backward = case.op, case.direction == "backward"
    weights = [w.double() for w in inputs.weights]
    rows = max(1, CHUNK_NUMEL * len(inputs.x) // case.numel)
    pieces = []
    total = torch.zeros(case.sizes[1], dtype=torch.float64, device=inputs.x.device)
    for x, g in zip(inputs.x.split(rows), inputs.g.split(rows), strict=True):
        x64, g64 = x.double(), g.double()
        pieces.append(
            g64.mul(op.derivative(x64, *weights)) if backward else op.reference(x64, *weights)
        )
        if backward and op.weight_derivative:
            total += (g64 * op.weight_derivative(x64, *weights)).sum(dim=(0, 2, 3))
    return Reference(tuple(pieces), rows, (total,) if backward and op.weight_derivative else ())


@torch.no_grad()
def disagreement(
    case: Case, inputs: Inputs, expected: Reference, results: tuple[Tensor, ...]
) -> float:
    """The largest error against float64, in units of eps(dtype) x max(1, |reference|).

    The gradient of a weight is a sum; its unit is eps(dtype) + sqrt(n) eps(float32), times the
    magnitude of the sum of its n terms, which do not cancel. Infinite where shapes, dtypes or NaNs
    disagree.
    """
    like = (inputs.x, *inputs.weights) if case.direction == "backward" else (inputs.x,)
    if [(r.shape, r.dtype) for r in results] != [(t.shape, t.dtype) for t in like]:
        return math.inf
    eps = torch.finfo(case.dtype).eps
    errors = []
    pieces = results[0].split(expected.rows)
    for y, right in zip(pieces, expected.elementwise, strict=True):
        unit = right.abs().clamp_(min=1)
        errors.append(y.double().sub_(right).abs_().div_(unit).max() / eps)
    for result, right in zip(results[1:], expected.weights, strict=True):
        terms = case.numel / case.sizes[1]
        unit = (eps + math.sqrt(terms) * torch.finfo(torch.float32).eps) * right.abs()
        errors.append((result.double() - right).abs().div(unit).max())
    worst = torch.stack(errors).max().item()  # NaN wins a maximum
    return worst if worst == worst else math.inf
