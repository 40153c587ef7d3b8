"""The words about instances that do not outlive their session, values and representations left out.

Only names of classes and attributes, and paths, are ever written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import InstanceState

from pytest_sessionguard.instances.graph import Found, Node, Walk
from pytest_sessionguard.instances.models import Cause
from pytest_sessionguard.instances.status import name_state
from pytest_sessionguard.instances.troubles import BOUND, Kind, Trouble

_NUMBER = re.compile(r"(?<=[\[{])\d+(?=[\]}])|(?<=<key )\d+(?=>)|(?<=<)\d+(?= steps>)")


@dataclass(frozen=True)
class Group:
    """The same trouble at places that differ in their numbers only.

    Attributes:
        path: The places as one path, as `result[0..9]`.
        troubles: The troubles.
    """

    path: str
    troubles: tuple[Trouble, ...]

    @property
    def first(self) -> Trouble:
        """Return the trouble that stands for all."""
        return self.troubles[0]

    def __str__(self) -> str:
        trouble = self.first
        state = name_state(_find(trouble).state)
        count = f" ({len(self.troubles)} instances)" if self.path.count("..") > 1 else ""
        text = f"{self.path}: {trouble.model}{count}, {state}"
        if trouble.kind in BOUND.values():
            return text
        label = "expired" if trouble.kind is Kind.EXPIRED else "not loaded"
        return f"{text}, {label}: {_list_some(trouble.attributes)}"


def group_troubles(troubles: Iterable[Trouble]) -> list[Group]:
    """Put the same trouble of many instances together.

    Args:
        troubles: The troubles of one result.

    Returns:
        The groups, in the order of their first troubles.
    """
    groups: dict[Any, list[Trouble]] = {}
    for trouble in troubles:
        shape = _NUMBER.sub("#", trouble.path)
        key = (shape, trouble.model, trouble.kind, trouble.attributes)
        groups.setdefault(key, []).append(trouble)
    return [
        Group(_join_paths([trouble.path for trouble in members]), tuple(members))
        for members in groups.values()
    ]


def _join_paths(paths: list[str]) -> str:
    columns = zip(*(_NUMBER.findall(path) for path in paths), strict=True)
    spans = iter([_span({int(number) for number in column}) for column in columns])
    return _NUMBER.sub(lambda match: next(spans), paths[0])


def _span(numbers: set[int]) -> str:
    ordered = sorted(numbers)
    if len(ordered) == 1:
        return str(ordered[0])
    if ordered[-1] - ordered[0] == len(ordered) - 1:
        return f"{ordered[0]}..{ordered[-1]}"
    more = ", .." if len(ordered) > 3 else ""
    return ", ".join(map(str, ordered[:3])) + more


def _list_some(names: tuple[str, ...], limit: int = 6) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def tell_consequence(trouble: Trouble) -> str:
    """Write what a trouble leads to.

    Args:
        trouble: The first trouble of a result.

    Returns:
        One sentence.
    """
    if trouble.kind in _BOUND_CONSEQUENCES:
        return _BOUND_CONSEQUENCES[trouble.kind]
    found, key = _find(trouble), trouble.attributes[0]
    read = f"Reading `{trouble.path}.{key}`"
    if found.model.is_silent(key) and not found.needs_load(key):
        return f"{read} gives no value, as if there were none: nobody has asked for it."
    prop = found.model.relationships.get(key)
    if prop is not None and prop.lazy == "raise":
        return f'{read} raises InvalidRequestError: the relationship is mapped with lazy="raise".'
    if name_state(found.state) in BOUND:
        return f"{read} loads it there and then: under asyncio that raises MissingGreenlet."
    return f"{read} raises DetachedInstanceError."


_BOUND_CONSEQUENCES = {
    Kind.ATTACHED: (
        "Its session is still open: a commit expires what the caller holds, and reading what is "
        "not loaded loads it, or fails."
    ),
    Kind.PENDING: "It has not been flushed: without a commit it is never in the database.",
    Kind.DELETED: "Its row is deleted, but a rollback brings it back: the caller cannot know.",
}


def tell_mends(troubles: Iterable[Trouble], limit: int = 2) -> list[str]:
    """Write how to mend troubles.

    Args:
        troubles: The troubles of one result.
        limit: How many sentences to write at most.

    Returns:
        One sentence for each sort of trouble, the first troubles first.
    """
    mends: dict[str, None] = {}
    for group in group_troubles(troubles):
        if len(mends) >= limit:
            break
        mends.update(dict.fromkeys(_list_mends(group.first)))
    return list(mends)[:limit]


def _list_mends(trouble: Trouble) -> list[str]:
    found = _find(trouble)
    if trouble.kind in _BOUND_MENDS:
        return [_BOUND_MENDS[trouble.kind](found.state)]
    if trouble.kind is Kind.EXPIRED:
        is_flushed = not found.state.expired and all(
            found.model.is_expression(key) for key in trouble.attributes
        )
        return ["`session.refresh(obj)` after the flush." if is_flushed else _EXPIRED_MEND]
    options: dict[Cause | str, list[str]] = {}
    for key in trouble.attributes:
        options.setdefault(_sort_out(found, key), []).append(key)
    return [_tell_option(trouble, found, sort, keys) for sort, keys in options.items()]


def _find(trouble: Trouble) -> Found:
    found = Walk().recognise(Node(trouble.instance, trouble.path))
    assert found is not None
    return found


def _end_session(state: InstanceState[Any]) -> str:
    is_async = state.async_session is not None
    block = "async with async_session()" if is_async else "with Session(engine)"
    return (
        f"return it after `{block} as session:` has ended, `session.expunge(obj)` once all is "
        "loaded, or return data."
    )


_BOUND_MENDS: dict[Kind, Callable[[InstanceState[Any]], str]] = {
    Kind.ATTACHED: _end_session,
    Kind.PENDING: lambda state: (
        "commit, `session.refresh(obj)`, and end the session before returning it."
    ),
    Kind.DELETED: lambda state: "commit before returning it, or return data.",
}
_EXPIRED_MEND = (
    "`session.refresh(obj)` after the commit and before `session.expunge(obj)`, or a session with "
    "`expire_on_commit=False`."
)


def _sort_out(found: Found, key: str) -> Cause | str:
    if key in found.model.relationships:
        return "relationship"
    if found.model.is_silent(key):
        return "expression"
    return found.model.find_cause(found.state, found.values, key)


def _tell_option(trouble: Trouble, found: Found, sort: Cause | str, keys: list[str]) -> str:
    names = [f"{trouble.model}.{key}" for key in keys]
    if sort is Cause.EXPIRED:
        return _EXPIRED_MEND
    if sort is Cause.GENERATED:
        return (
            "`session.refresh(obj)` after the flush, or `eager_defaults=True` in "
            f"`{trouble.model}.__mapper_args__`."
        )
    if sort is Cause.SUBCLASS:
        base = found.model.mapper.base_mapper.class_.__name__
        option = f"selectin_polymorphic({base}, [{trouble.model}])"
        return f"`{option}` in the query's `options()`, or `with_polymorphic()`."
    if sort == "expression":
        return f"`with_expression({names[0]}, ...)` in the query's `options()`."
    function = "selectinload" if sort == "relationship" else "undefer"
    options = ", ".join(f"{_chain(trouble)}{function}({name})" for name in names[:2])
    also = ", or name them in `load_only()`" if sort is Cause.LEFT_OUT else ""
    return f"`{options}` in the query's `options()`{also}."


def _chain(trouble: Trouble) -> str:
    # A trail of full length may have lost its beginning.
    if len(trouble.trail) > 3:
        return ""
    return "".join(f"selectinload({name})." for name in trouble.trail)
