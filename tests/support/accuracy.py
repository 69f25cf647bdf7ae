"""The accuracy table of the README, from what the tests measured."""

from pathlib import Path

COLUMNS = "| activation | quantity | dtype | largest error (ULP) | misrounded inputs |\n|---|---|---|---|---|"
WORST = "documented hardware errors"


def table(rows):
    """Markdown: a line for each (op, quantity, dtype), exact arithmetic and worst hardware error."""
    lines = [COLUMNS]
    seen = dict.fromkeys(key[:3] for key in rows)
    for op, what, dtype in seen:
        cells = [
            rows[op, what, dtype, kind]
            for kind in ("interpreter", WORST)
            if (op, what, dtype, kind) in rows
        ]
        errors = " / ".join(f"{error:.2f}" for error, _ in cells)
        wrong = " / ".join("-" if count is None else str(count) for _, count in cells)
        lines.append(
            f"| {op} | {what.replace(chr(124), chr(92) + chr(124))} | {dtype} | {errors} | {wrong} |"
        )
    return "\n".join(lines) + "\n"


def write(target, rows):
    """Writes the table to the file `target`."""
    Path(target).write_text(table(rows), encoding="utf-8")
