"""The baseline: the findings that a suite accepts, in a file that people review and git merges.

One entry is one line of JSON, in order: a review shows what came and went, entries of two branches
far apart merge by themselves, and where they meet the union of both sides is valid as it is. JSON
rather than a table of our own, because names may hold any character and every tool reads it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pytest_sessionguard.identity import Identity

VERSION = 1

_KIND = "sessionguard"
_NAMES = ("rule", "path", "function", "thing", "reason")
_NEEDED = frozenset(("rule", "path", "function"))
_CONFLICT = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")


class BaselineError(ValueError):
    """A baseline that cannot be read; its text names the file, the line and what to do."""


@dataclass(frozen=True)
class Baseline:
    """What is accepted, and why.

    Attributes:
        entries: The reason of each entry, often empty.
    """

    entries: Mapping[Identity, str] = field(default_factory=dict)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self.entries

    def __len__(self) -> int:
        return len(self.entries)

    def __or__(self, other: Baseline) -> Baseline:
        return Baseline(_merge([*self.entries.items(), *other.entries.items()]))

    def add(self, identities: Iterable[Identity]) -> Baseline:
        """Accept more.

        Args:
            identities: What is to be accepted; what is already keeps its reason.

        Returns:
            The larger baseline.
        """
        return Baseline({**dict.fromkeys(identities, ""), **self.entries})

    def drop(self, identities: Iterable[Identity]) -> Baseline:
        """Accept some no more.

        Args:
            identities: What goes; what is not there is no matter.

        Returns:
            The smaller baseline.
        """
        gone = set(identities)
        return Baseline({one: why for one, why in self.entries.items() if one not in gone})

    def find_gone(self, met: Iterable[Identity]) -> list[Identity]:
        """Find the entries that a whole run has not met.

        Args:
            met: The identities of all that it found.

        Returns:
            The others, in order.
        """
        return sorted(set(self.entries) - set(met))

    def dump(self) -> str:
        """Write it down.

        Returns:
            The text of the file: its kind and version, and the entries in order.
        """
        lines = [_write({_KIND: "baseline", "version": VERSION})]
        for identity, reason in sorted(self.entries.items()):
            entry = {**vars(identity), "reason": reason}
            lines.append(_write({k: v for k, v in entry.items() if v or k in _NEEDED}))
        return "\n".join(lines) + "\n"


def load(text: str, name: str) -> Baseline:
    """Read the text of a file.

    The order of lines does not matter, and a line may stand there twice: a merge by union leaves
    such files.

    Args:
        text: The text.
        name: What messages call the file.

    Returns:
        The baseline.

    Raises:
        BaselineError: A line cannot be read, or a newer version wrote it.
    """
    entries: list[tuple[Identity, str]] = []
    is_ours = False
    # Not `splitlines`, which would also cut at separators that a JSON text may hold.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{name}:{number}"
        data = _parse(line, where)
        if _KIND in data:
            _check_head(data, where)
            is_ours = True
        elif is_ours:
            entries.append(_read_entry(data, where))
        else:
            break
    if not is_ours:
        raise BaselineError(
            f'{name}:1: no baseline: it does not begin with {{"{_KIND}": "baseline", "version": '
            f"{VERSION}}}. Name another file, or delete this one and record anew."
        )
    return Baseline(_merge(entries))


def read_baseline(path: str, name: str) -> Baseline:
    """Read a file.

    Args:
        path: Where it lies.
        name: What messages call it.

    Returns:
        The baseline.

    Raises:
        BaselineError: It cannot be read or is none.
        FileNotFoundError: There is no such file.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return load(file.read(), name)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BaselineError(f"{name}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise BaselineError(f"{name}:{line}: is not UTF-8. {_MEND}") from None


def write_baseline(path: str, baseline: Baseline) -> None:
    """Write a file, so that whoever reads meanwhile sees the old one or the new one whole.

    A link stays a link, and a file keeps its permissions.

    Args:
        path: Where it is to lie.
        baseline: What it is to hold.

    Raises:
        OSError: It cannot be written; then the old one is as it was.
    """
    target = os.path.realpath(path)
    fresh = f"{target}.{uuid.uuid4().hex}"
    try:
        with open(fresh, "x", encoding="utf-8", newline="\n") as file:
            file.write(baseline.dump())
        with suppress(FileNotFoundError):
            os.chmod(fresh, os.stat(target).st_mode & 0o7777)
        os.replace(fresh, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh)
        raise


_MEND = "Mend or delete the line; nothing was changed."


def _write(data: Mapping[str, Any]) -> str:
    text = json.dumps(data, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is no UTF-8 arrives with lone surrogates
        return json.dumps(data)
    return text


def _parse(line: str, where: str) -> dict[str, Any]:
    if line.startswith(_CONFLICT):
        raise BaselineError(
            f"{where}: a mark of a conflict in git. Delete the lines that begin with {line[:7]} "
            "and their like; the entries of both sides may stay."
        )
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as error:
        told = error.msg if isinstance(error, json.JSONDecodeError) else "no JSON"
        raise BaselineError(f"{where}: cannot be read ({told}). {_MEND}") from None
    if not isinstance(data, dict):
        raise BaselineError(f"{where}: is no entry. {_MEND}")
    return data


def _check_head(data: Mapping[str, Any], where: str) -> None:
    version = data.get("version")
    if data[_KIND] != "baseline" or type(version) is not int or version < 1:
        raise BaselineError(f"{where}: is no head of a baseline. {_MEND}")
    if version > VERSION:
        raise BaselineError(
            f"{where}: was written in version {version}, and this pytest-sessionguard reads up to "
            f"{VERSION}. Update it; nothing was changed."
        )


def _read_entry(data: Mapping[str, Any], where: str) -> tuple[Identity, str]:
    wrong = next((name for name in data if name not in _NAMES), None)
    if wrong is not None:
        raise BaselineError(f"{where}: {wrong!r} is none of {', '.join(_NAMES)}. {_MEND}")
    missing = next((name for name in _NAMES if name in _NEEDED and name not in data), None)
    if missing is not None:
        raise BaselineError(f"{where}: lacks {missing!r}. {_MEND}")
    wrong = next((name for name, value in data.items() if not isinstance(value, str)), None)
    if wrong is not None:
        raise BaselineError(f"{where}: {wrong!r} is no text. {_MEND}")
    rule, path, function, thing, reason = (data.get(name, "") for name in _NAMES)
    return Identity(rule, path, function, thing), reason


def _merge(entries: Iterable[tuple[Identity, str]]) -> dict[Identity, str]:
    """Make one entry of those that are the same; whatever reasons two branches gave stay."""
    reasons: dict[Identity, set[str]] = {}
    for identity, reason in entries:
        reasons.setdefault(identity, set()).add(reason)
    return {
        identity: "; ".join(sorted(why for why in given if not _is_part(why, given)))
        for identity, given in reasons.items()
    }


def _is_part(reason: str, reasons: set[str]) -> bool:
    return any(reason != other and reason in other for other in reasons)
