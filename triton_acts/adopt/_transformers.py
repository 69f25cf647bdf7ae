"""The activations under their names in the configurations of `transformers`."""

from __future__ import annotations

from typing import Any

from ._replacements import POINTWISE

__all__ = ["register_transformers"]


def register_transformers() -> tuple[str, ...]:
    """Adds the activations without a channel count to `transformers.activations.ACT2FN`.

    A configuration may then name them, `BertConfig(hidden_act="penalized_tanh")`, in every process
    that called this before the model was built or loaded. Calling it again changes nothing.

    Returns:
        The names, "scaled_sigmoid" and "penalized_tanh".

    Raises:
        ImportError: transformers is not installed.
        ValueError: a name stands for something else there. Nothing is added then.
    """
    try:
        from transformers.activations import ACT2FN
    except ImportError as error:
        raise ImportError(
            "register_transformers needs the package transformers: pip install transformers"
        ) from error
    known: dict[str, Any] = dict(ACT2FN.items())  # not by [], which builds a module
    taken = [name for name, cls in POINTWISE.items() if known.get(name, cls) is not cls]
    if taken:
        raise ValueError(
            f"register_transformers: {', '.join(taken)} in ACT2FN already stand for something "
            f"else; remove them first"
        )
    ACT2FN.update(POINTWISE)
    return tuple(POINTWISE)
