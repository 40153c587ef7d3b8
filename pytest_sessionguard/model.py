"""The guard's words as plain values: what a finding is made of, and how it travels as JSON.

Nothing here knows pytest, SQLAlchemy or how anything was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Fact = str | int | bool | None


class Severity(str, Enum):
    """What a finding of a rule does to the run."""

    ERROR = "error"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True)
class Frame:
    """One line of a call site."""

    path: str
    line: int
    function: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} in {self.function}"


@dataclass(frozen=True)
class CallSite:
    """The user's frames that led to an event, innermost first."""

    frames: tuple[Frame, ...] = ()

    def __str__(self) -> str:
        return str(self.frames[0]) if self.frames else "an unknown place"


@dataclass(frozen=True)
class Owner:
    """What pytest was running when a thing was opened.

    Attributes:
        kind: ``test``, ``fixture`` or ``import`` (anything outside a test and its fixtures).
        name: What a message calls it: a test's name, a fixture's name.
        scope: The scope of a fixture; ``function`` for a test.
        nodeid: The test, or the node for which a fixture was set up.
    """

    kind: str
    name: str
    scope: str = "function"
    nodeid: str = ""

    @property
    def is_test_bound(self) -> bool:
        """Tell whether it ends with the running test."""
        return self.kind != "import" and self.scope == "function"

    def __str__(self) -> str:
        if self.kind == "fixture":
            return f"the {self.scope}-scoped {self.name}"
        return self.name


@dataclass(frozen=True)
class Place:
    """One labelled place in a finding: where something was opened, closed, begun again.

    Attributes:
        label: What happened there.
        site: Where.
        text: How the line reads, with ``{}`` for the first frame.
    """

    label: str
    site: CallSite
    text: str = "{}"


@dataclass(frozen=True)
class Finding:
    """One rule broken at one place by one owner.

    Attributes:
        rule: The rule's code.
        name: The rule's kebab-case name.
        severity: What it does to the run.
        owner: Who opened the thing.
        places: Where things happened, in the order in which they are told.
        facts: What the wording needs beside the places: counts, the kind of session, the pool.
        told_at: The test at whose end it was told; not the owner where a fixture is.
    """

    rule: str
    name: str
    severity: Severity
    owner: Owner
    places: tuple[Place, ...]
    facts: Mapping[str, Fact] = field(default_factory=dict)
    told_at: str = ""

    @property
    def site(self) -> CallSite:
        """Return the place that the finding is about."""
        return self.places[0].site if self.places else CallSite()

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain JSON types.

        Returns:
            What `from_json` takes; nothing in it needs this module to be read.
        """
        return {
            "rule": self.rule,
            "name": self.name,
            "severity": self.severity.value,
            "owner": {
                "kind": self.owner.kind,
                "name": self.owner.name,
                "scope": self.owner.scope,
                "nodeid": self.owner.nodeid,
            },
            "places": [
                {
                    "label": place.label,
                    "text": place.text,
                    "frames": [[f.path, f.line, f.function] for f in place.site.frames],
                }
                for place in self.places
            ],
            "facts": dict(self.facts),
            "told_at": self.told_at,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Finding:
        """Make a finding from what `to_json` returned.

        Args:
            data: Plain JSON types.

        Returns:
            The finding, equal to the one that was written.
        """
        return cls(
            rule=data["rule"],
            name=data["name"],
            severity=Severity(data["severity"]),
            owner=Owner(**data["owner"]),
            places=tuple(
                Place(
                    label=place["label"],
                    text=place["text"],
                    site=CallSite(tuple(Frame(*frame) for frame in place["frames"])),
                )
                for place in data["places"]
            ),
            facts=dict(data["facts"]),
            told_at=data["told_at"],
        )
