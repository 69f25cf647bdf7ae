"""The accuracy table of the README, from what the tests measured."""

from support import readme

HEADER = (
    "| activation | quantity | dtype | largest error (ULP), interpreter / modelled GPU "
    "| misrounded inputs |\n|---|---|---|---|---|"
)
KINDS = ("interpreter", "documented hardware errors")


def table(rows):
    """Markdown from {(op, quantity, dtype, kind): (error, misrounded)}, a line for both kinds."""
    lines = [HEADER]
    for op, what, dtype in dict.fromkeys(key[:3] for key in rows):
        cells = [rows[op, what, dtype, k] for k in KINDS if (op, what, dtype, k) in rows]
        errors = " / ".join(f"{error:.2f}" for error, _ in cells)
        wrong = " / ".join("" if count is None else str(count) for _, count in cells)
        what = what.replace("|", "\\|")
        lines.append(f"| {op} | {what} | {dtype} | {errors} | {wrong.strip(' /')} |")
    return "\n".join(lines) + "\n"


def write(file, rows):
    """Writes the table into the accuracy section of `file`."""
    readme.replace_section(file, "accuracy", table(rows))
