"""KAF as a layer that owns its weights and its dictionary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from torch import Tensor

from triton_acts import _check, _dispatch

from . import _official
from ._arguments import DTYPES, check_int, checked_dtype, checked_init, rounded, wide_enough
from ._fit import checked_eps, ridge, unit_gradient_std
from ._gridding import Grid
from ._kaf import apply, checked_grid, kaf

__all__ = ["KAF"]

_BOUNDARY = 3.0


class KAF(torch.nn.Module):
    """A learned activation for every channel, `y = sum_i alpha[c, i] exp(-gamma (x - d_i)^2)`.

    Beyond the last node the output and its gradient fade to 0 within about two units. Weight decay
    destroys a fit, so put alpha in a parameter group of its own.

    alpha stays float32 under `.half()`, `.bfloat16()` and their like, and under autocast; inputs
    may be of any floating dtype. Fitted weights reach 700 and alternate in sign: rounded to 16
    bits, they would no longer cancel.

    Args:
        num_channels: C, or 1 for weights that all channels share.
        num_nodes: D >= 2, the size of the dictionary.
        boundary: the dictionary runs from -boundary to boundary.
        grid: its first and last node, in place of boundary.
        gamma: bandwidth, > 0; None means `1 / (6 delta^2)`, the paper's rule, delta being the
            distance of two nodes. The authors' later code uses `1 / (8 delta^2)`.
        init: "normal" draws weights from N(0, sigma^2) such that `E[(dy/dx)^2] = 1` for x ~ N(0, 1)
            (sigma = 0.44 for the defaults; the authors' code has 0.3, later 0.8). "zeros";
            "identity", fitted to y = x; or a function to fit, from a float64 tensor of nodes to one
            of the same shape. It is kept for `reset_parameters`: no lambda if you pickle modules.
        eps: weight of the penalty on `|alpha|^2` in a fit; 1e-6 in the paper.
        channel_dim: the dimension of x that has C channels.
        device: device of the weights.
        dtype: float32 or float64; None means the default dtype if it is one of these, else float32.

    Attributes:
        alpha: the weights, a Parameter of shape [C, D].
        grid: first and last node, a buffer [2]. It and gamma are how state dicts keep the
            dictionary: to change it, load another one. Both are rounded to float32.
        gamma: a buffer of shape ().

    Raises:
        TypeError: a number is none, or not an integer where it must be; init is neither a string
            nor callable.
        ValueError: a number out of its range; grid together with boundary; an unknown init; a
            function that cannot be fitted; another dtype.

    Source: Scardapane et al., arXiv 1707.04035.
    """

    alpha: torch.nn.Parameter
    grid: Tensor
    gamma: Tensor

    def __init__(
        self,
        num_channels: int,
        num_nodes: int = 20,
        *,
        boundary: float = _BOUNDARY,
        grid: tuple[float, float] | None = None,
        gamma: float | None = None,
        init: str | Callable[[Tensor], Tensor] = "normal",
        eps: float = 1e-4,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_int("num_channels", num_channels, 1)
        check_int("num_nodes", num_nodes, 2)
        check_int("channel_dim", channel_dim)
        if grid is None:
            half = _check.real("KAF", "boundary", boundary)
            if half <= 0:
                raise ValueError(f"KAF: boundary must be positive, got {half}")
            grid = (-half, half)
        elif boundary != _BOUNDARY:
            raise ValueError(f"KAF: give either grid or boundary, got both, {grid} and {boundary}")
        self._dictionary = rounded(checked_grid("KAF", grid, gamma, num_nodes))
        self.init, self._target = checked_init(init)
        self.eps, self.channel_dim = checked_eps(eps), channel_dim
        dtype = checked_dtype(dtype)
        self.alpha = torch.nn.Parameter(
            torch.empty(num_channels, num_nodes, device=device, dtype=dtype)
        )
        self.register_buffer("grid", torch.empty(2, device=device, dtype=torch.float32))
        self.register_buffer("gamma", torch.empty((), device=device, dtype=torch.float32))
        self.reset_parameters()

    @classmethod
    def from_official(cls, state_dict: Mapping[str, Tensor], *, channel_dim: int = 1) -> Self:
        """Reads a checkpoint of the authors' code, github.com/ispamm/kernel-activation-functions.

        Args:
            state_dict: that of one KAF layer with the Gaussian kernel: `alpha` of shape (1, C, D)
                or (1, C, 1, 1, D), `dict` and `gamma`.
            channel_dim: as in the constructor; 1 is where the authors' code has it.

        Returns:
            A layer that computes the same function, on alpha's device.

        Raises:
            TypeError: state_dict is no mapping of tensors.
            ValueError: keys are missing or unknown; alpha has another shape; the dictionary is not
                D nodes at equal distances; gamma is not one positive number.
            NotImplementedError: gamma alone is missing: the kernels 'relu' and 'softplus', or a
                checkpoint from before 2019.
        """
        alpha, grid = _official.read(state_dict)
        module = cls(
            *alpha.shape,
            grid=(grid.lo, grid.hi),
            gamma=grid.gamma,
            init="zeros",
            channel_dim=channel_dim,
            device=alpha.device,
            dtype=alpha.dtype if alpha.dtype in DTYPES else torch.float32,
        )
        with torch.no_grad():
            module.alpha.copy_(alpha)
        return module

    def reset_parameters(self) -> None:
        """Draws or fits alpha anew, and writes the dictionary into its buffers."""
        d = self._dictionary
        with torch.no_grad():
            self.grid.copy_(torch.tensor((d.lo, d.hi), dtype=torch.float32, device="cpu"))
            self.gamma.fill_(d.gamma)
            self._seen = self._buffers_now()
            weights = self._initial(d)
            if weights is None:
                self.alpha.normal_(std=unit_gradient_std(d))
            else:
                self.alpha.copy_(weights)

    @property
    def dictionary(self) -> Grid:
        """The Gaussians as numbers: `lo`, `hi`, `num_nodes`, `gamma`, `delta` and `node(i)`."""
        return self._current()

    def initial_weights(self) -> Tensor | None:
        """What `init` fits to the dictionary, [D] in float64 on the CPU; None if it is "normal"."""
        return self._initial(self._current())

    def with_dictionary(
        self, alpha: Tensor, grid: tuple[float, float], gamma: float | None = None
    ) -> KAF:
        """A layer like this one with other weights and another dictionary.

        It keeps init, eps, channel_dim, device, dtype, mode and whether alpha is learned, but no
        hooks.

        Args:
            alpha: [C, D], any C and D >= 2.
            grid: first and last node.
            gamma: as in the constructor.

        Raises:
            TypeError, ValueError: as of the constructor; alpha is no tensor [C, D].
        """
        if not isinstance(alpha, Tensor) or alpha.dim() != 2:
            found = tuple(alpha.shape) if isinstance(alpha, Tensor) else type(alpha).__name__
            raise ValueError(f"KAF: alpha must be a tensor of shape [C, D], got {found}")
        options: Any = {"device": self.alpha.device, "dtype": self.alpha.dtype}
        other = KAF(*alpha.shape, grid=grid, gamma=gamma, init="zeros", **options)
        other.init, other._target = self.init, self._target
        other.eps, other.channel_dim = self.eps, self.channel_dim
        with torch.no_grad():
            other.alpha.copy_(alpha)
        other.alpha.requires_grad_(self.alpha.requires_grad)
        return other.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Applies the activation to x, of any shape with the channels in `channel_dim`."""
        d, alpha = self._current(), self.alpha
        tensors = type(x) is Tensor and isinstance(alpha, Tensor)
        if not tensors and _dispatch.stand_ins(x, alpha):  # which record numbers, but no dictionary
            bounds = d.lo, d.hi
            return kaf(x, alpha, grid=bounds, gamma=d.gamma, channel_dim=self.channel_dim)
        return apply(x, alpha, d, self.channel_dim)

    def _initial(self, d: Grid) -> Tensor | None:
        if self._target is not None:
            return ridge(d, self._target, self.eps)
        if self.init == "identity":
            return ridge(d, torch.clone, self.eps)
        if self.init == "zeros":
            return torch.zeros(d.num_nodes, dtype=torch.float64, device="cpu")
        return None

    def _current(self) -> Grid:
        """The dictionary, read anew after somebody wrote to its buffers or replaced them.

        That copies two tensors from their device; otherwise it costs a comparison.
        """
        if torch.compiler.is_compiling():
            return self._dictionary
        now = self._buffers_now()
        same = (a is b for a, b in zip(now, self._seen, strict=True))
        if not all(same) and type(self.grid) is Tensor:  # a fake tensor has no values
            self._dictionary, self._seen = self._read(self.grid, self.gamma), now
        return self._dictionary

    def _buffers_now(self) -> tuple[object, ...]:
        """The buffers, and how often they were written to."""
        both = (self.grid, self.gamma)
        return *both, *(0 if t.is_inference() else t._version for t in both)

    def extra_repr(self) -> str:
        """The arguments, as in the constructor; nine digits are all that float32 has."""
        unfilled = ""
        try:
            d = self._current()
        except (TypeError, ValueError):  # memory of `to_empty` that nobody has filled yet
            d, unfilled = self._dictionary, ", buffers not filled"
        return (
            f"num_channels={self.alpha.shape[0]}, num_nodes={d.num_nodes}, "
            f"grid=({d.lo:.9g}, {d.hi:.9g}), gamma={d.gamma:.9g}, init={self.init!r}, "
            f"eps={self.eps:g}, channel_dim={self.channel_dim}{unfilled}"
        )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        def wide(t: Tensor) -> Tensor:
            moved = fn(t)
            return moved if moved.dtype in DTYPES else t.to(moved.device, torch.float32)

        super()._apply(wide, recurse)  # type: ignore[no-untyped-call]
        return self

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Loads all or nothing, and renews the dictionary that forward reads."""
        own = {prefix + name: getattr(self, name) for name in ("alpha", "grid", "gamma")}
        found = {key: wide_enough(state_dict[key]) for key in own if key in state_dict}
        dictionary = self._dictionary
        if getattr(found.get(prefix + "alpha", self.alpha), "shape", None) != self.alpha.shape:
            # torch refuses this alpha; the dictionary that goes with it is not for the old one
            found = {**own, prefix + "alpha": found[prefix + "alpha"]}
        else:
            try:
                dictionary = self._read(found.get(prefix + "grid"), found.get(prefix + "gamma"))
            except (TypeError, ValueError) as error:
                error_msgs.append(f"{prefix}grid, {prefix}gamma: {error}")
                return
        args = local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        super()._load_from_state_dict({**state_dict, **found}, prefix, *args)
        self._dictionary, self._seen = dictionary, self._buffers_now()

    def _read(self, grid: Tensor | None, gamma: Tensor | None) -> Grid:
        """The dictionary of loaded buffers; what is missing, or on meta, stays as it is."""
        old = self._dictionary
        bounds = (old.lo, old.hi) if grid is None or grid.is_meta else grid.tolist()
        bandwidth = old.gamma if gamma is None or gamma.is_meta else gamma.tolist()
        return rounded(checked_grid("KAF", bounds, bandwidth, old.num_nodes))
