"""Whatever lies in place of a config file, a call goes on: one warning, and the next tier answers.

What single functions of the store do is tested in tests/tuning_tools; here a look-up asks them all.
"""

import json
import sys
from pathlib import Path

import pytest
import torch
from support import fake_gpu
from support.config_files import KEY, TEXT, names

import triton_acts
from triton_acts import gpus
from triton_acts.tuning import lookup, store
from triton_acts.tuning.config import Config
from triton_acts.tuning.registry import FLAT
from triton_acts.tuning.target import target_of

SLUG = "h200"


def holding(elements_per_thread):
    """The text of a sound file whose entry is so large."""
    data = json.loads(TEXT)
    data["entries"] = {KEY: {"24": {"elements_per_thread": elements_per_thread, "num_warps": 4}}}
    return json.dumps(data)


SOUND = holding(8)


def value(text):
    """A file with this JSON as the number of warps."""
    return SOUND.replace('"num_warps": 4', f'"num_warps": {text}').encode()


HOSTILE = {
    "empty": b"",
    "cut off": SOUND.encode()[:-9],
    "binary": bytes(range(256)),
    "block of 3": holding(3).encode(),
    "2^30 warps": value(str(1 << 30)),
    "5,000 digits": value("9" * 5000),
    "text": value('"4"'),
    "text to run": value("\"__import__('os').abort()\""),
    "object to make": value('{"py/object": "os.abort", "__reduce__": ["os.abort", []]}'),
    "NaN": value("NaN"),
    "infinity": value("-Infinity"),
    "overflow": value("1e999"),
    "deep": value("[" * 100_000 + "]" * 100_000),
    "deep objects": value('{"a":' * 100_000 + "1" + "}" * 100_000),
    "the same name twice": value('4, "num_warps": 8'),
    "10 MB": SOUND.encode() + b" " * 10_000_000,
}
NEWER = SOUND.replace('"schema": 1', '"schema": 2').encode()


@pytest.fixture(autouse=True)
def user(tmp_path, monkeypatch):
    """The user's folder, of one who asks on an H200."""
    folder = tmp_path / "user"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(folder))
    monkeypatch.delenv("TRITON_ACTS_GPU", raising=False)
    monkeypatch.setattr(store, "_warned", {})
    identity = gpus.classify("NVIDIA H200", "sm_90", 132, 140)
    monkeypatch.setattr(gpus, "identify", lambda device=None: identity)
    monkeypatch.setattr(gpus, "device_rate", lambda device: gpus.DeviceRate(32, 18.4))
    gpus.table()  # read before its folder is another
    lookup.forget()
    yield folder
    lookup.forget()


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """The package's folder: a file for the H200 with 2 elements, one for its family with 1."""
    folder = tmp_path / "triton_acts" / "configs"
    folder.mkdir(parents=True)
    (folder / f"{SLUG}.json").write_text(holding(2))
    (folder / "arch-sm_90.json").write_text(holding(1))
    monkeypatch.setattr(store.resources, "files", lambda package: tmp_path / package)
    return folder


def ask():
    """Who answers, and with what, in a process that has read nothing yet."""
    lookup.forget()
    found = lookup.answer(
        "scaled_sigmoid", "forward", torch.bfloat16, 1 << 24, True, FLAT, target_of(0)
    )
    return found.tier, found.config


def ask_warned():
    """The answer and the text of the only warning; asked again, the same without one."""
    with pytest.warns(RuntimeWarning) as record:
        found = ask()
    assert len(record) == 1
    assert ask() == found  # another warning would be an error
    return found, str(record[0].message)


