"""Rules by what a person calls them: a code, a name, a group, or all."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from pytest_sessionguard.rules import RULES


class UnknownRuleError(ValueError):
    """A name that no rule has; its text tells the nearest one, and all that are valid."""


def find_rules(names: str | Iterable[str]) -> list[str]:
    """Find the codes of rules named by code, name, group or ``all``.

    Args:
        names: Names, each of which may list several with commas.

    Returns:
        Their codes.

    Raises:
        UnknownRuleError: No rule has such a name.

    Example:
        >>> find_rules("leaked-connection, SG2")
        ['SG101', 'SG204', 'SG203', 'SG202', 'SG201', 'SG205']
    """
    return [code for name in list_names(names) for code in _find_rule(name)]


def list_names(names: str | Iterable[str]) -> tuple[str, ...]:
    """List single names.

    Args:
        names: Names, each of which may list several with commas.

    Returns:
        The names, as they are written.
    """
    words = [names] if isinstance(names, str) else [str(name) for name in names]
    parts = (part.strip() for word in words for part in word.split(","))
    return tuple(part for part in parts if part)


def _find_rule(word: str) -> list[str]:
    upper = word.upper()
    is_group = upper.startswith("SG") and len(upper) < 5
    found = [
        rule.code
        for rule in RULES
        if word.lower() in (rule.name, "all")
        or upper == rule.code
        or (is_group and rule.code.startswith(upper))
    ]
    if found:
        return found
    valid = [rule.code for rule in RULES] + [rule.name for rule in RULES]
    near = get_close_matches(word, [*valid, *(code.lower() for code in valid)], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    rules = ", ".join(sorted(f"{rule.code} ({rule.name})" for rule in RULES))
    raise UnknownRuleError(
        f"no rule is named {word!r}.{hint} The rules are {rules}; a group such as SG1, or all"
    )
