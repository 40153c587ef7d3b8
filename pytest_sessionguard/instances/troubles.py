"""What is wrong with a result that is to outlive its session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from sqlalchemy.orm import Mapper

from pytest_sessionguard.instances.demands import Demand, Search
from pytest_sessionguard.instances.graph import Found, Walk
from pytest_sessionguard.instances.models import Cause
from pytest_sessionguard.instances.status import name_state


class Kind(str, Enum):
    """What is wrong with one instance."""

    ATTACHED = "attached"
    PENDING = "pending"
    DELETED = "deleted"
    EXPIRED = "expired"
    UNLOADED = "unloaded"
    MISSING = "missing"


# States in which an instance still belongs to a session.
BOUND = {
    "persistent": Kind.ATTACHED,
    "pending": Kind.PENDING,
    "deleted": Kind.DELETED,
}


@dataclass(frozen=True)
class Trouble:
    """One thing that is wrong with one instance.

    Attributes:
        path: Where in the result it is.
        instance: The instance.
        model: The name of its class.
        kind: What is wrong.
        attributes: The attributes that are not loaded, none where that is not what is wrong.
        trail: The last relationships that led to it, as "Slot.recruiter".
    """

    path: str
    instance: Any = field(repr=False, compare=False)
    model: str
    kind: Kind
    attributes: tuple[str, ...] = ()
    trail: tuple[str, ...] = field(default=(), repr=False, compare=False)


def find_troubles(
    result: object,
    *,
    loaded: Demand = None,
    ignore: Demand = None,
    name: str = "result",
    deferred: bool = True,
) -> list[Trouble]:
    """Find what keeps a result from outliving its session.

    Args:
        result: Anything that a function may return.
        loaded: Attributes, relationships above all, that must be loaded.
        ignore: Columns that may stay unloaded.
        name: What paths call the result.
        deferred: Whether columns that the mapping itself defers count.

    Returns:
        The troubles, those of the nearest instances first.

    Raises:
        TypeError: Something in the result would be used up by looking into it, or a demand is no
            name and no ORM attribute.
        ValueError: A demand names what no instance has.
    """
    walk = Walk()
    walk.go(result, name)
    search = Search(walk, name)
    missing, ignored = search.find_missing(loaded), search.find_ignored(ignore)
    troubles: list[Trouble] = []
    for found in walk.found:
        bound = BOUND.get(name_state(found.state))
        demanded = missing.get(id(found.node.value), [])
        if bound is None:
            troubles += _find_unloaded(found, ignored, demanded, deferred=deferred)
        else:
            troubles.append(_make(found, bound, []))
            troubles += [_make(found, Kind.MISSING, demanded)] if demanded else []
    return troubles


def find_unloaded(obj: object, demand: Demand = None, *, name: str = "obj") -> list[Trouble]:
    """Find what is not loaded, whether the instances belong to a session or not.

    Args:
        obj: An instance, or a collection of instances.
        demand: Attributes that must be loaded; None for all columns of the instances in the
            collection itself.
        name: What paths call it.

    Returns:
        The troubles, in the order of the instances.

    Raises:
        TypeError: The object would be used up by looking into it, or the demand is no name and no
            ORM attribute.
        ValueError: The demand names what no instance has.
    """
    walk = Walk()
    walk.go(obj, name)
    if demand is not None:
        missing = Search(walk, name).find_missing(demand)
        lacking = [found for found in walk.found if id(found.node.value) in missing]
        return [_make(found, Kind.MISSING, missing[id(found.node.value)]) for found in lacking]
    top = [found for found in walk.found if not found.node.is_related]
    return [trouble for found in top for trouble in _find_unloaded(found, set(), [], deferred=True)]


def _find_unloaded(
    found: Found,
    ignored: set[tuple[Mapper[Any], str]],
    demanded: list[str],
    *,
    deferred: bool,
) -> Iterator[Trouble]:
    keys: dict[Kind, list[str]] = {Kind.EXPIRED: [], Kind.UNLOADED: [], Kind.MISSING: []}
    for key, cause in found.list_columns().items():
        is_ignored = cause is Cause.DEFERRED and not deferred
        is_ignored = is_ignored or any(
            key == name and found.model.mapper.isa(mapper) for mapper, name in ignored
        )
        if not is_ignored:
            keys[Kind.EXPIRED if cause is Cause.EXPIRED else Kind.UNLOADED].append(key)
    told = {*keys[Kind.EXPIRED], *keys[Kind.UNLOADED]}
    keys[Kind.MISSING] = [key for key in demanded if key not in told]
    for kind, names in keys.items():
        if names:
            yield _make(found, kind, names)


def _make(found: Found, kind: Kind, keys: list[str]) -> Trouble:
    node = found.node
    return Trouble(node.path, node.value, found.model.name, kind, tuple(keys), node.trail)
