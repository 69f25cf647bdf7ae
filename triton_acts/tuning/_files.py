"""Files that processes share: a lock that dies with its holder, and replacement all at once."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["check_owner", "locked", "make_private", "read_bytes", "replace"]

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

    def _unlock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_UNLCK, 1)

    def check_owner(path: Path) -> None:
        """Windows keeps a user's folders from others by itself."""

else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_UN)

    def check_owner(path: Path) -> None:
        """Refuses what someone else may have put there, be it behind a symbolic link.

        Raises:
            FileNotFoundError: there is no such path.
            PermissionError: neither this user nor root owns it, or it is a folder that others may
                write to.
        """
        us = os.geteuid()
        followed = path.stat()
        owners = {followed.st_uid, path.lstat().st_uid}
        if owners - {us, 0}:
            raise PermissionError(
                f"{path} or what it links to belongs to user {max(owners - {us, 0})}, allowed are "
                f"{us} (this user) and 0 (root)"
            )
        if stat.S_ISDIR(followed.st_mode) and followed.st_mode & 0o022:
            raise PermissionError(
                f"{path} has mode {stat.S_IMODE(followed.st_mode):04o}, so others may write to it; "
                f"allowed is at most 0755: chmod go-w {path}"
            )


def make_private(folder: Path) -> None:
    """Makes a folder and its missing parents, mode 0700 each; those that are there stay.

    Raises:
        OSError: it cannot be made, or is a file.
    """
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:  # `parents=True` would let all but the last be as the umask has it
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def read_bytes(path: Path, limit: int) -> bytes:
    """The first `limit` bytes of a file.

    Raises:
        OSError: it is missing, unreadable or no regular file.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for its writer
        raise OSError(f"{path} is no regular file")
    with path.open("rb") as file:
        return file.read(limit)


@contextmanager
def locked(path: Path, seconds: float) -> Iterator[None]:
    """Holds `<path>.lock` alone. The kernel lets go of it when its holder dies.

    The lock file stays: were it removed, two processes could hold two files of that name.

    Args:
        path: what is to be changed; its folder exists.
        seconds: how long to wait for another holder.

    Raises:
        TimeoutError: another held it for so long.
        OSError: the lock file cannot be made, or the file system has no locks.
    """
    lock = path.with_name(f"{path.name}.lock")
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        deadline = time.monotonic() + seconds
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"another process has held {lock} for {seconds:g} s; wait for it or end it"
                )
            time.sleep(0.005)
        try:
            yield
        finally:
            _unlock(handle)  # closing is not enough where a fork has a copy of the handle
    finally:
        os.close(handle)


def replace(path: Path, text: str) -> None:
    """Writes a file, mode 0600, so that readers see the old or the new one. Needs the lock.

    Raises:
        OSError: it could not be written; the old file is as it was.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)  # of a writer that was killed: we hold the lock
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    with suppress(OSError):  # some file systems have no fsync of folders; the file is whole
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
