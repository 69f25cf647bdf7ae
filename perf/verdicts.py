"""Two runs case by case: SAME, FAST, SLOW, or UNCLEAR where they do not tell.

A time has changed when it did so in ms and in units of the case's yardstick: where the yardstick
moved as well, the machine did, and the more conservative of both views counts. A yardstick does not
feel a lower clock as computation does; a case's other providers do, so they are witnesses, too.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from perf.history import CASE, Run, is_trial
from perf.timed import Timed, timed
from perf.training import TRAINING
from triton_acts.tuning.timing import YARDSTICK

__all__ = ["ALIKE", "ALONE", "BETWEEN_RUNS", "MATTERS", "RULED_OUT", "SAMPLES", "VERDICTS"]
__all__ += ["Comparison", "Line", "Ratio", "compare", "ratio", "verdict"]

# Medians of two quiet runs differ by up to this, although each run is steadier inside: clocks,
# temperature and where memory came to lie last for a run.
BETWEEN_RUNS = 0.03
# All of an interval has to lie beyond this change, either way, to be FAST or SLOW.
MATTERS = 1.02
# SAME says that the change is smaller than this, the slowdown that has to be found.
RULED_OUT = 1.15
# Where all other providers of a case moved this far of one's way, it was the machine or torch.
ALIKE = 0.5
# A change needs as many samples on both sides: of fewer, p20 and p80 say little about the spread.
SAMPLES = 5
VERDICTS = ("SAME", "FAST", "SLOW", "UNCLEAR")
ALONE = ("only in base", "only in head")  # in place of a verdict

_Key = tuple[object, ...]


@dataclass(frozen=True)
class Ratio:
    """Head over base, and the interval that it is in."""

    value: float
    low: float
    high: float

    @property
    def holds_one(self) -> bool:
        """True where there need be no change."""
        return self.low <= 1 <= self.high

    @property
    def ruled_out(self) -> bool:
        """True where a change of RULED_OUT, either way, is out of the question."""
        return self.low > 1 / RULED_OUT and self.high < RULED_OUT


@dataclass(frozen=True)
class Line:
    """What became of one provider in one case.

    Attributes:
        case: the values of `CASE`, then aligned.
        provider: who ran.
        gpu: the GPU's slug.
        verdict: one of VERDICTS or ALONE.
        base_ms: median in ms.
        head_ms: median in ms.
        raw: of the times in ms; None where one run has none.
        shared: of the times in units of the yardstick; None where there is no yardstick.
        yardstick: of the yardstick's times.
        remark: why there is no time in the other run, or why a change is not believed.
    """

    case: _Key
    provider: str
    gpu: str
    verdict: str
    base_ms: float | None = None
    head_ms: float | None = None
    raw: Ratio | None = None
    shared: Ratio | None = None
    yardstick: Ratio | None = None
    remark: str = ""

    @property
    def move(self) -> float:
        """The logarithm of the ratio, of two views the smaller one; 0 where they disagree."""
        moves = [math.log(view.value) for view in (self.raw, self.shared) if view]
        agree = all(x > 0 for x in moves) or all(x < 0 for x in moves)
        return min(moves, key=abs) if moves and agree else 0.0


@dataclass(frozen=True)
class _Times:
    """What a run holds.

    Attributes:
        providers: times by case, provider and GPU.
        yardsticks: times of the yardstick by case and GPU.
        status: why there is no time, by case without aligned, provider and GPU.
    """

    providers: dict[_Key, Timed] = field(default_factory=dict)
    yardsticks: dict[_Key, Timed] = field(default_factory=dict)
    status: dict[_Key, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """All cases of two runs, in base's order, those of head alone last."""

    base: Run
    head: Run
    lines: list[Line]

    @property
    def counts(self) -> Counter[str]:
        """How many cases got each verdict."""
        return Counter(line.verdict for line in self.lines)


