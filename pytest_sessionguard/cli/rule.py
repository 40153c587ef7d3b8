"""`sessionguard rule CODE`: what a rule finds, why, and what to do instead."""

from __future__ import annotations

import argparse
import shutil

from pytest_sessionguard.cli.errors import CommandError
from pytest_sessionguard.report.explanation import explain_all
from pytest_sessionguard.rules.names import UnknownRuleError


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say what the command takes.

    Args:
        subparsers: Those of `sessionguard`.
    """
    parser = subparsers.add_parser("rule", help="explain rules")
    parser.add_argument("rule", nargs="+", metavar="RULE", help="a code, a name or a group")


def run(arguments: argparse.Namespace) -> int:
    """Print the explanations.

    Args:
        arguments: What `add` asked for.

    Returns:
        0.

    Raises:
        CommandError: No rule has such a name.
    """
    width = shutil.get_terminal_size().columns
    try:
        print(explain_all(arguments.rule, width))
    except UnknownRuleError as error:
        raise CommandError(str(error)) from None
    return 0
