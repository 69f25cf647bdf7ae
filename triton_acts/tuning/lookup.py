"""Which config a launch gets: a look-up, never a measurement.

Who answers, in this order: an override in code, the user's own file, the file shipped for this very
GPU, that of the nearest GPU of its architecture, the architecture's, the vendor's, the analytic
rule. Files are read at the first call on a device, and then no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

import torch
from torch import Tensor

from triton_acts import _triton, gpus

from . import store
from .config import Config, describe
from .keys import bucket, key, layout_of, nearest
from .registry import RULES, Dims, Rule
from .target import Target, index_of, target_of

__all__ = ["Explanation", "answer", "config_override", "explain", "forget", "select"]


@dataclass(frozen=True)
class Explanation:
    """A config and where it comes from.

    Attributes:
        config: what the launch gets.
        tier: "override", "user", "shipped", "nearest", "architecture", "vendor", "analytic" or
            "interpreter".
        reason: one sentence.
    """

    config: Config
    tier: str
    reason: str


_Question = tuple[str, str, torch.dtype, int, bool, int, str, int, bool]
_known: dict[_Question, Config] = {}
_overrides: dict[tuple[str, str], Config] = {}
_files: dict[Target, tuple[tuple[str, str, store.ConfigFile], ...]] = {}
_lock = Lock()


def select(
    op: str,
    direction: str,
    dtype: torch.dtype,
    numel: int,
    aligned: bool,
    device: int | torch.device | None = None,
    layout: str = "flat",
    num_nodes: int = 0,
    free: bool = False,
) -> Config:
    """The config for a launch.

    Args:
        op: "scaled_sigmoid", "penalized_tanh" or "kaf".
        direction: "forward" or "backward".
        dtype: of x: float16, bfloat16 or float32.
        numel: elements of x.
        aligned: whether all tensors start at a multiple of 16 bytes.
        device: the GPU; None for the current one.
        layout: see `Dims`.
        num_nodes: nodes of KAF's dictionary.
        free: whether they are free nodes.

    Raises:
        ValueError: no kernel has that op, direction and layout, numel is below 1, or the device is
            no GPU.
    """
    if type(device) is not int:
        device = index_of(device)
    octave = (numel * numel).bit_length() // 2
    question = (op, direction, dtype, octave, aligned, device, layout, num_nodes, free)
    config = _known.get(question)
    if config is not None:
        return config
    found = _known  # an override that comes meanwhile replaces it
    dims = Dims(layout, num_nodes, free)
    config = answer(op, direction, dtype, numel, aligned, dims, target_of(device)).config
    found[question] = config
    return config


def explain(
    op: str,
    x: Tensor,
    direction: str = "forward",
    *,
    channel_dim: int | None = None,
    num_parameters: int | None = None,
    num_nodes: int | None = None,
    free: bool = False,
) -> Explanation:
    """What `op(x)` is launched with, and why.

    Args:
        op: "scaled_sigmoid", "penalized_tanh" or "kaf".
        x: its input, on a GPU.
        direction: "forward" or "backward".
        channel_dim: the channels' dimension where weights are learned: 1 by default for "kaf"; None
            for activations whose parameters are numbers.
        num_parameters: 1 where all channels share one weight; by default each has its own.
        num_nodes: nodes of KAF's dictionary, 20 by default.
        free: whether they are free nodes.

    Raises:
        ValueError: no kernel has that op and direction, x is empty or on no GPU, or has no
            dimension `channel_dim`.
    """
    learned = (op, direction, "flat") not in RULES
    layout = "flat"
    if num_parameters == 1:
        layout = "shared"
    elif learned or channel_dim is not None:
        layout = _layout(x, 1 if channel_dim is None else channel_dim)
    nodes = (20 if num_nodes is None else num_nodes) if learned else 0
    aligned = x.data_ptr() % 16 == 0
    target = target_of(x.get_device())
    dims = Dims(layout, nodes, free)
    return answer(op, direction, x.dtype, x.numel(), aligned, dims, target)


def _layout(x: Tensor, channel_dim: int) -> str:
    if not -x.dim() <= channel_dim < x.dim():
        raise ValueError(
            f"explain: x of shape {tuple(x.shape)} has no dimension {channel_dim}; name "
            "channel_dim, or num_parameters=1 where all channels share one weight"
        )
    dense = torch.empty_like(x, device="meta")
    return layout_of(x.shape[channel_dim], dense.stride(channel_dim))


@contextmanager
def config_override(op: str, config: Config, direction: str | None = None) -> Iterator[None]:
    """Launches an op with this config as long as the context lasts, in all threads.

    Backward kernels run in threads of autograd's own, so an override of one thread would miss them.

    Args:
        op: an op's name.
        config: what its kernels get; its warp size is adapted to the GPU's.
        direction: "forward" or "backward", None for both.

    Raises:
        ValueError: no kernel has that op and direction. At the launch: the config would change the
            order of a sum, which is a function of the shape alone.
    """
    if not isinstance(config, Config):
        raise TypeError(f"config_override: config must be a Config, got {type(config).__name__}")
    wanted = {(o, d) for o, d, _ in RULES if o == op and direction in (None, d)}
    if not wanted:
        raise ValueError(_unknown("config_override", op, direction or "any", None))
    with _lock:
        before = {name: _overrides.get(name) for name in wanted}
        _overrides.update(dict.fromkeys(wanted, config))
        _start_anew()
    try:
        yield
    finally:
        with _lock:
            for name, old in before.items():
                if old is None:
                    _overrides.pop(name, None)
                else:
                    _overrides[name] = old
            _start_anew()


def forget() -> None:
    """Reads files and environment anew at the next call, as after a tune."""
    global _files
    with _lock:
        _files = {}
        _start_anew()


def _start_anew() -> None:
    global _known
    _known = {}


def answer(
    op: str,
    direction: str,
    dtype: torch.dtype,
    numel: int,
    aligned: bool,
    dims: Dims,
    target: Target,
) -> Explanation:
    """Asks the tiers in turn.

    Raises:
        ValueError: no kernel has that op, direction and layout, numel is below 1, or an override
            would change the order of a sum.
    """
    rule = RULES.get((op, direction, dims.layout))
    if rule is None:
        raise ValueError(_unknown("select", op, direction, dims.layout))
    octave = bucket(numel)
    default = rule.default(dtype, target.hardware, dims)
    chosen = _overrides.get((op, direction))
    if chosen is not None:
        return _overridden(rule, chosen.on(default.warp_size), default, op, direction, dims)
    if _triton.INTERPRETED:
        return Explanation(default, "interpreter", "Triton's interpreter pays by the program")
    if rule.choices is None:
        reason = "the only config: the order of its sums is a function of the shape alone"
        return Explanation(default, "analytic", reason)
    name = key(op, direction, dtype, aligned, dims)
    for tier, where, file in _sources(target):
        sizes = file.entries.get(name, {})
        near = nearest(sizes, octave)
        if near is not None:
            config = _fitting(sizes[near], target.hardware.warp_size)
            if config is not None:
                reason = f"{where} has {name} for 2^{near} elements ({file.provenance['kind']})"
                return Explanation(config, tier, reason)
    reason = f"no file has {name} within two octaves of 2^{octave} elements"
    return Explanation(default, "analytic", reason)


def _fitting(config: Config, warp_size: int) -> Config | None:
    """The config for a warp size; None if that would be too many threads."""
    try:
        return config.on(warp_size)
    except ValueError:
        return None


def _overridden(
    rule: Rule, chosen: Config, default: Config, op: str, direction: str, dims: Dims
) -> Explanation:
    if rule.choices is not None or chosen == default:
        return Explanation(chosen, "override", "config_override is active")
    raise ValueError(
        f"config_override: {op} {direction} in layout {dims.layout} adds up in an order that only "
        f"the shape decides, which {describe(chosen)} would change; allowed is "
        f"{describe(default)}; name the other direction to leave this one alone"
    )


def _sources(target: Target) -> tuple[tuple[str, str, store.ConfigFile], ...]:
    files = _files  # one that `forget` replaces meanwhile must not get old content
    found = files.get(target)
    if found is None:
        found = files[target] = tuple(_read(target))
    return found


def _read(target: Target) -> Iterator[tuple[str, str, store.ConfigFile]]:
    """Tier, name and content of the files that may answer."""
    own = store.user(target.slug)
    if own is not None:
        yield "user", f"your file {target.slug}.json", own
    names = [("shipped", target.slug)]
    near = gpus.nearest(target.arch, target.hardware.bytes_per_clock_sm, target.slug)
    if near is not None:
        names.append(("nearest", near.slug))
    names += [("architecture", f"arch-{target.arch}"), ("vendor", f"vendor-{target.vendor}")]
    for tier, name in names:
        file = store.shipped(name)
        if file is not None:
            yield tier, f"shipped {name}.json", file


def _unknown(function: str, op: str, direction: str, layout: str | None) -> str:
    given = f"op {op!r}, direction {direction!r}" + (
        "" if layout is None else f", layout {layout!r}"
    )
    known = "; ".join(
        f"{o} {d}: {', '.join(la for oo, dd, la in RULES if (oo, dd) == (o, d))}"
        for o, d in dict.fromkeys((o, d) for o, d, _ in RULES)
    )
    return f"{function}: no kernel has {given}; allowed are {known}"
