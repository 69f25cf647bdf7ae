"""Packages of the extra `study`, asked for before anything is trained."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["need"]

_DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def need(what: str, *modules: str) -> None:
    """Raises ImportError, which names the extra, if a module is missing."""
    missing = [_DISTRIBUTIONS.get(name, name) for name in modules if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"{what} needs {', '.join(missing)}: pip install 'triton_acts[study]'", name=missing[0]
        )
