"""`python -m triton_acts.tuning`: tune, plan, explain, inspect, golden, promote.

Exit codes: 0; 1 if something cannot be done here; 2 for a wrong argument; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .commands import explain, golden, inspect, plan, promote, tune

__all__ = ["main"]

COMMANDS = (tune, plan, explain, inspect, golden, promote)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m triton_acts.tuning")
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
    except KeyboardInterrupt:
        sys.stderr.write(f"{args.command}: interrupted\n")
        return 130
    return code


if __name__ == "__main__":
    raise SystemExit(main())
