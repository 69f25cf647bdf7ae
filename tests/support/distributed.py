"""What each of two gloo processes checks; run as `python -m support.distributed STORE RANK`.

Prints the name of each part when it begins, so that a hang has one, and fails at the first error.
"""

from __future__ import annotations

import copy
import datetime
import sys

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import (
    DTensor,
    Partial,
    Replicate,
    Shard,
    distribute_tensor,
    init_device_mesh,
)

import triton_acts

from .networks import Formula
from .subjects import SUBJECTS
from .transforms import close, inputs, reference

WORLD = 2
LIMIT = datetime.timedelta(seconds=120)


def model():
    """All modules between linear layers, the same weights in every process."""
    torch.manual_seed(1)
    modules = [
        triton_acts.ScaledSigmoid(),
        triton_acts.PenalizedTanh(save="output"),
        triton_acts.PenalizedTanh(num_parameters=6),
        triton_acts.PenalizedTanh(num_parameters=1),
        triton_acts.KAF(6),
        triton_acts.KAF(1),
    ]
    layers = [layer for module in modules for layer in (torch.nn.Linear(6, 6), module)]
    return torch.nn.Sequential(*layers)


def trained(net, x, target):
    """After one step, parameters in one piece."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    torch.nn.functional.mse_loss(net(x), target).backward()
    optimizer.step()
    return [(p.full_tensor() if isinstance(p, DTensor) else p).detach() for p in net.parameters()]


def data_parallel(rank, wrap):
    """Each process has half of the batch; parameters become those of a plain float64 model."""
    x, target = torch.randn(2, 2 * WORLD, 6, generator=torch.Generator().manual_seed(2))
    plain = torch.nn.Sequential(
        *(Formula(m) if i % 2 else m for i, m in enumerate(copy.deepcopy(model())))
    )
    for part in plain.modules():  # also what a module keeps in float32 by itself
        for name, p in part.named_parameters(recurse=False):
            setattr(part, name, torch.nn.Parameter(p.detach().double()))
    own = slice(2 * rank, 2 * rank + 2)
    found = trained(wrap(model()), x[own], target[own])
    close(found, trained(plain, x.double(), target.double()))
    before = [p.detach() for p in model().parameters()]
    assert all((a != b).any() for a, b in zip(found, before, strict=True))


def sharded(net, mesh):
    """FSDP2, every layer on its own and the rest together."""
    for layer in net:
        if list(layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(net, mesh=mesh)


def placements(subject):
    """(x, weight, y) in each way that needs no communication in forward, or one that is done."""
    rows = [] if subject.row is None else [Replicate()]
    channels = [] if subject.row is None else [Replicate() if subject.shared else Shard(0)]
    yield Shard(0), rows
    yield Shard(1), channels
    yield Replicate(), rows
    yield Partial(), rows
    if channels:
        yield Shard(0), channels  # not as x is cut: communicated


def distributed_tensors(mesh):
    """Every subject, placement and placement of the gradient."""
    for subject in SUBJECTS:
        for own, weights in placements(subject):
            torch.manual_seed(3)
            leaves, g = inputs(subject, "cpu", (4, 6))
            expected = reference(subject, leaves, g)
            ways = [own, *weights]
            parts = [
                _cut(t, mesh, way).requires_grad_() for t, way in zip(leaves, ways, strict=True)
            ]
            y = subject.call(*parts)
            assert isinstance(y, DTensor)
            assert own.is_partial() or y.placements == (own,)
            for incoming in (y.placements[0], Replicate(), Partial()):
                found = torch.autograd.grad(y, parts, _cut(g, mesh, incoming), retain_graph=True)
                close([t.full_tensor().detach() for t in (y, *found)], expected)


def _cut(tensor, mesh, way):
    """Distributed; the terms of a partial one differ."""
    if not way.is_partial():
        return distribute_tensor(tensor, mesh, [way])
    share = 0.25 if dist.get_rank() else 0.75
    return DTensor.from_local(share * tensor, mesh, [way])


def main(store, rank):
    """All parts, one after the other."""
    dist.init_process_group(
        "gloo", store=dist.FileStore(store, WORLD), rank=rank, world_size=WORLD, timeout=LIMIT
    )
    mesh = init_device_mesh("cpu", (WORLD,))
    parts = {
        "DTensor": lambda: distributed_tensors(mesh),
        "DDP": lambda: data_parallel(rank, torch.nn.parallel.DistributedDataParallel),
        "FSDP2": lambda: data_parallel(rank, lambda net: sharded(net, mesh)),
    }
    for name, part in parts.items():
        print(f"begin {name}", flush=True)  # noqa: T201
        part()
        print(f"passed {name}", flush=True)  # noqa: T201
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(sys.argv[1], int(sys.argv[2]))
