"""What a document's findings have in common: those of one rule at one place are told once."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_sessionguard.report.document import Document

_NAMES = 3


@dataclass(frozen=True)
class Spot:
    """A line of a file, as the repository knows it; the line is 0 where only the file is known."""

    path: str
    line: int
    function: str = ""

    def __str__(self) -> str:
        if not self.path:
            return "an unknown place"
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True)
class Group:
    """The findings of one rule at one place, which have one severity and one state.

    Attributes:
        spot: The place.
        findings: The findings, at least one.
    """

    spot: Spot
    findings: tuple[Mapping[str, Any], ...]

    @property
    def first(self) -> Mapping[str, Any]:
        """Return the finding whose words stand for all."""
        return self.findings[0]

    @property
    def is_error(self) -> bool:
        """Tell whether it is an error."""
        return bool(self.first["severity"] == "error")

    @property
    def is_accepted(self) -> bool:
        """Tell whether the baseline lists it."""
        return bool(self.first["state"] == "accepted")

    @property
    def head(self) -> str:
        """Return the rule's code and name."""
        return f"{self.first['rule']} {self.first['name']}"

    def owners(self) -> list[str]:
        """Return who met it: tests, or fixtures with their scope."""
        return list(dict.fromkeys(name_owner(finding) for finding in self.findings))

    def tell(self) -> str:
        """Write what happened, what it leads to, how to mend it, and who else met it."""
        finding = self.first
        sentences = (
            f"{finding['title']}.",
            finding["consequence"],
            f"Fix: {finding['fix']}",
            self.tell_others(),
        )
        return "\n".join(sentence for sentence in sentences if sentence)

    def tell_others(self) -> str:
        """Write who else met it, but for the first, whom its words name.

        Returns:
            "Also in test_b and 3 more.", or nothing.
        """
        others = self.owners()[1:]
        if not others:
            return ""
        if len(others) <= _NAMES:
            return f"Also in {', '.join(others)}."
        return f"Also in {', '.join(others[: _NAMES - 1])} and {len(others) - _NAMES + 1} more."


def group_findings(document: Document) -> list[Group]:
    """Put the findings of one rule at one place together.

    Args:
        document: The document of a run.

    Returns:
        The groups: new ones before accepted ones, errors first, by rule and place.
    """
    folder = document["run"].get("folder", "")
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for finding in document["findings"]:
        spot = find_spot(finding, folder)
        key = (
            finding["state"] == "accepted",
            finding["severity"] != "error",
            finding["rule"],
            spot.path,
            spot.line,
        )
        groups.setdefault(key, []).append(finding)
    return [
        # A test's words fit better than those of a fixture, which end a run.
        Group(find_spot(findings[0], folder), tuple(sorted(findings, key=_is_fixture)))
        for _, findings in sorted(groups.items(), key=lambda group: group[0])
    ]


def _is_fixture(finding: Mapping[str, Any]) -> bool:
    return bool(finding["owner"]["kind"] == "fixture")


def find_spot(finding: Mapping[str, Any], folder: str) -> Spot:
    """Find the line that a finding is about.

    Args:
        finding: A finding of a document.
        folder: Where pytest's root lies in its repository.

    Returns:
        The line; the file of the test where no line of the user's is known.
    """
    for place in finding["places"][:1]:
        for path, line, function in place["frames"]:
            if not path.startswith("<"):  # an example of a doctest that a test itself runs
                return make_spot(path, line, function, folder)
    nodeid = finding["owner"]["nodeid"] or finding["told_at"]
    return make_spot(nodeid.partition("::")[0], 0, "", folder)


def make_spot(path: str, line: int, function: str, folder: str) -> Spot:
    """Make a path of pytest's one of the repository's.

    Args:
        path: The path, relative to pytest's root.
        line: The line.
        function: The function.
        folder: Where pytest's root lies in its repository.

    Returns:
        The place.
    """
    if path and folder and not posixpath.isabs(path):
        path = posixpath.normpath(posixpath.join(folder, path))
    return Spot(path, max(line, 0), function)


def name_owner(finding: Mapping[str, Any]) -> str:
    """Name who opened the thing, so that it can be found.

    Args:
        finding: A finding of a document.

    Returns:
        The id of a test; a fixture with its scope.
    """
    owner = finding["owner"]
    if owner["kind"] == "fixture":
        return f"the {owner['scope']}-scoped {owner['name']}"
    return str(owner["nodeid"] or owner["name"])
