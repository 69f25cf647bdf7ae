"""Writers of the user's file lose nothing: not at once, not killed, not on a full disk."""

import errno
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.config_files import FILE, KEY, TEXT, failing, names, update

from triton_acts.tuning import _files, store
from triton_acts.tuning.config import Config
from triton_acts.tuning.store import parse


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The user's folder, not there yet, in a process that has not warned."""
    folder = tmp_path / "configs"
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(folder))
    monkeypatch.setattr(store, "_warned", {})
    return folder


@pytest.fixture
def path(folder):
    """The user's file in its folder, not there yet."""
    folder.mkdir(mode=0o700)
    return folder / "toy.json"


def broken_write(monkeypatch):
    real = os.fdopen

    def fdopen(*args, **kwargs):
        file = real(*args, **kwargs)
        file.write = failing(errno.ENOSPC)
        return file

    monkeypatch.setattr(os, "fdopen", fdopen)


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(folder, step):
    path = update()
    with pytest.MonkeyPatch.context() as monkeypatch:
        if step == "write":
            broken_write(monkeypatch)
        else:
            monkeypatch.setattr(os, step, failing(errno.ENOSPC))
        with pytest.raises(
            OSError, match="the new block sizes are not saved; free space"
        ) as caught:
            update({KEY: {24: Config(2)}})
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_text() == TEXT
    assert names(folder) == {"toy.json", "toy.json.lock"}
    update({KEY: {24: Config(2)}})
    assert store.user("toy").entries[KEY][24] == Config(2)


def test_a_read_only_folder_is_an_error_that_says_so(folder, monkeypatch):
    monkeypatch.setattr(os, "mkdir", failing(errno.EROFS))
    with pytest.raises(OSError, match="Read-only file system; the new block sizes are not saved"):
        update()


def test_the_disk_has_the_content_before_the_name(folder, monkeypatch):
    events = []
    sync, replace = os.fsync, os.replace

    def note_sync(handle):
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        events.append((name, Path(name).read_text() if name.endswith(".tmp") else ""))
        sync(handle)

    def note_replace(old, new):
        events.append((old, new))
        replace(old, new)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    path = update()
    temporary = folder / ".toy.json.tmp"
    assert events == [(str(temporary), TEXT), (temporary, path), (str(folder), "")]


def test_a_file_system_without_fsync_of_folders_is_no_failure(folder, monkeypatch):
    real = os.fsync

    def fsync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    update()
    assert store.user("toy") == FILE


def test_waiting_for_the_lock_ends_with_its_name(path, monkeypatch):
    monkeypatch.setattr(store, "WRITER_SECONDS", 0.05)
    with (
        _files.locked(path, 0),
        pytest.raises(
            TimeoutError,
            match=r"^another process .*/toy\.json\.lock for 0\.05 s; wait for it or end it$",
        ),
    ):
        update()
    update()


def test_the_lock_is_waited_for(path):
    released = []

    def hold():
        with _files.locked(path, 0):
            held.set()
            time.sleep(0.1)
            released.append(True)

    held = threading.Event()
    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    update()
    assert released == [True]
    thread.join()


def test_a_copy_of_the_handle_in_a_child_does_not_keep_the_lock(path):
    with _files.locked(path, 0):
        copies = [os.dup(n) for n in range(3, 64) if is_lock(n, path)]
    try:
        assert copies
        with _files.locked(path, 0):
            pass
    finally:
        for copy in copies:
            os.close(copy)


def is_lock(handle, path):
    try:
        return str(Path(f"/proc/self/fd/{handle}").readlink()) == f"{path}.lock"
    except OSError:
        return False


def start(*args, **kwargs):
    script = Path(__file__).with_name("store_process.py")
    return subprocess.Popen(  # no site-packages: the store needs none
        [sys.executable, "-I", "-S", str(script), *map(str, args)], text=True, **kwargs
    )


def test_twenty_processes_lose_nothing(folder):
    """Each writes entries of its own, all from one moment on, into a file that is not there."""
    processes = [start("write", n, 5, stdin=subprocess.PIPE) for n in range(20)]
    time.sleep(0.5)
    for process in processes:
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0] * 20
    assert store.user("toy").entries == {
        f"op{n}/forward/float32/aligned": {size: Config(8) for size in range(5)} for n in range(20)
    }
    assert names(folder) == {"toy.json", "toy.json.lock"}


def check_after_kill(path, *written):
    """The file is whole, has what was reported as written, and can be updated at once."""
    entries = parse(path.read_text()).entries
    for key, size in written:
        assert size in entries[key]
    update()
    assert store.user("toy").entries[KEY] == FILE.entries[KEY]
    assert names(path.parent) == {"toy.json", "toy.json.lock"}


def test_a_writer_killed_at_any_moment_leaves_a_whole_file(folder):
    path = update()
    moments = random.Random(0)
    for _ in range(30):
        process = start("loop", stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        sizes = process.stdout.read().split()
        process.stdout.close()
        assert process.wait() == -signal.SIGKILL
        check_after_kill(path, *(("loop/forward/float32/aligned", int(size)) for size in sizes))
        path.write_text(TEXT)


@pytest.mark.parametrize("step", ["half written", "written", "replaced"])
def test_a_writer_killed_at_a_step_leaves_a_whole_file(folder, step):
    path = update()
    assert start("die", step).wait() == -signal.SIGKILL
    done = step == "replaced"
    assert names(folder) == {path.name, f"{path.name}.lock"} | (
        set() if done else {".toy.json.tmp"}
    )
    check_after_kill(path, *([("die/forward/float32/aligned", 0)] if done else []))
