"""The accuracy tables of docs/accuracy.md, from what the tests measured."""

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


KAF_HEADER = (
    "| nodes | y within the grid | y anywhere | dx within the grid | dx anywhere | dalpha |\n"
    "|---|---|---|---|---|---|"
)


def kaf_table(rows):
    """Markdown from {(nodes, kind): errors}, a line a number of nodes."""
    lines = [KAF_HEADER]
    for nodes in dict.fromkeys(key[0] for key in rows):
        both = [rows[nodes, kind] for kind in KINDS if (nodes, kind) in rows]
        cells = [" / ".join(f"{value:.1e}" for value in pair) for pair in zip(*both, strict=True)]
        lines.append(f"| {nodes} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def write(file, rows, kaf_rows):
    """Writes the tables that were measured into their sections of `file`."""
    if rows:
        readme.replace_section(file, "accuracy", table(rows))
    if kaf_rows:
        readme.replace_section(file, "kaf accuracy", kaf_table(kaf_rows))
