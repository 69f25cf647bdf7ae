"""Replaces the activations of a model that exists."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from ._build import Use, build, gone, parameters, put
from ._channels import Flow
from ._example import channels_of_example, functions_of_example
from ._functional import Traced, traced
from ._guard import untouched
from ._replacements import Channels, Replacement, replacement
from ._report import Change, SwapReport, Unreplaced
from ._slots import Where, collect, selector
from ._source import functions_in_source
from ._trace import UntraceableError

__all__ = ["swap"]

Kind = type[nn.Module]


def swap(
    model: nn.Module,
    replacements: Mapping[Kind, Any],
    *,
    where: Where | None = None,
    dry_run: bool = False,
    example: object = None,
) -> SwapReport:
    """Replaces a model's activations by type, in place except for the root.

    A replacement has the mode of what it replaces, and device and dtype of the layer before it (KAF
    keeps its weights in float32 where that is a 16-bit type). A module under several names is
    replaced by one module under all of them. Forward and backward hooks of a replaced module stay.
    What replaces an activation that works in place does not work in place.

    Types are meant exactly: a subclass may compute something else, so it is left and listed, unless
    it is a key itself. Swap before wrapping a model (DDP, FSDP, torch.compile) and before giving
    its parameters to an optimizer.

    Functions in attributes (`self.activation = F.relu`, also that of nn.TransformerEncoderLayer,
    whose fused path for ReLU and GELU is then switched off) are replaced by modules in place. Calls
    of functions and tensor methods (`F.relu(x)`, `x.tanh()`) are replaced under the type that does
    the same (nn.ReLU, nn.Tanh), in a copy of the forward that torch.fx traces: `report.model`. It
    shares its children, parameters and buffers with the model, in the same order, and is not made
    if there is no such call. It has the forward and no other method of the model's class, with the
    defaults of optional arguments built in, and refuses others. A forward that cannot be traced, or
    of which a graph would leave something out (another forward in evaluation mode, random numbers,
    no_grad, hooks, changes of state), keeps its calls, and they are listed.

    Args:
        model: to change.
        replacements: by module type, what to put in place: a name ("scaled_sigmoid",
            "penalized_tanh", "penalized_tanh_learned", "penalized_tanh_per_channel", "kaf",
            "kaf_fitted", which starts from the function it replaces: from -3 to 3, and with an
            example as far as its numbers reach, beyond which it is 0); a module class or a
            functools.partial of one with keywords, such as `partial(ta.KAF, num_nodes=32)`; a
            module, which is copied for each use; or a function from the module (for a function, one
            that computes the same) to its replacement.
        where: which of them: a glob on the qualified name ("encoder.*"; a star also matches dots),
            or a function of the qualified name and the module. A call has the name of the module
            that calls it and the function's ("encoder.0.relu"), and that module. What is not asked
            for is not reported.
        dry_run: changes nothing and returns the same report.
        example: an input of the model, a tuple of its arguments or a dict of its keywords. What
            needs channels (KAF, a slope a channel) takes them from one forward of it, in evaluation
            mode and without gradients. Without an example they are read off the code of the
            forwards: from the layer before, through dropout, pooling and sums. It also shows calls
            that the source does not, and the traced model is compared with the model on it.

    Returns:
        What was replaced and what was not, with the reason; `undo()` takes it back. A warning says
        so where there was nothing to replace.

    Raises:
        TypeError: an argument is not of the kinds above; a replacement is no module.
        ValueError: an unknown name, no replacements; the channels of an activation are unknown or
            not the same in all its uses; the model fails on the example. The model is then as
            before.
    """
    built = _checked(model, replacements)
    selected = selector(where)
    slots, unreplaced = collect(model, built, selected)
    with untouched(model):
        for slot in slots:
            if slot.function is not None and slot.owner is not None:
                Change(slot.owner, slot.attribute, slot.function, slot.module).apply()
        copy, left = _functions(model, built, selected, example)
        uses = [*map(Use.of_slot, slots), *(map(Use.of_site, copy.sites) if copy else ())]
        channels = _channels(copy.model if copy else model, uses, built, example)
    with torch.random.fork_rng(_devices(model), enabled=dry_run):
        new = build(model, uses, built, channels)
    kept = [use for use in uses if new[use.old] is use.old]
    uses = [use for use in uses if new[use.old] is not use.old]
    unreplaced += [*left, *(Unreplaced(u.name, u.what, "the factory returned it") for u in kept)]
    if not uses and not unreplaced:
        _warn_of_nothing(built, where)
    report = SwapReport(
        model,
        replaced=[use.row(new[use.old]) for use in uses],
        unreplaced=unreplaced,
        params_added=parameters(new[use.old] for use in uses) - parameters(gone(model, uses)),
        dry_run=dry_run,
        _original=model,
    )
    if not dry_run:
        report._changes = put(model, uses, new)
        report.model = _result(model, uses, new, copy)
    return report


def _warn_of_nothing(built: Mapping[Kind, Replacement], where: object) -> None:
    names = ", ".join(kind.__name__ for kind in built)
    chosen = "" if where is None else f" that where={where!r} chooses"
    text = (
        f"swap: nothing was replaced: the model has no {names}{chosen}, neither as a module nor as "
        f"a function that its forwards call; print(model) shows its modules"
    )
    warnings.warn(text, UserWarning, stacklevel=3)


def _checked(model: object, replacements: object) -> dict[Kind, Replacement]:
    if not isinstance(model, nn.Module):
        raise TypeError(f"swap: model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(replacements, Mapping):
        raise TypeError(
            f"swap: replacements must be a dict of module types, such as {{nn.ReLU: 'kaf'}}, got "
            f"{replacements!r}"
        )
    if not replacements:
        raise ValueError("swap: replacements is empty; give for example {nn.ReLU: 'kaf'}")
    for kind in replacements:
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise TypeError(
                f"swap: the keys of replacements must be module types, such as nn.ReLU (which "
                f"stands for the function too), got {kind!r}"
            )
    return {kind: replacement(value) for kind, value in replacements.items()}


def _functions(
    model: nn.Module,
    built: Mapping[Kind, Replacement],
    selected: Callable[[str, nn.Module], bool],
    example: object,
) -> tuple[Traced | None, list[Unreplaced]]:
    """The traced copy, if calls of functions are replaced in one, and the calls that stay."""
    if type(model) in built:
        return None, []
    try:
        copy = traced(model, built, built, selected, example)
    except UntraceableError as error:
        calls = functions_in_source(model, built, selected)
        if example is not None:
            calls |= functions_of_example(model, built, selected, example)
        names = {**calls, **error.calls}
        reason = f"it is a call of a function, and {error}; in its place, a module needs no trace"
        return None, [Unreplaced(name, what, reason) for name, what in names.items()]
    return (copy if copy and copy.sites else None), (copy.unreplaced if copy else [])


def _channels(
    model: nn.Module,
    uses: Iterable[Use],
    built: Mapping[Kind, Replacement],
    example: object,
) -> dict[nn.Module, Channels]:
    """Those of every activation whose replacement needs them; ValueError names what is unknown."""
    wanted: dict[nn.Module, list[Use]] = {}
    for use in uses:
        if built[use.kind].needs_channels:
            wanted.setdefault(use.old, []).append(use)
    if not wanted:
        return {}
    if example is not None:
        found = channels_of_example(model, wanted, example)
    else:
        flow = Flow(model)
        found = {old: set().union(*(flow.into(u.path) for u in us)) for old, us in wanted.items()}
    problems = [
        f"{use.name or 'the model'} ({use.what}): {problem}"
        for old, all_uses in wanted.items()
        if (problem := _problem(found.get(old, set()), example is not None))
        for use in all_uses
    ]
    if problems:
        raise ValueError(
            "swap: a replacement needs channels, and those of these activations are unknown:\n  "
            + "\n  ".join(problems)
            + ("" if example is not None else "\nexample=, an input of the model, decides")
            + "\nwhere= leaves some out; a function from the module to its replacement states them"
        )
    return {old: only for old, (only,) in ((o, found[o]) for o in wanted) if only is not None}


def _problem(found: set[Channels | None], by_example: bool) -> str | None:
    known = sorted(one for one in found if one is not None)
    if len(known) > 1:
        text = " and ".join(f"{one.count} channels in dimension {one.dim}" for one in known)
        return f"it is called with {text}, which one module cannot serve"
    if len(found) == 1 and known:
        return None
    if not by_example:
        return "its forward does not say which layer comes before it"
    return "the dimension of its channels is open" if found else "example does not reach it"


def _result(
    model: nn.Module, uses: Iterable[Use], new: Mapping[nn.Module, nn.Module], copy: Traced | None
) -> nn.Module:
    if model in new:
        return new[model]
    if copy is None:
        return model
    copy.share(model, {use.path: new[use.old] for use in uses if use.how == "function"})
    return copy.model


def _devices(model: nn.Module) -> list[int]:
    return sorted({p.get_device() for p in model.parameters() if p.is_cuda})
