"""What the battery attacks: every form of every public function, beside its plain formula.

An activation that joins `pointwise.ALL` or `ALL_PER_CHANNEL` is in, without a line here.
`BRANCHES` are the same functions with parameters that take other ways through the composites.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import triton_acts
from triton_acts.dictionary._composite import Dictionary, Nodes, along, definition
from triton_acts.dictionary._kaf import checked_grid
from triton_acts.pointwise import ALL, ALL_PER_CHANNEL, PerChannel, Pointwise
from triton_acts.pointwise._define import apply
from triton_acts.pointwise._per_channel import apply_per_channel

__all__ = ["BRANCHES", "SUBJECTS", "Subject"]

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Subject:
    """One form of one activation.

    Attributes:
        name: for test ids; begins with the op's name.
        op: the op's name.
        call: the public function, of (x, *weights).
        formula: the plain PyTorch definition, of the same arguments: any floating dtype, every
            transform, any order of derivatives. Called in float64 it is the reference.
        row: shape of a channel's row of the weight, or None where there is no weight.
        shared: whether the weight has one row for all channels.
        from_output: whether backward works from the output.
        dictionary: KAF's.
        channel_dim: the dimension of x that rows of the weight run along.
    """

    name: str
    op: str
    call: Function
    formula: Function
    row: tuple[int, ...] | None = None
    shared: bool = False
    from_output: bool = False
    dictionary: Dictionary | None = None
    channel_dim: int = 1

    def weights(
        self, channels: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Normal weights: a row a channel, one in all, or none."""
        if self.row is None:
            return ()
        rows = 1 if self.shared else channels
        return (torch.randn(rows, *self.row, dtype=dtype, device=device),)


def _pointwise(
    op: Pointwise, suffix: str, save: str = "input", params: tuple[float, ...] = ()
) -> Subject:
    public, values = getattr(triton_acts, op.name, None), params or op.defaults

    def call(x: Tensor) -> Tensor:
        return public(x, *params, save=save) if public else apply(op, x, values, save)

    def formula(x: Tensor) -> Tensor:
        return op.composite(x, *values)

    return Subject(op.name + suffix, op.name, call, formula, from_output=save == "output")


def _per_channel(op: PerChannel, suffix: str, shared: bool, channel_dim: int = 1) -> Subject:
    public = getattr(triton_acts, op.name, None)

    def call(x: Tensor, w: Tensor) -> Tensor:
        return public(x, w, channel_dim) if public else apply_per_channel(op, x, w, channel_dim)

    def formula(x: Tensor, w: Tensor) -> Tensor:
        return op.composite(x, along(w, x, channel_dim))

    name = f"{op.name} {suffix}"
    return Subject(name, op.name, call, formula, (), shared, channel_dim=channel_dim)


def _kaf(name: str, nodes: int, *, shared: bool = False, free: bool = False) -> Subject:
    if free:
        positions = (torch.linspace(-3, 3, nodes).sinh() / 3).bfloat16().double()  # in every dtype
        dictionary: Dictionary = Nodes(positions, 2.0)

        def listed(x: Tensor) -> Tensor:
            return positions.to(x)

        def call(x: Tensor, alpha: Tensor) -> Tensor:
            return triton_acts.kaf(x, alpha, nodes=listed(x), gamma=2.0)

        def formula(x: Tensor, alpha: Tensor) -> Tensor:
            return definition(x, alpha, Nodes(listed(x), 2.0))
    else:
        dictionary = checked_grid("kaf", (-3.0, 3.0), None, nodes)
        call = triton_acts.kaf
        formula = partial(definition, dictionary=dictionary)
    return Subject(f"kaf {name}", "kaf", call, formula, (nodes,), shared, dictionary=dictionary)


def _kaf_elsewhere(
    nodes: int, grid: tuple[float, float], gamma: float, channel_dim: int
) -> Subject:
    own = checked_grid("kaf", grid, gamma, nodes)

    def call(x: Tensor, alpha: Tensor) -> Tensor:  # with a name, which torch.jit asks for
        return triton_acts.kaf(x, alpha, grid=grid, gamma=gamma, channel_dim=channel_dim)

    formula = partial(definition, dictionary=own, channel_dim=channel_dim)
    name = f"kaf of {grid} along {channel_dim}"
    return Subject(name, "kaf", call, formula, (nodes,), dictionary=own, channel_dim=channel_dim)


SUBJECTS: list[Subject] = [
    *(_pointwise(op, "") for op in ALL),
    *(_pointwise(op, " from output", "output") for op in ALL),
    *(_per_channel(op, "per channel", shared=False) for op in ALL_PER_CHANNEL),
    *(_per_channel(op, "one weight", shared=True) for op in ALL_PER_CHANNEL),
    _kaf("d20", 20),
    _kaf("d20 one row", 20, shared=True),
    _kaf("few nodes", 3),
    _kaf("many anchors", 41),
    _kaf("free nodes", 7, free=True),
]

# Parameters that take other ways through the composites, their values within float16; of another
# op its last example
_OTHER = {"scaled_sigmoid": [(4.0, 1.0), (1e5, -49999.0)], "penalized_tanh": [(-0.5,), (2.0,)]}
_ACROSS = -2  # neither the default nor a dimension that all shapes count alike

# The same functions with other parameters, for tests that are marked `branches`
BRANCHES: list[Subject] = [
    *(
        _pointwise(op, f" of {params}", params=params)
        for op in ALL
        for params in _OTHER.get(op.name, op.examples[-1:])
    ),
    *(_per_channel(op, f"along {_ACROSS}", False, _ACROSS) for op in ALL_PER_CHANNEL),
    _kaf_elsewhere(3, (-1.0, 2.0), 0.5, _ACROSS),
]
