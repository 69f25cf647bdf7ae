"""Block-size files: whatever a file holds or happens to it, nothing is lost and no call fails."""

import errno
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.config_files import FILE, GPU, KAF, KEY, PROVENANCE, TEXT, failing, names, update

from triton_acts.tuning import _files, store
from triton_acts.tuning.config import Config
from triton_acts.tuning.store import ConfigFileError, NewerSchemaError

MIB = 1 << 20


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


def warned(call=lambda: store.user("toy")):
    """The text of the one warning of a call that gives None, and not again."""
    with pytest.warns(RuntimeWarning) as record:
        assert call() is None
    assert call() is None  # a second warning would be an error
    (warning,) = record
    return str(warning.message)


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"TRITON_ACTS_CONFIG_DIR": "/own"}, "/own"),
        ("linux", {"TRITON_ACTS_CONFIG_DIR": ""}, "/home/a/.cache/triton_acts/configs"),
        ("linux", {}, "/home/a/.cache/triton_acts/configs"),
        ("linux", {"XDG_CACHE_HOME": "/xdg"}, "/xdg/triton_acts/configs"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/a/.cache/triton_acts/configs"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/a/.cache/triton_acts/configs"),
        ("darwin", {"XDG_CACHE_HOME": "/xdg"}, "/home/a/Library/Caches/triton_acts/configs"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/triton_acts/configs"),
        ("win32", {}, "/home/a/AppData/Local/triton_acts/configs"),
    ],
)
def test_the_folder_is_the_platforms_cache_or_the_one_chosen(
    monkeypatch, platform, environment, expected
):
    for name in ("TRITON_ACTS_CONFIG_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", "/home/a")
    monkeypatch.setattr(sys, "platform", platform)
    assert store.user_folder() == Path(expected)


