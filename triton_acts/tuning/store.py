"""The JSON files of block sizes: those shipped with the package, and the user's own.

Files are data and never trusted: all of it is checked, and a broken one costs a warning, not a
call. The user's is replaced all at once and under a lock, so a killed writer leaves it whole.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Mapping
from importlib import resources
from itertools import count
from pathlib import Path
from typing import Any

from ._files import check_owner, locked, make_private, read_bytes, replace
from ._schema import (
    MAX_BYTES,
    SCHEMA,
    ConfigFile,
    ConfigFileError,
    Entries,
    NewerSchemaError,
    parse,
    render,
)

__all__ = ["SCHEMA", "ConfigFile", "ConfigFileError", "NewerSchemaError", "check_slug", "parse"]
__all__ += ["render", "shipped", "update_user", "user", "user_folder"]

RUN_IDS = 20  # the last ones, kept in the user's file
WRITER_SECONDS = 30.0  # to wait for the lock
READER_SECONDS = 1.0  # the same in the middle of a model's first call
ELSEWHERE = "or set TRITON_ACTS_CONFIG_DIR to another folder"

_SLUG = re.compile(r"[a-z0-9][a-z0-9.-]*")
_SHIPPED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # also an architecture's, such as arch-sm_90
_warned: dict[str, object] = {}


def check_slug(slug: str) -> str:
    """The slug, if it can be a file's name.

    Raises:
        ValueError: it is anything but letters a to z, digits, dots and hyphens.
    """
    if not isinstance(slug, str) or not _SLUG.fullmatch(slug):
        raise ValueError(f"GPU slug is {slug!r}, allowed are a-z, 0-9 and, not first, '.' and '-'")
    return slug


def user_folder() -> Path:
    """Where the user's files are: TRITON_ACTS_CONFIG_DIR, or in the platform's cache folder.

    Raises:
        FileNotFoundError: neither is known, as for a user without a home.
    """
    chosen = os.environ.get("TRITON_ACTS_CONFIG_DIR")
    return Path(chosen) if chosen else _cache_folder() / "triton_acts" / "configs"


def _cache_folder() -> Path:
    if sys.platform == "darwin":
        return _home() / "Library" / "Caches"
    windows = sys.platform == "win32"
    named = Path(os.environ.get("LOCALAPPDATA" if windows else "XDG_CACHE_HOME", ""))
    if named.is_absolute():  # a relative one is to be ignored, says the XDG specification
        return named
    return _home() / ("AppData/Local" if windows else ".cache")


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise FileNotFoundError(f"{error} Set TRITON_ACTS_CONFIG_DIR to a folder.") from None


def shipped(name: str) -> ConfigFile | None:
    """The package's file of that name, None if there is none or, with a warning, if it is broken.

    Raises:
        ValueError: the name is none of a file.
    """
    if not _SHIPPED.fullmatch(name):
        raise ValueError(f"shipped config is {name!r}, allowed are letters, digits, '_', '.', '-'")
    file = resources.files("triton_acts").joinpath("configs", f"{name}.json")
    try:
        return _decode(file.read_bytes()) if file.is_file() else None
    except (ConfigFileError, OSError) as error:
        _warn_once(file, f"{file} is not used: {error}; install triton_acts again")
    return None


def user(slug: str) -> ConfigFile | None:
    """The user's file for a GPU, None if there is none.

    A corrupt file is moved aside; one of a newer version, one that cannot be read and one that
    others could have written stay where they are. Each is None, with one warning a process.

    Raises:
        ValueError: the slug is none.
    """
    check_slug(slug)
    file = None
    try:
        path = user_folder() / f"{slug}.json"
        return _read(path)
    except FileNotFoundError:
        return None
    except NewerSchemaError as error:
        problem = str(error)
    except ConfigFileError as error:
        file, problem = _recover(path, error)
    except OSError as error:
        problem = f"{path} is not used: {error}; make it this user's and readable, {ELSEWHERE}"
    if problem:
        _warn_once(path, problem)
    return file


def _recover(path: Path, fault: ConfigFileError) -> tuple[ConfigFile | None, str]:
    """What a file that was found corrupt is by now, and what to say about it."""
    try:
        with locked(path, READER_SECONDS):
            return _read_or_move(path)
    except (NewerSchemaError, OSError) as error:
        return None, f"{fault}; it could not be moved away ({error}): remove or repair it"


def _read_or_move(path: Path) -> tuple[ConfigFile | None, str]:
    """The present file, or None and, if it was corrupt, what to say about it. Needs the lock.

    To read only once the lock is held spares a sound file that has just been written.

    Raises:
        NewerSchemaError: the file stays as it is.
        OSError: it can neither be read nor moved.
    """
    try:
        return _read(path), ""
    except FileNotFoundError:
        return None, ""
    except NewerSchemaError:
        raise
    except ConfigFileError as fault:
        names = (path.with_name(f"{path.name}.corrupt-{n}") for n in count(1))
        aside = next(name for name in names if not name.exists())
        path.replace(aside)
        return None, f"{fault}; it was moved to {aside}: tune again, or repair it and move it back"


def _read(path: Path) -> ConfigFile:
    """The file, if it and its folder are this user's.

    Raises:
        ConfigFileError: naming the file.
        OSError: it is missing, cannot be read or is someone else's.
    """
    check_owner(path.parent)
    check_owner(path)
    data = read_bytes(path, MAX_BYTES + 1)
    try:
        return _decode(data)
    except ConfigFileError as error:
        raise type(error)(f"{path}: {error}") from None


def _decode(data: bytes) -> ConfigFile:
    if len(data) > MAX_BYTES:
        raise ConfigFileError(f"it has over {MAX_BYTES} bytes, which is the most allowed")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigFileError(f"it is no UTF-8: {error}") from None
    return parse(text)


def _warn_once(file: object, message: str) -> None:
    token = object()
    if _warned.setdefault(str(file), token) is token:  # atomic, so of two threads one warns
        warnings.warn(f"triton_acts: {message}", RuntimeWarning, stacklevel=2)


def update_user(
    slug: str, gpu: Mapping[str, Any], provenance: Mapping[str, Any], entries: Entries
) -> Path:
    """Merges entries into the user's file for a GPU and returns its path.

    New entries win by key and size. gpu and provenance are replaced, but run_ids keep the last 20
    of both. Other processes may do the same at once; a corrupt file is moved aside with a warning.

    Args:
        slug: names the file.
        gpu: see `ConfigFile`.
        provenance: see `ConfigFile`.
        entries: see `ConfigFile`; their warp size is the GPU's.

    Raises:
        ValueError: the slug is none; a `ConfigFileError` if the merged file would be no sound one,
            and its `NewerSchemaError` if the present one is of a newer version.
        TimeoutError: another process held the lock for 30 s.
        OSError: it could not be written; says what to do. The present file is as it was.
    """
    check_slug(slug)
    path = user_folder() / f"{slug}.json"
    note = ""
    try:
        make_private(path.parent)
        check_owner(path.parent)
        with locked(path, WRITER_SECONDS):
            present, note = _read_or_move(path)
            text = render(_merge(present, ConfigFile(gpu, provenance, entries)))
            parse(text)  # what is not sound would be moved aside by the next reader
            replace(path, text)
    except TimeoutError:
        raise
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        if note:
            _warn_once(path, note)
    return path


def _explained(error: OSError, path: Path) -> OSError:
    """The same error, saying what it means and what to do."""
    message = (
        f"{error.strerror or error}; the new block sizes are not saved; free space, make "
        f"{path.parent} this user's and writable, {ELSEWHERE}"
    )
    if error.errno is None:
        return type(error)(message)
    return type(error)(error.errno, message, str(path))


def _merge(old: ConfigFile | None, new: ConfigFile) -> ConfigFile:
    before: Entries = old.entries if old else {}
    run_ids = [*(old.provenance["run_ids"] if old else []), *new.provenance.get("run_ids", [])]
    return ConfigFile(
        new.gpu,
        {**new.provenance, "run_ids": list(dict.fromkeys(run_ids))[-RUN_IDS:]},
        {
            key: {**before.get(key, {}), **new.entries.get(key, {})}
            for key in {**before, **new.entries}
        },
    )
