"""Which suppressions there are and which were used, merged from every process that ran tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any


class Kind(str, Enum):
    """How something is suppressed."""

    MARKER = "marker"
    COMMENT = "comment"
    PATH = "path"
    RULE = "rule"


@dataclass(frozen=True, order=True)
class Suppression:
    """One thing that the user wrote to suppress findings.

    Attributes:
        kind: How.
        what: What stands there.
        where: The node of a marker, the file and line of a comment, the source of a setting.
    """

    kind: Kind
    what: str
    where: str

    def __str__(self) -> str:
        return {
            Kind.MARKER: f"the marker {self.what} of {self.where}",
            Kind.COMMENT: f"the comment {self.what} at {self.where}",
            Kind.PATH: f"sessionguard_ignore_paths {self.what!r} (from {self.where})",
            Kind.RULE: f"sessionguard_ignore {self.what!r} (from {self.where})",
        }[self.kind]

    def to_json(self) -> dict[str, str]:
        """Return it as plain JSON types, with the words that tell it."""
        return {
            "kind": self.kind.value,
            "what": self.what,
            "where": self.where,
            "text": str(self),
        }


class Record:
    """What is known of the suppressions of a run.

    Attributes:
        known: All that there are.
        used: Those that have suppressed something.
        doubtful: Those that a test carries which was not judged.
        malformed: Comments that cannot be meant, by file and line, and what is wrong with each.
    """

    def __init__(self) -> None:
        self.known: set[Suppression] = set()
        self.used: set[Suppression] = set()
        self.doubtful: set[Suppression] = set()
        self.malformed: dict[str, str] = {}

    def take_news(self) -> dict[str, Any]:
        """Return what is new since the last call as plain JSON types, for another process.

        Returns:
            What `add` takes; often nothing.
        """
        news: dict[str, Any] = {}
        for name in ("known", "used", "doubtful"):
            things: set[Suppression] = getattr(self, name)
            if things:
                # Plain types only: xdist sends nothing else, not even a text that is an enum's.
                news[name] = [[s.kind.value, s.what, s.where] for s in sorted(things)]
                things.clear()
        if self.malformed:
            news["malformed"] = dict(self.malformed)
            self.malformed.clear()
        return news

    def add(self, news: Mapping[str, Any]) -> None:
        """Add what another process, or another test, brought.

        Args:
            news: What `take_news` returned there.
        """
        for name in ("known", "used", "doubtful"):
            things: set[Suppression] = getattr(self, name)
            things.update(
                Suppression(Kind(kind), what, where) for kind, what, where in news.get(name, ())
            )
        self.malformed.update(news.get("malformed", {}))

    def find_unused(self, *, all_judged: bool) -> list[Suppression]:
        """Find what suppresses nothing, after a run of the whole suite.

        Args:
            all_judged: Whether every test was judged. Where one was not, a comment or a setting may
                have been for it; of markers it is known which test carries them.

        Returns:
            What was known and neither used nor doubtful, in order.
        """
        unused = self.known - self.used - self.doubtful
        return sorted(one for one in unused if all_judged or one.kind is Kind.MARKER)
