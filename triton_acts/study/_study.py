"""The result of a study: its records as tables, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from triton_acts.tuning.writing import write_text

from ._cell import Cell
from ._machine import machines
from ._statistics import compare_paired, mean_interval

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["TABLES", "Study"]

TABLES = ("choices", "tried", "runs", "curves", "layers")
_TEXTS = ("task", "variant", "layer", "init", "options")
_COSTS = ("parameters", "epoch_s", "inference_us", "saved_mib")


@dataclass(frozen=True, eq=False)
class Study:
    """Runs of several activations on one or more tasks.

    Attributes:
        protocol: what was fixed before the first run.
        machine: where the cells ran: processor, cores, versions, dates, commit.
        dropped: (task, variant) of cells that were not run for want of time.
        choices: a row per cell: the chosen learning rate, initialisation and options.
        tried: a row per choice that was tried, with its validation metric.
        runs: a row per cell and seed: the metric on test and validation set, costs.
        curves: a row per cell, seed and epoch.
        layers: a row per cell, epoch and layer: the gradient's norm, its median over the seeds.
    """

    protocol: dict[str, Any]
    machine: dict[str, str]
    dropped: list[tuple[str, str]]
    choices: DataFrame
    tried: DataFrame
    runs: DataFrame
    curves: DataFrame
    layers: DataFrame

    @classmethod
    def of(
        cls,
        cells: Sequence[Cell],
        protocol: dict[str, Any],
        dropped: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """Puts cells together, tasks and variants in the protocol's order."""
        order = [(t, v) for t, task in protocol["tasks"].items() for v in task["variants"]]
        cells = sorted(cells, key=lambda cell: order.index((cell.task, cell.variant)))
        layers = _frame(cells, "layers")
        if len(layers):
            keys = ["task", "variant", "epoch", "layer"]
            layers = layers.groupby(keys, sort=False)["gradient_norm"].median().reset_index()
        return cls(
            protocol=protocol,
            machine=machines([cell.machine for cell in cells]),
            dropped=[*dropped],
            choices=_frame(cells, "choice"),
            tried=_frame(cells, "tried"),
            runs=_frame(cells, "runs"),
            curves=_rounded(_frame(cells, "curves"), "loss", "saturation", "dead", "weight_norm"),
            layers=_rounded(layers, "gradient_norm"),
        )

    def verdicts(self, metric: str = "test") -> DataFrame:
        """A row per task and variant: its mean, and its paired difference from the baseline.

        'better' or 'worse' = the interval after Holm's correction excludes 0; the family is the
        task's variants. Costs are medians over the seeds that did not diverge, if any.

        Args:
            metric: "test", or "also: NAME" for one of a task's further metrics, for which
                `higher_is_better` is that of the name's metric.

        Returns:
            Columns task, variant, seeds, mean, low, high, worst (of the seeds), difference,
            difference_low, difference_high, level, p, detectable, verdict, diverged,
            steps_to_target, and the costs parameters, epoch_s, inference_us, saved_mib. The
            baseline's own row, and rows of a task without its baseline, have no difference.

        Raises:
            ValueError: no task has this metric.
        """
        import pandas

        if metric not in self.runs and len(self.runs):
            known = [m for m in self.runs if m == "test" or str(m).startswith("also: ")]
            raise ValueError(f"verdicts: there is no metric {metric!r}; there are {known}")
        rows = []
        for name, task in self.protocol["tasks"].items():
            runs = self.runs[self.runs["task"] == name]
            if metric not in runs or runs[metric].isna().all():
                continue
            by = {
                str(v): group.sort_values("seed")
                for v, group in runs.groupby("variant", sort=False)
            }
            values = {v: group[metric].tolist() for v, group in by.items()}
            base, better_up = task["baseline"], self.higher_is_better(name, metric)
            compared = {}
            if base in values:
                others = {v: x for v, x in values.items() if v != base}
                compared = compare_paired(
                    values[base],
                    others,
                    higher_is_better=better_up,
                    alpha=self.protocol["alpha"],
                )
            steps = self.steps_to_target(name)
            for variant, group in by.items():
                mean, low, high = mean_interval(values[variant], self.protocol["alpha"])
                row: dict[str, Any] = {"task": name, "variant": variant, "seeds": len(group)}
                row |= {"mean": mean, "low": low, "high": high}
                row |= {"worst": min(values[variant]) if better_up else max(values[variant])}
                if variant in compared:
                    found = asdict(compared[variant])
                    row |= {
                        "difference": found["difference"],
                        "difference_low": found["low"],
                        "difference_high": found["high"],
                    }
                    row |= {k: found[k] for k in ("level", "p", "detectable", "verdict")}
                row |= {"diverged": int(group["diverged"].sum())}
                row |= {"steps_to_target": steps.get(variant)}
                whole = group if group["diverged"].all() else group[~group["diverged"]]
                rows.append(row | {cost: float(whole[cost].median()) for cost in _COSTS})
        return pandas.DataFrame(rows, columns=None if rows else ["task", "variant"])

    def higher_is_better(self, task: str, metric: str = "test") -> bool:
        """Which way is good."""
        if metric == "test":
            return bool(self.protocol["tasks"][task]["higher_is_better"])
        return bool(self.protocol["tasks"][task]["also"][metric.removeprefix("also: ")])

    def steps_to_target(self, task: str) -> dict[str, float]:
        """Median steps until validation reaches the baseline's median final value, by variant.

        Validation is looked at after each epoch. Of an even number of seeds the lower of the two
        middle values counts, so that the baseline, half of whose seeds end at its median or beyond,
        reaches its own target. Infinite where more than half of the seeds do not; empty without the
        baseline.
        """
        base = self.protocol["tasks"][task]["baseline"]
        curves = self.curves[self.curves["task"] == task]
        runs = self.runs[self.runs["task"] == task]
        final = runs[runs["variant"] == base]["validation"]  # of a diverged run a constant answer's
        if not len(final) or not len(curves):
            return {}
        target, found = float(final.median()), {}
        for variant, group in curves.groupby("variant", sort=False):
            right = group["validation"] >= target
            if not self.higher_is_better(task):
                right = group["validation"] <= target
            first = group[right].groupby("seed")["step"].min().reindex(group["seed"].unique())
            steps = sorted(first.fillna(float("inf")))
            found[str(variant)] = float(steps[(len(steps) - 1) // 2])
        return found

    def save(self, folder: Path) -> None:
        """Writes a CSV file a table, and `study.json` with protocol, machine and dropped cells."""
        folder.mkdir(parents=True, exist_ok=True)
        for table in TABLES:
            getattr(self, table).to_csv(folder / f"{table}.csv", index=False)
        about = {"machine": self.machine, "dropped": self.dropped, "protocol": self.protocol}
        text = json.dumps(about, indent=1) + "\n"
        write_text(folder / "study.json", text)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What `save` wrote.

        Raises:
            FileNotFoundError: there is no study in the folder, or none that came to an end.
        """
        if not (folder / "study.json").exists():
            raise FileNotFoundError(
                f"{folder} has no study.json, which a study writes at its end; the command that "
                f"began it goes on with it, and with --minutes 0 begins nothing more"
            )
        about = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        tables = {t: _read(folder / f"{t}.csv") for t in TABLES}
        dropped = [(task, variant) for task, variant in about["dropped"]]
        return cls(about["protocol"], about["machine"], dropped, **tables)


def _read(file: Path) -> DataFrame:
    """A table; a variant may be called "None" or "NA"."""
    import pandas

    types = dict.fromkeys(_TEXTS, str)
    frame = pandas.read_csv(file, keep_default_na=False, na_values=[""], dtype=types)
    return frame.fillna({name: "" for name in _TEXTS if name in frame})


def _rounded(frame: DataFrame, *columns: str) -> DataFrame:
    """Six digits of what nothing is decided by, for smaller files."""
    known = [name for name in columns if name in frame]
    return frame.assign(**{name: frame[name].map(lambda x: float(f"{x:.6g}")) for name in known})


def _frame(cells: Sequence[Cell], table: str) -> DataFrame:
    import pandas

    rows = []
    for cell in cells:
        found: Mapping[str, Any] | Sequence[Mapping[str, Any]] = getattr(cell, table)
        several = [found] if isinstance(found, Mapping) else found
        rows += [{"task": cell.task, "variant": cell.variant, **row} for row in several]
    return pandas.DataFrame(rows, columns=None if rows else ["task", "variant"])