def test_a_user_without_a_home_has_no_file_and_is_told_where_to_put_one(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("TRITON_ACTS_CONFIG_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert store.user("toy") is None
    with pytest.raises(FileNotFoundError, match="Set TRITON_ACTS_CONFIG_DIR"):
        update()


@pytest.mark.parametrize("slug", ["", ".a", "-a", "A", "a/b", "../a", "a_b", "a\n", "ä", None, 3])
def test_a_slug_is_a_files_name(slug):
    calls = (store.check_slug, store.user, lambda s: store.update_user(s, GPU, PROVENANCE, {}))
    for call in calls:
        with pytest.raises(ValueError, match=r"GPU slug is .* allowed are a-z"):
            call(slug)
    assert store.check_slug("rtx-4090-laptop-sm76.2") == "rtx-4090-laptop-sm76.2"


def test_shipped_files(tmp_path, monkeypatch):
    assert store.shipped("no-such-gpu") is None
    monkeypatch.setattr(store.resources, "files", lambda package: tmp_path / package)
    assert store.shipped("toy") is None
    configs = tmp_path / "triton_acts" / "configs"
    configs.mkdir(parents=True)
    assert store.shipped("toy") is None
    (configs / "arch-sm_90.json").write_text(TEXT)
    assert store.shipped("arch-sm_90") == FILE
    for content in (b"{", b"\xff", TEXT.replace('"schema": 1', '"schema": 2').encode()):
        monkeypatch.setattr(store, "_warned", {})
        (configs / "toy.json").write_bytes(content)
        assert "toy.json is not used: " in warned(lambda: store.shipped("toy"))
    assert names(configs) == {"arch-sm_90.json", "toy.json"}
    for name in ("", "../toy", "a/b", ".toy"):
        with pytest.raises(ValueError, match="allowed are letters"):
            store.shipped(name)


def test_what_is_written_is_read(folder):
    assert store.user("toy") is None
    assert not folder.exists()
    assert update() == folder / "toy.json"
    assert store.user("toy") == FILE
    assert (folder / "toy.json").read_text() == TEXT
    assert names(folder) == {"toy.json", "toy.json.lock"}


def test_updates_are_merged_by_key_and_size(folder):
    update()
    entries = {KEY: {24: Config(16), 30: Config(2)}, "new/forward/float32/any": {1: Config(1)}}
    gpu = GPU | {"mem_gib": 80}
    store.update_user(
        "toy", gpu, PROVENANCE | {"run_ids": ["r2", "r1", "r3"], "torch": "3"}, entries
    )
    file = store.user("toy")
    assert file.entries == {
        KEY: {9: Config(4), 24: Config(16), 30: Config(2)},
        KAF: {20: Config(4, 4, 4)},
        "new/forward/float32/any": {1: Config(1)},
    }
    assert file.gpu == gpu
    assert file.provenance == PROVENANCE | {"torch": "3", "run_ids": ["r1", "r2", "r3"]}
    update(run_ids=[f"s{n}" for n in range(19)])
    assert store.user("toy").provenance["run_ids"] == ["r3", *(f"s{n}" for n in range(19))]


@pytest.mark.parametrize(
    ("gpu", "entries"),
    [
        (GPU | {"warp_size": 64}, {}),  # the entries that are there are for 32
        (GPU, {"a/b": {1: Config(1)}}),
        (GPU, {KEY: {63: Config(1)}}),
        (GPU, {KEY: {True: Config(1)}}),
        ({"slug": "toy"}, {}),
        (GPU | {"extra": "x" * MIB}, {}),  # larger than what is read
    ],
)
def test_what_could_not_be_read_back_is_not_written(folder, gpu, entries):
    path = update()
    with pytest.raises(ConfigFileError):
        store.update_user("toy", gpu, PROVENANCE, entries)
    assert path.read_text() == TEXT
    assert names(folder) == {"toy.json", "toy.json.lock"}


CORRUPT = {
    "empty": b"",
    "truncated": TEXT.encode()[:-30],
    "no UTF-8": b"\xff\xfe" + TEXT.encode(),
    "zeros, as after a crash": bytes(500),
    "block of 3": TEXT.replace("8, ", "3, ").encode(),
    "10 MB": b"[" * 10_000_000,
    "1 MiB and a byte, sound": TEXT.encode() + b" " * (MIB + 1 - len(TEXT)),
}


@pytest.mark.parametrize("content", CORRUPT.values(), ids=CORRUPT)
def test_a_corrupt_file_is_moved_aside_with_one_warning(path, content):
    path.write_bytes(content)
    message = warned()
    aside = path.with_name("toy.json.corrupt-1")
    assert f"{path}: " in message
    assert f"it was moved to {aside}: tune again" in message
    assert aside.read_bytes() == content
    assert not path.exists()
    update()
    assert store.user("toy") == FILE
    path.write_bytes(b"{")  # once more in this process: moved aside, no second warning
    assert store.user("toy") is None
    assert path.with_name("toy.json.corrupt-2").read_bytes() == b"{"
    assert aside.read_bytes() == content


def test_a_file_of_just_the_allowed_size_is_read(path):
    path.write_bytes(TEXT.encode() + b" " * (MIB - len(TEXT)))
    assert store.user("toy") == FILE


def test_an_update_moves_a_corrupt_file_aside(path):
    path.write_bytes(b"{")
    with pytest.warns(RuntimeWarning, match="moved to .*corrupt-1") as record:
        update()
    assert len(record) == 1
    assert store.user("toy") == FILE
    assert path.with_name("toy.json.corrupt-1").read_bytes() == b"{"


def test_a_corrupt_file_is_reported_even_if_the_update_fails(path, monkeypatch):
    path.write_bytes(b"{")
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with (
        pytest.warns(RuntimeWarning, match=r"moved to .*corrupt-1"),
        pytest.raises(OSError, match="free space"),
    ):
        update()


def test_warnings_as_errors_do_not_cost_the_update(path):
    path.write_bytes(b"{")
    with pytest.raises(RuntimeWarning):
        update()
    assert store.user("toy") == FILE


def test_each_file_has_its_own_warning(path):
    for slug in ("toy", "other"):
        path.with_name(f"{slug}.json").write_text("{")
        assert f"{slug}.json.corrupt-1" in warned(lambda slug=slug: store.user(slug))


def test_a_newer_file_stays_and_is_not_overwritten(path):
    newer = TEXT.replace('"schema": 1', '"schema": 2')
    path.write_text(newer)
    message = warned()
    assert f"{path}: schema is 2, allowed is at most 1: update triton_acts" in message
    assert "moved" not in message
    assert names(path.parent) == {"toy.json"}
    with pytest.raises(NewerSchemaError, match=r"toy\.json: schema is 2"):
        update()
    assert path.read_text() == newer
    assert names(path.parent) == {"toy.json", "toy.json.lock"}


@contextmanager
def arriving(content, path, seconds):
    """A lock that another writer held, who left this content."""
    path.write_text(content)
    yield


def test_a_sound_file_that_was_written_meanwhile_is_used_and_stays(path, monkeypatch):
    path.write_text("{")
    monkeypatch.setattr(store, "locked", lambda *args: arriving(TEXT, *args))
    assert store.user("toy") == FILE  # a warning would be an error
    assert names(path.parent) == {"toy.json"}


def test_a_newer_file_that_was_written_meanwhile_stays(path, monkeypatch):
    path.write_text("{")
    monkeypatch.setattr(store, "locked", lambda *args: arriving('{"schema": 2}', *args))
    assert "schema is 2" in warned()
    assert names(path.parent) == {"toy.json"}


def test_many_threads_move_a_corrupt_file_once_and_warn_once(path):
    path.write_text("{")
    barrier = threading.Barrier(8)
    found = []

    def read():
        barrier.wait()
        found.append(store.user("toy"))

    def run_all():
        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with pytest.warns(RuntimeWarning) as record:
        run_all()
    assert found == [None] * 8
    assert len(record) == 1
    assert names(path.parent) == {"toy.json.corrupt-1", "toy.json.lock"}


@pytest.mark.parametrize("step", ["open", "replace"])
def test_a_corrupt_file_that_cannot_be_moved_is_reported_all_the_same(path, monkeypatch, step):
    path.write_text("{")
    monkeypatch.setattr(os, step, failing(errno.EROFS))
    message = warned()
    assert f"{path}: it is no JSON" in message
    assert "could not be moved away ([Errno 30]" in message
    assert "remove or repair it" in message
    assert path.read_text() == "{"


def test_a_lock_that_is_never_let_go_does_not_stop_a_call(path, monkeypatch):
    path.write_text("{")
    monkeypatch.setattr(store, "READER_SECONDS", 0.05)
    with _files.locked(path, 0):
        assert "another process has held" in warned()


def test_an_unreadable_file_is_reported_once(path, monkeypatch):
    path.write_text(TEXT)
    monkeypatch.setattr(Path, "open", failing(errno.EACCES))
    message = warned()
    assert f"{path} is not used: [Errno 13]" in message
    assert "set TRITON_ACTS_CONFIG_DIR to another folder" in message


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_no_regular_file_is_opened(path, make):
    make(path)
    assert f"{path} is no regular file" in warned()
    with pytest.raises(OSError, match="no regular file; the new block sizes are not saved"):
        update()


def test_a_file_in_place_of_the_folder(folder):
    folder.write_text("")
    assert "is not used: [Errno 20]" in warned()
    with pytest.raises(OSError, match="set TRITON_ACTS_CONFIG_DIR"):
        update()


@pytest.fixture
def give(monkeypatch):
    """Makes paths another user's, as far as os.stat tells."""
    owners = {}
    real = os.stat

    def fake(*args, **kwargs):
        result = real(*args, **kwargs)
        owner = owners.get((result.st_dev, result.st_ino), result.st_uid)
        return os.stat_result((*result[:4], owner, *result[5:]))

    def give(path, owner):
        result = os.lstat(path)
        owners[result.st_dev, result.st_ino] = owner

    monkeypatch.setattr(os, "stat", fake)
    return give


OTHER = os.geteuid() + 1


@pytest.mark.parametrize("which", ["folder", "file"])
def test_what_belongs_to_another_user_is_refused(path, give, which):
    path.write_text(TEXT)
    given_away = path if which == "file" else path.parent
    give(given_away, OTHER)
    message = warned()
    assert f"{given_away} or what it links to belongs to user {OTHER}, allowed are " in message
    with pytest.raises(PermissionError, match=r"^[^[].* belongs to .*; the new .* not saved; free"):
        update()
    assert path.read_text() == TEXT


def test_what_belongs_to_root_is_accepted(path, give, monkeypatch):
    path.write_text(TEXT)
    give(path, 0)
    give(path.parent, 0)
    monkeypatch.setattr(os, "geteuid", lambda: OTHER)
    assert store.user("toy") == FILE


@pytest.mark.parametrize("whose", ["target", "link"])
def test_a_link_to_or_of_another_user_is_refused(folder, tmp_path, give, whose):
    target = tmp_path / "elsewhere"
    target.mkdir(mode=0o700)
    (target / "toy.json").write_text(TEXT)
    folder.symlink_to(target)
    assert store.user("toy") == FILE  # a link of our own to a folder of our own
    give(target if whose == "target" else folder, OTHER)
    assert f"belongs to user {OTHER}" in warned()
    with pytest.raises(PermissionError):
        update()
    assert names(target) == {"toy.json"}


def test_a_lock_file_that_is_a_link_is_not_followed(path, tmp_path):
    path.with_name("toy.json.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="not saved"):
        update()
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_that_others_may_write_to_is_refused(path, mode):
    path.write_text(TEXT)
    path.parent.chmod(mode)
    message = warned()
    assert f"{path.parent} has mode {mode:04o}, so others may write to it" in message
    assert f"chmod go-w {path.parent}" in message
    with pytest.raises(PermissionError):
        update()
    path.parent.chmod(0o755)
    assert store.user("toy") == FILE


def test_folder_and_files_are_private_whatever_the_umask(folder):
    before = os.umask(0)
    try:
        path = update()
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o7777 for file in (folder, *folder.iterdir())}
    assert modes == {"configs": 0o700, path.name: 0o600, f"{path.name}.lock": 0o600}
