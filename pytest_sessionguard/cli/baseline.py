"""`sessionguard baseline show|prune`: what is accepted, and what of it is gone."""

from __future__ import annotations

import argparse
import json
import os
from itertools import groupby
from pathlib import Path
from typing import Any

from pytest_sessionguard.baseline import Baseline, BaselineError, read_baseline, write_baseline
from pytest_sessionguard.cli.errors import CommandError
from pytest_sessionguard.identity import Identity
from pytest_sessionguard.rules import RULES

_NAMES = {rule.code: rule.name for rule in RULES}
# What the plugin leaves in pytest's cache, below its folder of values.
_KEPT = "v/sessionguard/baseline"
_RUN_FIRST = "Run the whole suite with --sessionguard-baseline first."


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Say what the command takes.

    Args:
        subparsers: Those of `sessionguard`.
    """
    parser = subparsers.add_parser("baseline", help="show what is accepted, drop what is gone")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="list the entries by rule and file, with their reasons")
    prune = actions.add_parser(
        "prune", help="drop the entries that the last run of the whole suite did not find any more"
    )
    for action in (show, prune):
        action.add_argument(
            "file", nargs="?", metavar="FILE", help="the baseline; by default that of the last run"
        )
        action.add_argument(
            "--cache-dir",
            metavar="DIR",
            help="pytest's cache; by default the nearest .pytest_cache from here upwards",
        )


def run(arguments: argparse.Namespace) -> int:
    """Show or prune.

    Args:
        arguments: What `add` asked for.

    Returns:
        0; of `prune` 1 where no run has told what is gone.

    Raises:
        CommandError: There is no such baseline, or it cannot be read or written.
    """
    kept = _read_cache(arguments.cache_dir)
    path = arguments.file or _shorten(kept.get("path", ""))
    if not path:
        raise CommandError(f"no run has used a baseline here: name its FILE. {_RUN_FIRST}")
    baseline = _read(path)
    if arguments.action == "show":
        print(_show(baseline))
        return 0
    gone = kept.get("gone")
    if gone is None or os.path.realpath(path) != os.path.realpath(kept.get("path", "")):
        print(f"What of {path} is gone is not known. {_RUN_FIRST}")
        return 1
    return _prune(path, baseline, gone)


def _prune(path: str, baseline: Baseline, gone: list[Identity]) -> int:
    dropped = sorted(one for one in gone if one in baseline)
    if not dropped:
        print(f"Nothing of {path} is gone.")
        return 0
    smaller = baseline.drop(dropped)
    try:
        write_baseline(path, smaller)
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
    for one in dropped:
        print(" ".join(part for part in (one.rule, one.path, one.function, one.thing) if part))
    entries = "1 entry" if len(dropped) == 1 else f"{len(dropped)} entries"
    print(f"{entries} dropped from {path}, which lists {len(smaller)} now.")
    return 0


def _show(baseline: Baseline) -> str:
    lines = []
    for rule, entries in groupby(sorted(baseline.entries), lambda one: one.rule):
        lines.append(" ".join(filter(None, (rule, _NAMES.get(rule, "")))))
        for path, ones in groupby(entries, lambda one: one.path):
            lines.append(f"  {path or 'no file'}")
            for one in ones:
                reason = baseline.entries[one]
                what = f"{one.function}: {one.thing}" if one.thing else one.function
                lines.append(f"    {what}" + (f"  ({reason})" if reason else ""))
        lines.append("")
    count = len(baseline)
    return "\n".join([*lines, "1 accepted" if count == 1 else f"{count} accepted"])


def _shorten(path: str) -> str:
    """Return a path as it is written from here, where it lies below."""
    short = os.path.relpath(path) if path else ""
    return path if short.startswith("..") else short


def _read(path: str) -> Baseline:
    try:
        return read_baseline(path, path)
    except FileNotFoundError:
        raise CommandError(f"there is no file {path}.") from None
    except BaselineError as error:
        raise CommandError(str(error)) from None


def _read_cache(folder: str | None) -> dict[str, Any]:
    """Read what the last runs have left, if anything can be read."""
    here = Path.cwd()
    near = (parent / ".pytest_cache" for parent in (here, *here.parents))
    cache = Path(folder) if folder else next((path for path in near if path.is_dir()), None)
    if cache is None:
        return {}
    try:
        kept = json.loads((cache / _KEPT).read_text(encoding="utf-8"))
        if isinstance(kept["path"], str):
            known = kept["gone"]
            gone = None if known is None else [Identity(**entry) for entry in known]
            return {"path": kept["path"], "gone": gone}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}
