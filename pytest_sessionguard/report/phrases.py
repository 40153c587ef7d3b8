"""What the sentences of all findings are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_sessionguard.model import Finding, Owner


@dataclass(frozen=True)
class Wording:
    """The three sentences of a rule.

    Attributes:
        title: What happened.
        consequence: What it leads to.
        fix: How to mend it.
    """

    title: Callable[[Finding], str]
    consequence: Callable[[Finding], str]
    fix: Callable[[Finding], str]


def tell_owner(owner: Owner) -> str:
    """Write who opened a thing, at the end of a sentence that says when it was due.

    Args:
        owner: The owner.

    Returns:
        "test_a" or "the module-scoped fixture `db` was torn down".
    """
    return f"{owner} was torn down" if owner.kind == "fixture" else str(owner)


def is_async(finding: Finding) -> bool:
    """Tell whether what held a connection is async."""
    return str(finding.facts.get("holder")).startswith(("Async", "async"))


def count_things(finding: Finding, noun: str) -> str:
    """Write how many things there were, in the past tense."""
    count = finding.facts["count"]
    return f"1 {noun} was" if count == 1 else f"{count} {noun}s were"
