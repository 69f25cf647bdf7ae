"""Who competes in a case: triton_acts, the eager formula, torch.compile of either, and peers.

Each is checked against float64 before anything is timed. Peers do the nearest work that other
packages have, not the same; their rows say so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch._functorch import config as functorch_config

from perf.cases import Case
from perf.check import Inputs, Reference, disagreement
from perf.ops import Formula
from perf.peers import Peer, peer_error, peers_of
from perf.units import TOLERANCE
from triton_acts.tuning.clocks import Call

__all__ = ["PROVIDERS", "Prepared", "one_line", "prepare"]

GRAPH_CALLS = 20  # calls in one replayed graph


@dataclass(frozen=True)
class Prepared:
    """A provider that is ready to be timed, or the reason why it is not.

    Attributes:
        call: the work, or None.
        max_err: largest disagreement with float64, NaN where nothing ran.
        status: "ok", "ok: different work, ...", "wrong", "not installed: ...", "not available: ..."
            or "failed: ...".
        calls: units of work in one call.
    """

    call: Call | None
    max_err: float
    status: str
    calls: int = 1


def _ours(case: Case) -> Formula:
    return case.op.ours


def _eager(case: Case) -> Formula:
    return case.op.eager


def _compiled(case: Case) -> Formula:
    return _compile(case.op.eager)


def _ours_compiled(case: Case) -> Formula:
    return _compile(case.op.ours)


def _compile(formula: Formula) -> Formula:
    """Compiled for one case: code of its own, as 8 shapes of the same code are the limit."""

    def own(*tensors: Tensor) -> Tensor:
        return formula(*tensors)

    own.__code__ = own.__code__.replace()  # what has been compiled is found by the code object
    return torch.compile(own, fullgraph=True, dynamic=False)


PROVIDERS: dict[str, Callable[[Case], Formula]] = {
    "triton_acts": _ours,
    "eager": _eager,
    "torch.compile": _compiled,
    "triton_acts compiled": _ours_compiled,
}


def prepare(case: Case, inputs: Inputs, expected: Reference) -> dict[str, Prepared]:
    """The case's providers by name, each checked.

    Nothing may reset torch.compile as long as they are called: it would compile them again.
    """
    found = {name: _prepare(name, case, inputs, expected) for name in case.providers}
    if case.peers:
        found |= {peer.name: _prepare_peer(peer, case, inputs) for peer in peers_of(case.op)}
    return found


def _prepare_peer(peer: Peer, case: Case, inputs: Inputs) -> Prepared:
    """A peer's call, checked against its own formula."""
    try:
        weights = peer.weights(inputs.x)
        own = replace(inputs, weights=weights)
        call, results = _work(case, own, peer.load())
        error = peer_error(peer, case, own, results)
    except ModuleNotFoundError as problem:
        return Prepared(None, math.nan, f"not installed: {problem.name} of {peer.package}")
    except Exception as problem:
        kind = "failed" if inputs.x.is_cuda else "not available: needs a GPU"
        return Prepared(None, math.nan, f"{kind}: {one_line(problem)}")
    if not error <= TOLERANCE:
        return Prepared(None, error, "wrong")
    return Prepared(call, error, f"ok: different work, {peer.formula}")


def _prepare(name: str, case: Case, inputs: Inputs, expected: Reference) -> Prepared:
    """Builds a provider's call, runs it once and compares the result with float64."""
    try:
        stream = torch.cuda.Stream() if case.mode == "graph-replayed" else None
        formula = PROVIDERS[name](case)
        with _on(stream):  # a backward runs on the stream of its forward, which is captured
            call, results = _work(case, inputs, formula)
        error = disagreement(case, inputs, expected, results)
    except Exception as problem:
        kind = "not available" if _missing(name, problem) else "failed"
        return Prepared(None, math.nan, f"{kind}: {one_line(problem)}")
    if not error <= TOLERANCE:
        return Prepared(None, error, "wrong")
    if stream is not None:
        try:
            return Prepared(_graph(call, stream), error, "ok", GRAPH_CALLS)
        except RuntimeError as problem:
            return Prepared(None, error, f"not available: no graph: {one_line(problem)}")
    return Prepared(call, error, "ok")


def one_line(problem: Exception) -> str:
    """The type of an exception, and the first and last line of its text."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or [""]
    return f"{type(problem).__name__}: {' ... '.join(dict.fromkeys((lines[0], lines[-1])))}"


def _missing(name: str, problem: Exception) -> bool:
    """True for what a machine lacks, a compiler or memory; false for faults of ours."""
    compiled = name in ("torch.compile", "triton_acts compiled")
    return compiled or isinstance(problem, torch.OutOfMemoryError)


def _work(case: Case, inputs: Inputs, formula: Formula) -> tuple[Call, tuple[Tensor, ...]]:
    """The call to time, and its results from a first run.

    The caller has switched gradients off: a switch inside the call would be timed.
    """
    if case.direction == "forward":

        def forward() -> Tensor:
            return formula(inputs.x, *inputs.weights)

        return forward, (forward(),)
    leaves = tuple(t.detach().requires_grad_() for t in (inputs.x, *inputs.weights))
    if case.direction == "forward+backward":

        def step() -> tuple[Tensor, ...]:
            with torch.enable_grad():  # 1 us, for every provider
                return torch.autograd.grad(formula(*leaves), leaves, inputs.g)

        return step, step()
    with torch.enable_grad(), functorch_config.patch(donated_buffer=False):
        y = formula(*leaves)

        def backward() -> tuple[Tensor, ...]:
            return torch.autograd.grad(y, leaves, inputs.g, retain_graph=True)

        return backward, backward()


@contextmanager
def _on(stream: torch.cuda.Stream | None) -> Iterator[None]:
    """Work goes to that stream, after what the current one has and before what it gets; or None."""
    if stream is None:
        yield
        return
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        yield
    torch.cuda.current_stream().wait_stream(stream)


def _graph(call: Call, stream: torch.cuda.Stream) -> Call:
    """`GRAPH_CALLS` calls as one CUDA graph: device time without any launch cost."""
    with _on(stream):
        call()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        for _ in range(GRAPH_CALLS):
            call()
    return graph.replay
