"""Trains a model with KAF under DDP and FSDP2, on two CPU processes.

python -m torch.distributed.run --nproc-per-node 2 --standalone docs/examples/distributed.py

On GPUs: torch.cuda.set_device(int(os.environ["LOCAL_RANK"])), the backend "nccl", a mesh of "cuda",
and model and data on it; the rest stays.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import triton_acts as ta
from triton_acts import kaf_tools


def make_model() -> nn.Module:
    """The same in every process, since the seed is."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
    )
    replacements = {nn.ReLU: "kaf_fitted", nn.Tanh: ta.PenalizedTanh(num_parameters=32)}
    return ta.swap(model, replacements).model  # before wrapping, and before the optimizer


def ddp(model: nn.Module) -> nn.Module:
    """A copy in every process; gradients are averaged."""
    return DistributedDataParallel(model)


def fsdp2(model: nn.Module) -> nn.Module:
    """Every process keeps its part of the weights, alpha among them."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.children():
        if any(True for _ in layer.parameters()):
            fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def train(model: nn.Module) -> tuple[float, float]:
    """The loss before and after 40 steps; each process has a batch of its own."""
    optimizer = torch.optim.AdamW(kaf_tools.param_groups(model, 0.01), lr=0.02)
    draw = torch.Generator().manual_seed(dist.get_rank())
    x = torch.randn(256, 4, generator=draw)
    y = (x[:, :1] * x[:, 1:2]).sin()
    losses = []
    for _ in range(40):
        loss = nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses[0], losses[-1]


def held(model: nn.Module) -> int:
    """How many numbers of the model this process keeps."""
    parts = (p.to_local() if isinstance(p, DTensor) else p for p in model.parameters())
    return sum(part.numel() for part in parts)


if __name__ == "__main__":
    dist.init_process_group("gloo")
    for wrap in (ddp, fsdp2):
        model = wrap(make_model())
        before, after = train(model)
        if dist.get_rank() == 0:
            print(f"{wrap.__name__}: {held(model)} weights, loss {before:.3f}, then {after:.3f}")
    dist.destroy_process_group()
