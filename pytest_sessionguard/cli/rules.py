"""`sessionguard rules`: all of them, one a line."""

from __future__ import annotations

import argparse

from pytest_sessionguard.report.explanation import list_rules
from pytest_sessionguard.rules import RULES


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say what the command takes: nothing.

    Args:
        subparsers: Those of `sessionguard`.
    """
    subparsers.add_parser("rules", help="list the rules")


def run(_: argparse.Namespace) -> int:
    """Print the list.

    Returns:
        0.
    """
    print(list_rules(RULES))
    return 0
