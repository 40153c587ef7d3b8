"""The command `sessionguard`: what one wants to know without running a test.

Each command is a module of two functions: `add(subparsers)` says what it takes, `run(arguments)`
does it and returns the exit code: 0 fine, 1 findings, 2 a call that cannot be meant.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

from pytest_sessionguard.cli import baseline, report, rule, rules
from pytest_sessionguard.cli.errors import CommandError
from pytest_sessionguard.report.document import TOOL, read_version

__all__ = ["COMMANDS", "CommandError", "main"]


class Command(Protocol):
    """One command: a module with these two functions."""

    def add(self, subparsers: argparse._SubParsersAction[argparse.ArgumentParser], /) -> None:
        """Say what the command takes."""

    def run(self, arguments: argparse.Namespace, /) -> int:
        """Do what it is for, and return the exit code."""


# In the order in which `--help` tells them.
COMMANDS: tuple[Command, ...] = (rule, rules, report, baseline)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments, without the program's name; those of the process by default.

    Returns:
        The exit code: 0 fine, 1 findings, 2 a call that cannot be meant.
    """
    parser = _make_parser()
    arguments = parser.parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except CommandError as error:
        print(f"sessionguard: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `sessionguard rules | head`
        sys.stderr.close()
        return 0
    return code


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sessionguard", description="Session faults in SQLAlchemy projects."
    )
    parser.add_argument("--version", action="version", version=f"{TOOL} {read_version()}")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for command in COMMANDS:
        known = set(subparsers.choices)
        command.add(subparsers)
        for name in set(subparsers.choices) - known:
            subparsers.choices[name].set_defaults(run=command.run)
    return parser
