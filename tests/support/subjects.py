"""What the battery attacks: every form of every public function, beside its plain formula.

An activation that joins `pointwise.ALL` or `ALL_PER_CHANNEL` is in, without a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

import triton_acts
from triton_acts.dictionary._composite import Dictionary, Nodes, definition
from triton_acts.dictionary._kaf import checked_grid
from triton_acts.pointwise import ALL, ALL_PER_CHANNEL, PerChannel, Pointwise
from triton_acts.pointwise._define import apply
from triton_acts.pointwise._per_channel import apply_per_channel

__all__ = ["SUBJECTS", "Subject", "along"]

Function = Callable[..., Tensor]


@dataclass(frozen=True)
class Subject:
    """One form of one activation.

    Attributes:
        name: for test ids; begins with the op's name.
        op: the op's name.
        call: the public function, of (x, *weights), channels in dimension 1.
        formula: the plain PyTorch definition, of the same arguments: any floating dtype, every
            transform, any order of derivatives. Called in float64 it is the reference.
        row: shape of a channel's row of the weight, or None where there is no weight.
        shared: whether the weight has one row for all channels.
        from_output: whether backward works from the output.
        dictionary: KAF's.
    """

    name: str
    op: str
    call: Function
    formula: Function
    row: tuple[int, ...] | None = None
    shared: bool = False
    from_output: bool = False
    dictionary: Dictionary | None = None

    def weights(
        self, channels: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """Normal weights: a row a channel, one in all, or none."""
        if self.row is None:
            return ()
        rows = 1 if self.shared else channels
        return (torch.randn(rows, *self.row, dtype=dtype, device=device),)


def along(w: Tensor, x: Tensor) -> Tensor:
    """A weight of [C] or [1], broadcasting along x's dimension 1."""
    if w.shape[0] == 1:
        return w if x.dim() else w.view(())
    return w.view(-1, *[1] * (x.dim() - 2))


def _pointwise(op: Pointwise) -> list[Subject]:
    public = getattr(triton_acts, op.name, None)
    found = []
    for save in ("input", "output"):

        def call(x: Tensor, save: str = save) -> Tensor:
            return public(x, save=save) if public else apply(op, x, op.defaults, save)

        def formula(x: Tensor) -> Tensor:
            return op.composite(x, *op.defaults)

        suffix = "" if save == "input" else " from output"
        output = save == "output"
        found.append(Subject(f"{op.name}{suffix}", op.name, call, formula, from_output=output))
    return found


def _per_channel(op: PerChannel) -> list[Subject]:
    public = getattr(triton_acts, op.name, None)

    def call(x: Tensor, w: Tensor) -> Tensor:
        return public(x, w) if public else apply_per_channel(op, x, w, 1)

    def formula(x: Tensor, w: Tensor) -> Tensor:
        return op.composite(x, along(w, x))

    return [
        Subject(f"{op.name} {how}", op.name, call, formula, (), shared)
        for how, shared in (("per channel", False), ("one weight", True))
    ]


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


SUBJECTS: list[Subject] = [
    *(subject for op in ALL for subject in _pointwise(op)),
    *(subject for op in ALL_PER_CHANNEL for subject in _per_channel(op)),
    _kaf("d20", 20),
    _kaf("d20 one row", 20, shared=True),
    _kaf("few nodes", 3),
    _kaf("many anchors", 41),
    _kaf("free nodes", 7, free=True),
]