def compare(base: Run, head: Run) -> Comparison:
    """The verdict on every case that has a time in either run; trials of the tuner are left out."""
    before, after = _times(base), _times(head)
    lines: list[Line] = []
    for key, old in before.providers.items():
        if key in after.providers:
            lines.append(_line(key, old, after.providers[key], before, after))
        else:
            lines.append(_alone(key, ALONE[0], old, after))
    lines = [_witnessed(line, lines) for line in lines]
    for key, new in after.providers.items():
        if key not in before.providers:
            lines.append(_alone(key, ALONE[1], new, before))
    return Comparison(base, head, lines)


def ratio(over: Sequence[Timed], under: Sequence[Timed]) -> Ratio:
    """The product of medians over that of as many others, and the interval around it.

    Deviations add in quadrature: `BETWEEN_RUNS` once for each two, and p20 to p80 of every time.
    """
    value = math.prod(t.p50 for t in over) / math.prod(t.p50 for t in under)
    up = [math.log(t.p80 / t.p50) for t in over] + [math.log(t.p50 / t.p20) for t in under]
    down = [math.log(t.p50 / t.p20) for t in over] + [math.log(t.p80 / t.p50) for t in under]
    between = [BETWEEN_RUNS] * len(over)
    low, high = (math.exp(math.hypot(*between, *spread)) for spread in (down, up))
    return Ratio(value, value / low, value * high)


def verdict(raw: Ratio, shared: Ratio | None = None) -> str:
    """What two views of a case say.

    Args:
        raw: of the times in ms.
        shared: of the times in units of the yardstick, if there is one.
    """
    views = [raw, *([shared] if shared else [])]
    if all(view.low > MATTERS for view in views):
        return "SLOW"
    if all(view.high < 1 / MATTERS for view in views):
        return "FAST"
    if raw.ruled_out and all(view.holds_one for view in views):
        return "SAME"
    return "UNCLEAR"


def _times(run: Run) -> _Times:
    found = _Times()
    for row in run.rows:
        if is_trial(row):
            continue
        case, who = tuple(row[name] for name in CASE), (row["provider"], run.gpu)
        time = timed(row)
        if time is None:
            found.status[(*case, *who)] = str(row["status"])
        elif row["provider"] == YARDSTICK:
            found.yardsticks[(*case, row["aligned"], run.gpu)] = time
        else:
            found.providers[(*case, row["aligned"], *who)] = time
    return found


def _line(key: _Key, old: Timed, new: Timed, before: _Times, after: _Times) -> Line:
    *case, provider, gpu = key
    raw, shared, yardstick = ratio([new], [old]), None, None
    times = [old, new]
    plain = [run.yardsticks.get((*case, gpu)) for run in (before, after)]
    if plain[0] and plain[1]:
        yardstick = ratio([plain[1]], [plain[0]])
        shared = ratio([new, plain[0]], [old, plain[1]])
        times += [plain[0], plain[1]]
    found, remark = verdict(raw, shared), ""
    if found in ("FAST", "SLOW"):
        if shared is None:
            remark = "no yardstick in both runs"
        elif min(time.samples for time in times) < SAMPLES:
            remark = f"fewer than {SAMPLES} samples"
    who = str(provider), str(gpu), "UNCLEAR" if remark else found
    return Line(tuple(case), *who, old.p50, new.p50, raw, shared, yardstick, remark)


def _witnessed(line: Line, lines: Sequence[Line]) -> Line:
    """The line, its change taken back where all others of its case changed alike.

    A training step without others has no witness at all: its yardstick only copies.
    """
    if line.verdict not in ("FAST", "SLOW"):
        return line
    others = [x for x in lines if x.raw and x.case == line.case and x.provider != line.provider]
    if others and all(x.move / line.move >= ALIKE for x in others):
        return replace(line, verdict="UNCLEAR", remark="all providers of the case moved alike")
    if not others and line.case[0] == TRAINING:
        return replace(line, verdict="UNCLEAR", remark="no other activation has a time in both")
    return line


def _alone(key: _Key, where: str, time: Timed, other: _Times) -> Line:
    *case, aligned, provider, gpu = key
    remark = other.status.get((*case, provider, gpu), "")
    base, head = (time.p50 if where == name else None for name in ALONE)
    who = str(provider), str(gpu)
    return Line((*case, aligned), *who, where, base, head, remark=remark)
