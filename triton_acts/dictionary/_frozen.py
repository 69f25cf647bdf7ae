"""KAF for inference: weights that are constants, and the coefficients of its polynomials."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from triton_acts import _dispatch

from ._composite import folded
from ._kaf import apply
from ._module import KAF

__all__ = ["FrozenKAF"]


class FrozenKAF(KAF):
    """A KAF without parameters that computes what `kaf` computes.

    alpha is a buffer, so that no optimizer finds it, and keys of state dicts stay. What compilers
    and exporters see begins with `beta`, the coefficients that KAF makes of alpha at every call.
    Kernels and eager mode begin with alpha as those of KAF do: folding C * D weights is one small
    launch, whose layout depends on the shape of x.

    Change the weights by `load_state_dict`; beta does not notice if alpha is written to.

    Args:
        kaf: the layer, which stays as it is.

    Attributes:
        beta: [at least D, C], float32, not in state dicts; None for Gaussians so narrow that there
            are no polynomials.
    """

    beta: Tensor | None

    def __init__(self, kaf: KAF) -> None:
        d, old = kaf.dictionary, kaf.alpha.detach()
        super().__init__(
            *old.shape,
            grid=(d.lo, d.hi),
            gamma=d.gamma,
            init="zeros",
            eps=kaf.eps,
            channel_dim=kaf.channel_dim,
            device=old.device,
            dtype=old.dtype,
        )
        self.init, self._target = kaf.init, kaf._target
        del self.alpha
        self.register_buffer("alpha", old.clone())
        self.register_buffer("beta", folded(old, d), persistent=False)
        self.train(kaf.training)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation to x, of any shape with the channels in `channel_dim`."""
        if type(x) is not Tensor and _dispatch.stand_ins(x):
            return super().forward(x)
        return apply(x, self.alpha, self._current(), self.channel_dim, self.beta)

    def reset_parameters(self) -> None:
        """Writes the dictionary into its buffers and fits alpha anew, as KAF does."""
        super().reset_parameters()
        self._fold()

    def _load_from_state_dict(self, *args: Any, **options: Any) -> None:
        super()._load_from_state_dict(*args, **options)
        self._fold()

    def _fold(self) -> None:
        if "beta" in self._buffers:  # not while the constructor runs
            with torch.no_grad():
                self.beta = folded(self.alpha.detach(), self.dictionary)
