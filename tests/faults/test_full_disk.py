"""A disk that is full or read-only: it is said in one line, and nothing half-written stays.

The limit on the size of a process's files stands for the end of the disk: the kernel takes what
still fits of a write, and refuses the next. The store's own writes: tests/tuning_tools.
"""

import errno
import os
import resource
import stat
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.config_files import FILE, GPU, PROVENANCE, failing, names
from support.fake_tuning import FakeClock, toy_device
from support.small_run import small_run

from perf import __main__ as perf
from triton_acts.tuning import __main__ as tuning
from triton_acts.tuning import records, store, timing, tuner
from triton_acts.tuning.commands import tune as tune_command
from triton_acts.tuning.records import RESULTS, RUNS
from triton_acts.tuning.registry import Hardware
from triton_acts.tuning.target import Target
from triton_acts.tuning.tuner import tune
from triton_acts.tuning.writing import write_csv, write_text

FULL = Path("/dev/full")  # every write to it fails with ENOSPC


@contextmanager
def room(size):
    """Files of this process cannot grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def row(run_id):
    found = {name: "x" if kind is str else None for name, kind in RUNS.columns.items()}
    return found | {"run_id": run_id}


LINE = len(RUNS.encode(row("r1")))


@pytest.mark.parametrize("left", [0, 1, LINE - 1])
def test_a_row_is_written_whole_or_not_at_all(tmp_path, left):
    path = tmp_path / "runs.csv"
    records.append(path, RUNS, [row("r1")])
    size = path.stat().st_size
    with room(size + LINE + left), pytest.raises(OSError, match="the rows before are kept") as said:
        records.append(path, RUNS, [row("r2"), row("r3"), row("r4")])
    assert said.value.errno == errno.EFBIG
    assert said.value.filename == str(path)
    assert path.stat().st_size == size + LINE
    records.append(path, RUNS, [row("r5")])
    table = records.read(path, RUNS)
    assert table.problems == []
    assert [found["run_id"] for found in table.rows] == ["r1", "r2", "r5"]


@pytest.mark.parametrize("left", [0, 1, len(RUNS.header) - 1])
def test_a_header_is_written_whole_or_not_at_all(tmp_path, left):
    path = tmp_path / "runs.csv"
    with room(left), pytest.raises(OSError, match="free space or name another folder"):
        records.append(path, RUNS, [row("r1")])
    assert path.read_bytes() == b""
    records.append(path, RUNS, [row("r1")])
    assert len(records.read(path, RUNS).rows) == 1


def test_the_row_of_another_process_is_not_cut_off(tmp_path):
    """It came after the part of ours; then that part stays, and `read` names it."""
    path = tmp_path / "runs.csv"
    records.append(path, RUNS, [])

    class Filling:
        def __init__(self):
            self.file = path.open("a+b", buffering=0)
            self.seek, self.truncate = self.file.seek, self.file.truncate
            self.calls = 0

        def write(self, data):
            self.calls += 1
            if self.calls == 1:
                return self.file.write(data[:5])
            records.append(path, RUNS, [row("other")])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    filling = Filling()
    with pytest.raises(OSError, match="No space left on device"), filling.file:
        records._write(filling, path, RUNS.encode(row("ours")).encode())
    table = records.read(path, RUNS)
    assert [found["run_id"] for found in table.rows] == ["other"]
    assert len(table.problems) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda file: write_text(file, "new" * 99),
        lambda file: write_csv(file, ["a"], [{"a": "new" * 99}]),
    ],
    ids=["text", "csv"],
)
def test_a_file_that_does_not_fit_leaves_the_old_one(tmp_path, write):
    file = tmp_path / "table.csv"
    file.write_text("old")
    with room(50), pytest.raises(OSError, match="File too large") as said:
        write(file)
    assert said.value.filename == str(file)
    assert names(tmp_path) == {"table.csv"}
    assert file.read_text() == "old"
    write(file)
    assert "new" in file.read_text()


def test_an_error_that_names_its_files_keeps_them(tmp_path):
    folder = tmp_path / "table.csv"
    folder.mkdir()
    with pytest.raises(IsADirectoryError) as said:
        write_text(folder, "new")
    assert said.value.filename.endswith(".tmp")
    assert said.value.filename2 == str(folder)
    assert names(tmp_path) == {"table.csv"}


def test_the_users_file_leaves_the_old_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "configs"))
    path = store.update_user("toy", GPU, PROVENANCE, {})
    before = path.read_bytes()
    with room(len(before) + 1), pytest.raises(OSError, match="not saved; free space"):
        store.update_user("toy", GPU, PROVENANCE, FILE.entries)
    assert path.read_bytes() == before
    assert names(path.parent) == {"toy.json", "toy.json.lock"}


@pytest.fixture
def tuning_here(monkeypatch, tmp_path):
    """The command `tune`, where a CPU that is called a GPU is tuned."""
    monkeypatch.setenv("TRITON_ACTS_CONFIG_DIR", str(tmp_path / "configs"))
    monkeypatch.setattr(tune_command, "_obstacle", lambda gpu: ("", 0))
    monkeypatch.setattr(tune_command, "here", toy_device)
    monkeypatch.setattr(tune_command, "tune", partial(tune, clock=FakeClock(lambda *_: 1.0)))
    monkeypatch.setattr(tuner, "target_of", lambda _: Target("toy-gpu", "none", "none", Hardware()))
    monkeypatch.setattr(timing, "canary", lambda device, clock: 99.0)
    return lambda folder: tuning.main(["tune", "--records", str(folder)])


@pytest.fixture
def perf_here(monkeypatch, tmp_path):
    """The command `perf run` on a tiny case."""
    small_run(monkeypatch)
    report = ["--report", str(tmp_path / "report")]
    return lambda folder: perf.main(["run", "--quick", "--records", str(folder), *report])


def said(capsys, command):
    """The last line on stderr, after the name of the command."""
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"{command}: ")
    return line


@pytest.mark.parametrize("command", ["tune", "perf"])
@pytest.mark.parametrize("file", ["runs.csv", "results"])
def test_a_command_on_a_full_disk_says_so(command, file, request, tmp_path, capsys):
    run = request.getfixturevalue(f"{'tuning' if command == 'tune' else 'perf'}_here")
    folder = tmp_path / "records"
    folder.mkdir()
    results = "toy-gpu.csv" if command == "tune" else "cpu.csv"
    (folder / file.replace("results", results)).symlink_to(FULL)
    assert run(folder) == 1
    line = said(capsys, command)
    assert "No space left on device; the rows before are kept; free space or" in line
    assert file.replace("results", results) in line
    for left in (folder / "runs.csv", folder / results):
        if left.is_file():
            schema = RUNS if left.name == "runs.csv" else RESULTS
            assert records.read(left, schema).problems == []
    assert not (tmp_path / "configs").exists()


@pytest.mark.parametrize("command", ["tune", "perf"])
def test_a_command_in_a_read_only_folder_says_so(command, request, tmp_path, capsys, monkeypatch):
    run = request.getfixturevalue(f"{'tuning' if command == 'tune' else 'perf'}_here")
    monkeypatch.setattr(os, "mkdir", failing(errno.EROFS))
    assert run(tmp_path / "records") == 1
    assert "Read-only file system" in said(capsys, command)
    assert names(tmp_path) == set()


def test_a_report_that_does_not_fit_leaves_the_old_one(perf_here, tmp_path, capsys):
    assert perf_here(tmp_path / "records") == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "report").iterdir()}
    rows = len(records.read(tmp_path / "records" / "cpu.csv", RESULTS).rows)
    with room(len(before["report.md"]) * 3 // 4):
        assert perf_here(tmp_path / "records") == 1
    line = said(capsys, "perf")
    assert "File too large" in line
    assert "report.md" in line
    assert {file.name: file.read_bytes() for file in (tmp_path / "report").iterdir()} == before
    assert len(records.read(tmp_path / "records" / "cpu.csv", RESULTS).rows) == 2 * rows


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("make", ["store", "tune"])
def test_all_that_is_made_in_the_users_cache_is_private(
    umask, make, tuning_here, tmp_path, monkeypatch
):
    monkeypatch.delenv("TRITON_ACTS_CONFIG_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home" / "cache"))
    before = os.umask(umask)
    try:
        if make == "store":
            store.update_user("toy", GPU, PROVENANCE, FILE.entries)
        else:
            monkeypatch.setattr("triton_acts.tuning.commands._options.checkout", lambda: None)
            monkeypatch.setattr(tune_command, "jobs", lambda ops: [])
            assert tuning.main(["tune"]) == 0
    finally:
        os.umask(before)
    made = [*(tmp_path / "home").rglob("*"), tmp_path / "home"]
    found = {file: stat.S_IMODE(file.stat().st_mode) for file in made}
    assert len(found) > 4
    assert {mode for file, mode in found.items() if file.is_dir()} == {0o700}
    if make == "store":
        assert {mode for file, mode in found.items() if file.is_file()} == {0o600}
