"""The arguments of the layer KAF: checked, and rounded as its buffers are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from triton_acts import _check

from ._gridding import Grid, float32
from ._kaf import checked_grid

__all__ = ["DTYPES", "check_int", "checked_dtype", "checked_init", "rounded", "wide_enough"]

DTYPES = (torch.float32, torch.float64)
_INITS = ("normal", "zeros", "identity")


def check_int(name: str, value: object, least: int | None = None) -> None:
    number = _check.integer("KAF", name, value)
    if least is not None and number < least:
        raise ValueError(f"KAF: {name} must be at least {least}, got {value}")


def checked_init(init: object) -> tuple[str, Callable[[Tensor], Tensor] | None]:
    """What to call an init, and the function to fit, if any."""
    if isinstance(init, str):
        _check.choice("KAF", "init", init, _INITS)
        return init, None  # a name is all that a pickled layer then holds
    if not callable(init) or isinstance(init, type):
        raise TypeError(
            f"KAF: init must be one of {_INITS}, a function or a module such as torch.nn.ELU(), "
            f"got {type(init).__name__ if isinstance(init, Tensor) else repr(init)}"
        )
    # As a partial, a module (torch.nn.ELU()) does not become a part of this one
    return getattr(init, "__name__", repr(init)), partial(init)


def checked_dtype(dtype: torch.dtype | None) -> torch.dtype:
    if dtype is None:
        default = torch.get_default_dtype()
        return default if default in DTYPES else torch.float32
    if dtype not in DTYPES:
        raise ValueError(
            f"KAF: dtype must be one of {DTYPES}, got {dtype}: alpha is kept in float32 at least, "
            f"because fitted weights reach 700 and alternate in sign, and would no longer cancel"
        )
    return dtype


def rounded(grid: Grid) -> Grid:
    """The dictionary as float32 buffers keep it, so that loading them changes no function."""
    lo, hi, gamma = map(float32, (grid.lo, grid.hi, grid.gamma))
    return checked_grid("KAF", (lo, hi), gamma, grid.num_nodes)


def wide_enough(value: Any) -> Any:
    """A tensor of a state dict in float32 at least; anything else is torch's to refuse."""
    if isinstance(value, Tensor) and value.dtype not in DTYPES:
        return value.to(torch.float32)
    return value
