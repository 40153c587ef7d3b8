"""What mends the reading of an attribute that is not loaded."""

from __future__ import annotations

_MENDS = {
    "relationship": "load it in the query, with `selectinload({attribute})` or `joinedload(...)`",
    "deferred": "load it in the query, with `undefer({attribute})`",
    "expression": "give it in the query, with `with_expression({attribute}, ...)`",
    "subclass": "load the columns of subclasses in the query, with `selectin_polymorphic(...)`",
    "column": "leave it in the query: `load_only(...)` or `defer(...)` keeps it out",
    "expired": "make the session with `expire_on_commit=False`, or `refresh()` the object",
}


def name_mend(attribute: str, kind: str) -> str:
    """Say how an attribute comes to be loaded in time.

    Args:
        attribute: Its name with its model's, such as ``Slot.city``.
        kind: As of `pytest_sessionguard.accounts.Access`.

    Returns:
        The mend, as the middle of a sentence.
    """
    return _MENDS[kind].format(attribute=attribute)


def name_state(kind: str) -> str:
    """Say why an attribute was not there.

    Args:
        kind: As of `pytest_sessionguard.accounts.Access`.

    Returns:
        The end of a sentence about it.
    """
    return "was expired" if kind == "expired" else "was not loaded"
