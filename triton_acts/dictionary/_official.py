"""Checkpoints of the authors' PyTorch code, github.com/ispamm/kernel-activation-functions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ._gridding import Grid
from ._kaf import checked_grid

__all__ = ["read"]

_KEYS = ("alpha", "dict", "gamma")
_UNIFORM = 1e-6  # of the largest node; nodes rounded to float32 are off by 6e-8


def read(state_dict: Mapping[str, Tensor]) -> tuple[Tensor, Grid]:
    """Reads a KAF layer's state dict.

    Args:
        state_dict: `alpha` of shape (1, C, D) or (1, C, 1, 1, D); `dict`, D nodes, and `gamma`,
            equal numbers, both of any shape.

    Returns:
        alpha, [C, D], and the dictionary.

    Raises:
        TypeError: state_dict is no mapping of tensors.
        ValueError: keys are missing or unknown; alpha has another shape; the nodes are not D, or
            not uniform and increasing; gamma is not one positive number.
        NotImplementedError: gamma alone is missing, as for the kernels 'relu' and 'softplus'.
    """
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"KAF: a state dict is a mapping, got {type(state_dict).__name__}")
    if set(state_dict) == {"alpha", "dict"}:
        raise NotImplementedError(
            "KAF: a checkpoint without 'gamma' is one of the kernels 'relu' and 'softplus', which "
            "are not supported; a Gaussian one from before 2019 can be read with a tensor gamma of "
            "1/(8 delta^2) added to the state dict, delta being the distance of two nodes"
        )
    if set(state_dict) != set(_KEYS):
        raise ValueError(
            f"KAF: the state dict of one layer has the keys {_KEYS}, got {sorted(state_dict)}; of "
            f"a model's, pass the layer's part without its prefix (and to load one of triton_acts' "
            f"own, use load_state_dict)"
        )
    for key, value in state_dict.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"KAF: {key!r} must be a torch.Tensor, got {type(value).__name__}")
    alpha, nodes, gamma = (state_dict[key].detach() for key in _KEYS)
    shape = tuple(alpha.shape)
    if len(shape) not in (3, 5) or shape[0] != 1 or shape[2:-1] not in ((), (1, 1)):
        raise ValueError(f"KAF: alpha must be (1, C, D) or (1, C, 1, 1, D), got {shape}")
    return alpha.reshape(shape[1], shape[-1]), _grid(nodes.flatten(), gamma.flatten(), shape[-1])


def _grid(nodes: Tensor, gamma: Tensor, num_nodes: int) -> Grid:
    if len(nodes) != num_nodes:
        raise ValueError(
            f"KAF: alpha has {num_nodes} weights a channel but dict {len(nodes)} nodes"
        )
    if not len(gamma) or not (gamma == gamma[0]).all():
        raise ValueError(f"KAF: gamma must be the same for all nodes, got {gamma.tolist()}")
    positions = nodes.to("cpu", torch.float64)
    grid = checked_grid(
        "KAF", (positions[0].item(), positions[-1].item()), gamma[0].item(), num_nodes
    )
    uniform = torch.linspace(grid.lo, grid.hi, num_nodes, dtype=torch.float64, device="cpu")
    distance = (positions - uniform).abs().max().item()
    if not distance <= _UNIFORM * positions.abs().max().item():
        raise ValueError(
            f"KAF: dict must be uniform, got nodes up to {distance} from it: {positions.tolist()}"
        )
    return grid
