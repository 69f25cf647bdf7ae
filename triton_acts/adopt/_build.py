"""Making the new modules like those that they replace, and putting them in their places."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from triton_acts import _check

from ._functional import Site
from ._replacements import Channels, Replacement
from ._report import Change, Replaced
from ._slots import Slot

__all__ = ["Use", "build", "gone", "parameters", "put"]

Kind = type[nn.Module]
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_HOOKS_STATE = (
    *_HOOKS,
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_is_full_backward_hook",
)


@dataclass(frozen=True, eq=False)
class Use:
    """A place for a new module.

    Attributes:
        old: the activation; for a function, a module that computes the same.
        kind: its type.
        name: qualified, for the report.
        what: what it is, for the report.
        how: as in `Replaced`.
        path: of `old` in the model that is analysed.
        caller: the module that calls a function.
        owner: the module that holds it; None for the root, and in a traced copy.
        attribute: under which name.
        before: what is there.
    """

    old: nn.Module
    kind: Kind
    name: str
    what: str
    how: Literal["module", "attribute", "function"]
    path: str
    caller: nn.Module | None = None
    owner: nn.Module | None = None
    attribute: str = ""
    before: Any = None

    @classmethod
    def of_slot(cls, slot: Slot) -> Use:
        """A module or a function in the model."""
        plain = slot.function is None
        return cls(
            slot.module,
            slot.kind,
            slot.name,
            slot.what,
            "module" if plain else "attribute",
            slot.name,
            owner=slot.owner,
            attribute=slot.attribute,
            before=slot.module if plain else slot.function,
        )

    @classmethod
    def of_site(cls, site: Site) -> Use:
        """A call in the traced copy."""
        call = site.call
        return cls(
            site.module, call.kind, call.name, call.what, "function", site.attribute, call.caller
        )

    def row(self, new: nn.Module) -> Replaced:
        """What the report says of it."""
        return Replaced(self.name, self.what, type(new).__name__, self.how, new)


def build(
    model: nn.Module,
    uses: Iterable[Use],
    built: Mapping[Kind, Replacement],
    channels: Mapping[nn.Module, Channels],
) -> dict[nn.Module, nn.Module]:
    """The new module of each old one, in its mode, with its hooks, where its neighbours are.

    Raises:
        TypeError, ValueError: a replacement cannot be made, is no module, or has hooks of its own
            besides those of the old one.
    """
    new: dict[nn.Module, nn.Module] = {}
    before = _tensors_before(model)
    for use in uses:
        if use.old in new:
            continue
        made = _made(use, built[use.kind], channels.get(use.old))
        new[use.old] = made
        if made is use.old:
            continue
        like = _like(use, before)
        if like is not None:
            made.to(like.device, like.dtype)
        made.train(use.old.training)
        _keep_hooks(use, made)
    return new


def put(model: nn.Module, uses: Iterable[Use], new: Mapping[nn.Module, nn.Module]) -> list[Change]:
    """Puts the new modules into the model; nothing in it can fail."""
    changes = []
    for use in uses:
        if use.owner is not None:
            changes.append(Change(use.owner, use.attribute, use.before, new[use.old]))
            if isinstance(use.owner, nn.TransformerEncoderLayer) and use.attribute == "activation":
                changes += _without_fused_path(model, use.owner)
    changes = list({(c.owner, c.attribute): c for c in changes}.values())
    for change in changes:
        change.apply()
    return changes


def parameters(modules: Iterable[nn.Module]) -> int:
    """How many parameters they have together, each counted once; lazy ones have none yet."""
    found = {p for module in modules for p in module.parameters()}
    return sum(0 if is_lazy(p) else p.numel() for p in found)


def gone(model: nn.Module, uses: Sequence[Use]) -> Iterator[nn.Module]:
    """The old modules that are nowhere in the model any more."""
    places = {(use.owner, use.attribute) for use in uses}
    left = {
        child
        for owner in model.modules()
        for name, child in owner._modules.items()
        if (owner, name) not in places
    }
    return (use.old for use in uses if use.how == "module" and use.old not in left)


def _made(use: Use, replacement: Replacement, channels: Channels | None) -> nn.Module:
    place = f"swap: {use.name or 'the model'} ({use.what})"
    try:
        made: object = replacement.build(use.old, channels)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{place} cannot be replaced: {error}") from error
    if not isinstance(made, nn.Module):
        raise TypeError(f"{place}: the function must return a torch.nn.Module, got {made!r}")
    return made


def _tensors_before(model: nn.Module) -> dict[nn.Module, Tensor]:
    """For each module the last floating parameter before it, or the first after it."""
    before: dict[nn.Module, Tensor] = {}
    waiting: list[nn.Module] = []
    last: Tensor | None = None
    for module in model.modules():
        if last is None:
            waiting.append(module)
        else:
            before[module] = last
        for own in (*module._parameters.values(), *module._buffers.values()):
            if own is not None and own.dtype in _check.FLOATING:
                last = own
                before.update(dict.fromkeys(waiting, own))
                waiting.clear()
    return before


def _like(use: Use, before: Mapping[nn.Module, Tensor]) -> Tensor | None:
    near = use.old.parameters() if use.how == "module" else iter(())
    if use.how == "attribute" and use.owner is not None:
        near = use.owner.parameters()
    elif use.caller is not None:
        near = use.caller.parameters()
    own = next((p for p in near if p.dtype in _check.FLOATING), None)
    place = use.old if use.how == "module" else use.caller or use.owner
    return own if own is not None or place is None else before.get(place)


def _keep_hooks(use: Use, made: nn.Module) -> None:
    """Both modules hold the same hooks, so that their handles remove them from both."""
    if use.how != "module" or not any(vars(use.old)[name] for name in _HOOKS):
        return
    if any(vars(made)[name] for name in _HOOKS):
        raise ValueError(
            f"swap: {use.name or 'the model'} ({use.what}) has hooks, and so has its replacement; "
            f"remove one module's"
        )
    for name in _HOOKS_STATE:
        vars(made)[name] = vars(use.old)[name]


def _without_fused_path(model: nn.Module, layer: nn.Module) -> Iterator[Change]:
    """The fused path computes ReLU or GELU by this number, and never asks the activation.

    Without it the layer cannot take the nested tensors that an encoder makes for it.
    """
    yield from _set(layer, "activation_relu_or_gelu", 0)
    for encoder in model.modules():
        if isinstance(encoder, nn.TransformerEncoder) and layer in list(encoder.layers):
            yield from _set(encoder, "use_nested_tensor", False)


def _set(owner: nn.Module, attribute: str, value: object) -> Iterator[Change]:
    before = vars(owner)[attribute]
    if before != value:
        yield Change(owner, attribute, before, value)
