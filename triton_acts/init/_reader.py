"""Reading the square of an activation, or of its derivative, at given points."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from triton_acts.dictionary import KAF
from triton_acts.pointwise import PenalizedTanh

__all__ = ["Reader", "channels"]


def channels(function: Any) -> tuple[int, int]:
    """How many channels a module has, and in which dimension; (1, 1) where it has none."""
    found = [(1, 1)]
    for module in function.modules() if isinstance(function, torch.nn.Module) else ():
        if isinstance(module, KAF):
            found.append((module.alpha.shape[0], module.channel_dim))
        elif isinstance(module, PenalizedTanh) and module.num_parameters:
            found.append((module.num_parameters, module.channel_dim))
        elif isinstance(module, torch.nn.PReLU):
            found.append((module.num_parameters, 1))
    return max(found)


@dataclass
class Reader:
    """The mean over channels of f(x)^2 or f'(x)^2, from points x of shape [n] in float64."""

    subject: str
    function: Callable[..., Any]
    channels: int
    channel_dim: int
    backward: bool
    dtype: torch.dtype = torch.float64

    @property
    def what(self) -> str:
        return "the derivative" if self.backward else "the value"

    def settled(self) -> Reader:
        """A reader in the widest dtype that the function takes.

        Raises:
            ValueError: no dtype fits; values change with their neighbours, or by themselves.
        """
        columns = 4 if self.channels == 1 else self.channels  # neighbours in every dimension
        for dtype in (torch.float64, torch.float32):
            function = _copy(self.function, dtype)
            probe = replace(self, function=function, dtype=dtype, channels=columns)
            x = probe._spread(torch.linspace(-2.5, 2.4, 8, dtype=torch.float64, device="cpu"))
            try:
                with torch.no_grad():
                    function(x.clone())
            except Exception as error:  # whatever a stranger's function raises
                cause = error
            else:
                probe._refuse_mixing(x)
                return replace(probe, channels=self.channels)
        raise ValueError(
            f"calculate_gain: {self.subject} cannot be evaluated on a CPU tensor of float64 or "
            f"float32 and shape {tuple(x.shape)}: {cause}"
        ) from cause

    def __call__(self, points: Tensor) -> Tensor:
        values = self._values(self._spread(points)).double()
        finite = values.isfinite()
        if not finite.all():
            x = self._spread(points)[~finite][0].item()
            raise ValueError(
                f"calculate_gain: {self.what} of {self.subject} is "
                f"{values[~finite][0].item()} at x = {x:.6g}; it must be finite everywhere"
            )
        rows = values.square().movedim(self._place()[1], 0)
        return rows.reshape(len(points), -1).mean(1)

    def _values(self, x: Tensor) -> Tensor:
        """Values of f or f', in x's shape."""
        with torch.set_grad_enabled(self.backward):
            leaf = x.requires_grad_(self.backward)
            y = self.function(leaf.clone())  # which it may overwrite
            if not isinstance(y, Tensor) or y.shape != x.shape or not y.is_floating_point():
                found = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else repr(y)
                raise ValueError(
                    f"calculate_gain: {self.subject} must return a floating tensor of its "
                    f"argument's shape {tuple(x.shape)}, got {found}"
                )
            if not self.backward:
                return y
            slope = None
            if y.requires_grad:
                (slope,) = torch.autograd.grad(y.sum(), leaf, allow_unused=True)
            if slope is None:
                raise ValueError(
                    f"calculate_gain: autograd finds no derivative of {self.subject}; give it one, "
                    f'or use mode="forward"'
                )
            return slope

    def _refuse_mixing(self, x: Tensor) -> None:
        """ValueError unless values stay as they are when all their neighbours change."""
        indices = [torch.arange(n, device="cpu") for n in x.shape]
        kept = torch.stack(torch.meshgrid(*indices, indexing="ij")).sum(0) % 2 == 0
        first = x + torch.rand(x.shape, generator=torch.Generator("cpu"), device="cpu")
        second = torch.where(kept, first, 0.5 - first)
        values = replace(self, backward=False)._values  # a derivative may hide it
        one, two = (values(z)[kept].double() for z in (first, second))
        if not torch.allclose(one, two, rtol=1e-5, atol=1e-30, equal_nan=True):
            raise ValueError(
                f"calculate_gain: {self.subject} mixes the elements of a tensor, or is random; "
                f"only a function of each element has a gain"
            )

    def _place(self) -> tuple[int, int, int]:
        """Number of dimensions, and where points and channels are: [n, C] unless C is elsewhere."""
        d = self.channel_dim
        dims = max(2, d + 1, -d)
        channel = d % dims
        return dims, int(channel == 0), channel

    def _shape(self, x: Tensor) -> list[int]:
        dims, point, channel = self._place()
        shape = [1] * dims
        shape[point], shape[channel] = len(x), self.channels
        return shape

    def _spread(self, x: Tensor) -> Tensor:
        """Points of shape [n], repeated for every channel."""
        dims, point, _ = self._place()
        one = [-1 if i == point else 1 for i in range(dims)]
        return x.to(self.dtype).view(one).expand(self._shape(x)).clone()


def _copy(function: Any, dtype: torch.dtype) -> Any:
    """A module as a copy of its own in a dtype; a function as it is."""
    if not isinstance(function, torch.nn.Module):
        return function
    return copy.deepcopy(function).to(device="cpu", dtype=dtype).eval()