def test_sound_files_answer_without_a_warning(user, shipped):
    assert ask() == ("shipped", Config(2))
    (user / f"{SLUG}.json").write_text(SOUND)
    assert ask() == ("user", Config(8))


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_of_the_user_is_set_aside_and_the_shipped_one_answers(
    content, user, shipped
):
    (user / f"{SLUG}.json").write_bytes(content)
    answer, warning = ask_warned()
    assert answer == ("shipped", Config(2))
    assert f"{user / SLUG}.json: " in warning
    assert "tune again" in warning
    assert len(warning) < 2000
    assert names(user) == {f"{SLUG}.json.corrupt-1", f"{SLUG}.json.lock"}
    assert (user / f"{SLUG}.json.corrupt-1").read_bytes() == content


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_shipped_file_is_passed_over_and_stays(content, shipped):
    (shipped / f"{SLUG}.json").write_bytes(content)
    answer, warning = ask_warned()
    assert answer == ("architecture", Config(1))
    assert f"{shipped / SLUG}.json is not used: " in warning
    assert "install triton_acts again" in warning
    assert names(shipped) == {f"{SLUG}.json", "arch-sm_90.json"}
    assert (shipped / f"{SLUG}.json").read_bytes() == content


def test_files_of_a_newer_version_stay_and_the_next_tier_answers(user, shipped):
    for folder, expected in (
        (user, ("shipped", Config(2))),
        (shipped, ("architecture", Config(1))),
    ):
        file = folder / f"{SLUG}.json"
        file.write_bytes(NEWER)
        answer, warning = ask_warned()
        assert answer == expected
        assert "schema is 2, allowed is at most 1" in warning
        assert file.read_bytes() == NEWER
    assert names(user) == {f"{SLUG}.json"}


@pytest.fixture
def modes_hold(monkeypatch):
    """Stops root as modes stop everybody else."""
    opened = Path.open

    def open_(path, *args, **kwargs):
        if path.exists() and not path.stat().st_mode & 0o400:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", open_)


@pytest.mark.usefixtures("modes_hold")
def test_unreadable_files_stay_and_the_next_tier_answers(user, shipped):
    for folder, expected in (
        (user, ("shipped", Config(2))),
        (shipped, ("architecture", Config(1))),
    ):
        file = folder / f"{SLUG}.json"
        file.write_text(SOUND)
        file.chmod(0)
        answer, warning = ask_warned()
        assert answer == expected
        assert f"{file} is not used: [Errno 13] Permission denied" in warning
    assert names(user) == {f"{SLUG}.json"}
    for folder in (user, shipped):
        (folder / f"{SLUG}.json").chmod(0o600)
        assert (folder / f"{SLUG}.json").read_text() == SOUND


def test_with_no_file_left_the_rule_answers(user, shipped):
    for file in (user / f"{SLUG}.json", *shipped.iterdir()):
        file.write_bytes(b"{")
    with pytest.warns(RuntimeWarning) as record:
        tier, config = ask()
    assert len(record) == 3
    assert tier == "analytic"
    assert config.num_warps == 4


def test_a_call_of_the_public_function_goes_on(user, monkeypatch):
    driver = fake_gpu.install(monkeypatch)
    file = user / f"{gpus.identify().slug}.json"
    file.write_bytes(HOSTILE["cut off"])
    with pytest.warns(RuntimeWarning, match="tune again") as record:
        triton_acts.scaled_sigmoid(torch.zeros(1 << 12, dtype=torch.bfloat16))
    assert len(record) == 1
    assert len(driver.launches) == 1


RUNS_CODE = {"exec", "compile", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"}
RUNS_CODE |= {"pickle.find_class", "marshal.loads", "ctypes.dlopen", "import", "os.fork"}
watched = []


def hook(event, args):
    """Notes what an interpreter says that it runs. A hook cannot be taken out again."""
    if watched and event in RUNS_CODE:
        watched.append((event, args))


sys.addaudithook(hook)


@pytest.mark.parametrize(
    "content", [*HOSTILE.values(), NEWER, SOUND.encode()], ids=[*HOSTILE, 1, 2]
)
@pytest.mark.filterwarnings("ignore:triton_acts. :RuntimeWarning")
def test_nothing_in_a_file_is_ever_run(content, user, shipped):
    (user / f"{SLUG}.json").write_bytes(content)
    (shipped / f"{SLUG}.json").write_bytes(content)
    ask()  # what is imported at the first time
    (user / f"{SLUG}.json").write_bytes(content)
    watched.append("on")
    try:
        ask()
        events = watched[1:]
    finally:
        watched.clear()
    assert events == []


def test_the_watch_sees_what_runs():
    watched.append("on")
    eval("1 + 1")
    events = {event for event, _ in watched[1:]}
    watched.clear()
    assert events == {"compile", "exec"}
