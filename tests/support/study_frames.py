"""Studies that nobody ran: frames with the figures that a test wants."""

import pandas

from triton_acts.study import Study
from triton_acts.study._plan import CLAIMS

CURVES = ["task", "variant", "seed", "epoch", "step", "loss", "validation", "saturation"]
COSTS = {"parameters": 100, "epoch_s": 0.5, "inference_us": 20.0, "saved_mib": 1.5}


def about(variants, **changes):
    """A task's protocol."""
    fixed = {
        "metric": "accuracy",
        "higher_is_better": True,
        "epochs": 2,
        "batch_size": 16,
        "optimizer": "sgd",
        "learning_rates": [0.01, 0.03, 0.1],
        "inits": ["gain"],
        "clip": None,
        "baseline": variants[0],
        "also": {},
        "about": "a few numbers",
        "variants": {name: [""] for name in variants},
    }
    return fixed | changes


def study(tests, *, validation=None, dropped=(), curves=True, **changes):
    """A study of test metrics.

    Args:
        tests: the metric by seed, by variant, by task.
        validation: the same on the validation set where it is not the metric on the test set.
        dropped: (task, variant) that time did not allow.
        curves: whether there are curves and gradients.
        **changes: to every task's protocol.
    """
    seeds = max((len(x) for task in tests.values() for x in task.values()), default=2)
    left = {task: [v for t, v in dropped if t == task] for task in [*tests, *dict(dropped)]}
    names = {t: [*tests.get(t, {}), *left[t]] for t in left}
    fixed = {
        "version": 1,
        "seeds": [*range(1, seeds + 1)],
        "selection_seed": 0,
        "alpha": 0.05,
        "claims": CLAIMS,
        "tasks": {task: about(variants, **changes) for task, variants in names.items()},
    }
    rows = {"choices": [], "tried": [], "runs": [], "curves": [], "layers": []}
    for task, variants in tests.items():
        for variant, values in variants.items():
            cell = {"task": task, "variant": variant}
            chosen = cell | {"learning_rate": 0.03, "init": "gain", "options": ""}
            rows["choices"].append(chosen)
            for rate in (0.01, 0.03, 0.1):
                found = {"learning_rate": rate, "validation": 0.5 + rate, "diverged": False}
                rows["tried"].append(chosen | found)
            seen = (validation or {}).get(task, {}).get(variant, values)
            for seed, (test, right) in enumerate(zip(values, seen, strict=True), 1):
                run = cell | {"seed": seed, "test": test, "validation": right, "diverged": False}
                also = {f"also: {name}": test for name in fixed["tasks"][task]["also"]}
                rows["runs"].append(run | COSTS | also)
                rows["curves"] += _curve(cell | {"seed": seed}, right) if curves else []
            rows["layers"] += _layers(cell) if curves else []
    machine = {"processor": "a test", "cores": "2"}
    frames = {name: pandas.DataFrame(found) for name, found in rows.items()}
    if not rows["curves"]:
        frames["curves"] = pandas.DataFrame(columns=CURVES)
    return Study(fixed, machine, [*dropped], **frames)


def _curve(cell, last):
    look = {"loss": 1.0, "saturation": 0.2, "dead": 0.0, "weight_norm": 3.0}
    return [
        cell | look | {"epoch": epoch, "step": 8 * epoch, "validation": last * epoch / 2}
        for epoch in range(3)
    ]


def _layers(cell):
    return [
        cell | {"epoch": epoch, "layer": f"{layer}.weight", "gradient_norm": 0.1 * layer}
        for epoch in (1, 2)
        for layer in range(3)
    ]
