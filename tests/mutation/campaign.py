"""Do the tests notice small changes of the device code?

Mutants are sampled with a fixed seed and run in Triton's interpreter. The score is the share of
killed ones among those that run; equivalents.csv has, with a proof, those that nothing can notice.
It takes 20 minutes at most, and fails where they were not enough to count 100 mutants.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

from mutants import Mutant, mutants, sample
from trial import KILLED, SURVIVED, UNUSABLE, Result, trial, warm_up

ROOT = Path(__file__).parents[2]
EQUIVALENTS = Path(__file__).with_name("equivalents.csv")
BAR = 0.95
FEWEST = 100  # mutants that a score says something of
LIMIT_S = 240.0  # of a trial
LAST_START_S, END_S = 19 * 60.0, 20 * 60.0  # of the campaign
SEED = 1602_05980
# The quickest to notice come first; what a file's tests are called
GUARDS = "tests/battery/test_guard_pages.py"
TESTS = (
    "tests/battery/test_layouts.py",
    "tests/battery/test_values.py",
    "tests/kernel_road/test_accuracy.py",
    "tests/kernel_road/test_per_channel.py",
    "tests/kernel_road/test_kaf_kernels.py",
    GUARDS,
    "tests/battery/test_large.py",
)
# KAF's largest dictionaries do nothing that those of 64 nodes do not
_KAF = "not scaled_sigmoid and not penalized_tanh and not -128- and not -256-"
NAMED = {
    "pointwise/_scaled_sigmoid.py": "not kaf and not penalized_tanh",
    "pointwise/_penalized_tanh.py": "not kaf and not scaled_sigmoid",
    "pointwise/_kernels.py": "not kaf",
    "math.py": "not kaf",
    "dictionary/_kernels.py": _KAF,
    "dictionary/_groups.py": _KAF,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0 if the score reaches the bar, and is that of enough mutants."""
    parser = argparse.ArgumentParser(description=__doc__, prog="make mutate")
    parser.add_argument("--count", type=int, default=240, help="mutants to try (240)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the sample ({SEED})")
    parser.add_argument("--only", default="", help="only mutants whose name holds this text")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args(argv)
    proofs = equivalents()
    every = [m for m in mutants(ROOT / "triton_acts") if args.only in m.name]
    every = [m for m in every if m.name not in proofs]
    chosen = sample(every, args.count, args.seed)
    print(f"{len(chosen)} of {len(every)} mutants, seed {args.seed}, {args.workers} processes")
    random.Random(args.seed).shuffle(chosen)  # where time ends it, no file is left out
    found = dict(_results(chosen, args.workers))
    return _report(found, len(chosen) - len(found), proofs, 0 if args.only else FEWEST)


def _results(chosen: Sequence[Mutant], workers: int) -> Iterator[tuple[Mutant, Result]]:
    """Results as they come; the unchanged package has to pass first."""
    begin = time.monotonic()
    context = get_context("spawn")
    with _folder() as folder, ProcessPoolExecutor(workers, context, _prepare, (folder,)) as pool:
        left, waiting = list(reversed(chosen)), dict[Future[Result], Mutant | None]()
        waiting[pool.submit(_try, None, END_S)] = None
        number = 0
        while True:
            elapsed = time.monotonic() - begin
            while left and len(waiting) < workers and elapsed < LAST_START_S:
                mutant = left.pop()
                waiting[pool.submit(_try, mutant, min(LIMIT_S, END_S - elapsed))] = mutant
            if not waiting:
                return
            for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                mutant, result = waiting.pop(done), done.result()
                if mutant is None:
                    if result.verdict != SURVIVED:
                        raise SystemExit(f"the unchanged package fails: {result.detail}")
                    print(f"unchanged: passes in {result.seconds:.0f} s", flush=True)
                    continue
                number += 1
                where = f"{number}/{len(chosen)} after {time.monotonic() - begin:.0f} s"
                print(f"{where}: {result.verdict} {mutant.name} ({result.detail})", flush=True)
                yield mutant, result


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mutants-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_checkout = Path()


def _prepare(folder: Path) -> None:
    """A worker's own copy of package and tests."""
    global _checkout
    _checkout = folder / str(os.getpid())
    _checkout.mkdir()
    skipped = shutil.ignore_patterns("__pycache__")
    for name in ("triton_acts", "tests"):
        shutil.copytree(ROOT / name, _checkout / name, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", _checkout)
    warm_up()


def _try(mutant: Mutant | None, limit_s: float) -> Result:
    """One trial; None is the unchanged package.

    What crashes goes between forbidden pages once more, in forks: an access beyond a tensor is
    then an assertion that fails, and any other crash stays one.
    """
    if mutant is None:
        return trial(_checkout, TESTS, limit_s)
    named = ["-k", NAMED.get(mutant.file, "")]
    path = _checkout / "triton_acts" / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(mutant.applied(source), encoding="utf-8")
    try:
        found = trial(_checkout, [*TESTS, *named], limit_s)
        if not found.crashed or found.seconds > limit_s / 2:
            return found
        again = trial(_checkout, [GUARDS, *named], limit_s - found.seconds)
        return again if again.verdict == KILLED else found
    finally:
        path.write_text(source, encoding="utf-8")


def equivalents() -> dict[str, str]:
    """Proofs by the name of a mutant."""
    with EQUIVALENTS.open(encoding="utf-8", newline="") as file:
        return {row["mutant"]: row["proof"] for row in csv.DictReader(file)}


def _report(found: dict[Mutant, Result], untried: int, proofs: dict[str, str], fewest: int) -> int:
    tried = sorted(found, key=lambda mutant: mutant.name)
    by = {v: [m for m in tried if found[m].verdict == v] for v in (KILLED, SURVIVED, UNUSABLE)}
    survivors = by[SURVIVED]
    share = len(by[UNUSABLE]) / len(tried) if tried else 0.0
    print(f"\nUnusable, they crash, do not run or do not end: {len(by[UNUSABLE])}, {share:.1%}")
    for mutant in by[UNUSABLE]:
        print(f"  {mutant.name}: {found[mutant].detail}")
    print(f"\nEquivalent, with a proof and so not tried: {len(proofs)}")
    for name, proof in proofs.items():
        print(f"  {name}: {proof}")
    print(f"\nSurvivors: {len(survivors)}")
    for mutant in survivors:
        print(f"  {mutant.name}")
    killed, counted = len(by[KILLED]), len(by[KILLED]) + len(survivors)
    score = killed / counted if counted else 1.0
    if untried:
        print(f"\nNot tried, out of time: {untried}")
    print(f"\nkilled {killed} of {counted}: {score:.1%}, bar {BAR:.0%}")
    if counted < fewest:
        print(f"too few: a score of fewer than {fewest} says little")
    return int(score < BAR or counted < fewest)
