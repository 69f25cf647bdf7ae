"""Runs cells, one process each, until all are there or time is over."""

from __future__ import annotations

import functools
import importlib.util
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType

import torch

from ._cell import Cell, load, run_cell, save
from ._plan import Unit, cell_file
from ._task import Data, checked_data, fingerprint

__all__ = ["load_module", "run_units"]

Note = Callable[[str], None]
MODULE = "study_task"  # what a user's file is called once it is loaded


def run_units(
    todo: Sequence[Unit],
    seeds: Sequence[int],
    folder: Path | None,
    *,
    workers: int,
    minutes: float,
    note: Note,
    file: Path | None = None,
) -> tuple[list[Cell], list[Unit]]:
    """Runs what is not there yet.

    Args:
        todo: the cells, in order.
        seeds: of the runs that count.
        folder: where cells are kept, each as soon as it is complete; None keeps them nowhere.
        workers: processes; 1 runs in this one.
        minutes: no cell is begun that would end later if it took as long as the longest so far.
        note: is told what happens, a line each.
        file: a user's file that processes load before they start.

    Returns:
        The cells, and what was not begun in time.
    """
    done, left = list[Cell](), list[Unit]()
    for unit in todo:
        kept = folder and cell_file(folder, unit.task.name, unit.variant.name)
        if kept and kept.exists():
            done.append(load(kept))
        else:
            left.append(unit)
    if done:
        note(f"{len(done)} of {len(todo)} cells are there already")
    begin, longest = time.monotonic(), 0.0

    def late() -> bool:
        return time.monotonic() - begin + longest > minutes * 60

    run = _here if workers == 1 else functools.partial(_processes, workers=workers, file=file)
    for cell in run(left, seeds, late, note):
        if folder:
            save(cell, cell_file(folder, cell.task, cell.variant))
        done.append(cell)
        longest = max(longest, cell.seconds)
        elapsed = time.monotonic() - begin
        mean = sum(row["test"] for row in cell.runs) / len(cell.runs)
        note(
            f"[{len(done)}/{len(todo)}, {elapsed / 60:.1f} of {minutes:g} min] {cell.task}, "
            f"{cell.variant}: {mean:.4f}"
        )
    names = {(cell.task, cell.variant) for cell in done}
    return done, [u for u in todo if (u.task.name, u.variant.name) not in names]


def _here(
    left: Sequence[Unit], seeds: Sequence[int], late: Callable[[], bool], note: Note
) -> Iterator[Cell]:
    for unit in left:
        if late():
            return
        yield run_cell(unit.task, unit.variant, seeds, _data(unit), note)


def _processes(
    left: Sequence[Unit],
    seeds: Sequence[int],
    late: Callable[[], bool],
    _note: Note,
    *,
    workers: int,
    file: Path | None,
) -> Iterator[Cell]:
    """Cells as they come; Ctrl-C ends the processes at once, and what came is kept."""
    _check_sendable(left)
    context = multiprocessing.get_context("spawn")  # a fork would inherit PyTorch's threads
    queue, waiting = list(reversed(left)), set[Future[Cell]]()
    others = {*multiprocessing.active_children()}  # of whoever called us
    with ProcessPoolExecutor(workers, context, _prepare, (file,)) as pool:
        try:
            while True:
                while queue and len(waiting) < workers and not late():
                    unit = queue.pop()
                    waiting.add(pool.submit(_one, unit, seeds))
                if not waiting:
                    return
                found = wait(waiting, return_when=FIRST_COMPLETED).done
                waiting -= found
                for future in sorted(found, key=lambda one: one.exception() is not None):
                    yield future.result()  # an error only after what others finished
        except BaseException:
            for process in {*multiprocessing.active_children()} - others:
                process.terminate()
            raise


def _check_sendable(left: Sequence[Unit]) -> None:
    """ValueError if another process could not find the functions of a task."""
    for unit in left:
        try:
            ForkingPickler.dumps(unit)
            for given in (unit.task.make_model, unit.task.data, unit.variant.make):
                _check_importable(getattr(given, "func", given))
        except Exception as error:
            raise ValueError(
                f"{unit.task.name}, {unit.variant.name}: {error}. With workers above 1, "
                f"make_model, data, metric and factories must be functions of a module, no lambdas "
                f"and none of a notebook; workers=1 takes any"
            ) from None


def _check_importable(function: object) -> None:
    """A function of a notebook or of standard input pickles by name, and is found nowhere."""
    written_here = getattr(function, "__module__", None) == "__main__"
    if written_here and not hasattr(sys.modules["__main__"], "__file__"):
        raise TypeError(f"{function!r} is part of no file")


def _prepare(file: Path | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    torch.set_num_threads(1)
    if file is not None:
        load_module(file)


def _one(unit: Unit, seeds: Sequence[int]) -> Cell:
    return run_cell(unit.task, unit.variant, seeds, _data(unit))


def _data(unit: Unit) -> Data:
    """The data that the protocol names: on others, activations cannot be compared."""
    data = data_of(unit.task.data)
    if fingerprint(data) != unit.data_sha256:
        raise ValueError(
            f"{unit.task.name}: data() returned other data than before; fix the seed of everything "
            f"random in it, also of the split, so that all activations get the same"
        )
    return data


@functools.lru_cache(maxsize=2)
def data_of(make: Callable[[], Data]) -> Data:
    """A task's data, kept for the next cell where the function is the same object."""
    return checked_data(make())


def load_module(file: Path) -> ModuleType:
    """A user's file as a module, by a name under which other processes find it, too.

    It finds modules in its own folder, as a script does.
    """
    spec = importlib.util.spec_from_file_location(MODULE, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    sys.modules[MODULE] = module
    spec.loader.exec_module(module)
    return module
