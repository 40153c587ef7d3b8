"""What a caller demands to be loaded, or allows not to be: names and ORM attributes, resolved."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.ext.associationproxy import AssociationProxy, AssociationProxyInstance
from sqlalchemy.orm import (
    CompositeProperty,
    Mapper,
    QueryableAttribute,
    RelationshipProperty,
    SynonymProperty,
)

from pytest_sessionguard.instances.classes import is_a
from pytest_sessionguard.instances.graph import Found, Walk
from pytest_sessionguard.instances.status import LIVE_STRATEGIES

Demand = str | Any | Iterable[str | Any] | None
"""Names, dotted or not, ORM attributes, a collection of such, or None for nothing."""

Chain = tuple[str, ...]


@dataclass(frozen=True)
class Wish:
    """One name of a demand.

    Attributes:
        chain: The attributes to follow, one after the other.
        owner: The mapper of the class, where an ORM attribute tells it.
    """

    chain: Chain
    owner: Mapper[Any] | None = None

    def __str__(self) -> str:
        return ".".join(([self.owner.class_.__name__] if self.owner else []) + [*self.chain])

    def fits(self, found: Found) -> bool:
        """Tell whether an instance is of the class, and has the first attribute.

        Args:
            found: An instance of the result.

        Returns:
            Whether it is and has.
        """
        mapper = found.model.mapper
        if self.owner is not None:
            return mapper.isa(self.owner)
        return self.chain[0] in mapper.all_orm_descriptors


def read_demand(demand: Demand) -> list[Wish]:
    """Read what a caller has written.

    Args:
        demand: Names, ORM attributes, or a collection of them.

    Returns:
        What is wished for.

    Raises:
        TypeError: There is something else in it.
    """
    if demand is None:
        return []
    items = [demand] if _is_one(demand) else demand
    if not isinstance(items, (list, tuple, set, frozenset)):
        raise TypeError(_WRONG_DEMAND.format(type(demand).__name__))
    return [_read_one(item) for item in items]


_WRONG_DEMAND = (
    "Attributes are given by name (`'city'`, `'recruiter.city'`) or as ORM attributes "
    "(`Slot.city`), not as {!r}."
)


def _is_one(item: Any) -> bool:
    return is_a(type(item), [str, QueryableAttribute, AssociationProxyInstance])


def _read_one(item: Any) -> Wish:
    if isinstance(item, str):
        return Wish(tuple(item.split(".")))
    if is_a(type(item), [AssociationProxyInstance]):
        # Its `key` is a private name, under which instances keep the proxies of their own.
        mapper = inspect(item.owning_class)
        names = mapper.all_orm_descriptors.items()
        return Wish(tuple(name for name, proxy in names if proxy is item.parent), mapper)
    if is_a(type(item), [QueryableAttribute]):
        return Wish((item.key,), inspect(item.class_).mapper)
    raise TypeError(_WRONG_DEMAND.format(type(item).__name__))


def resolve(mapper: Mapper[Any], name: str) -> list[Chain]:
    """Find the columns and relationships that an attribute is made of.

    Args:
        mapper: The mapper of a class that has it.
        name: The attribute.

    Returns:
        Chains of mapped attributes: the columns of a composite, the target of a synonym, the
        relationship and the attribute behind it of an association proxy.

    Raises:
        ValueError: It cannot be loaded: a dynamic relationship, a hybrid.
    """
    prop = mapper.attrs.get(name)
    if isinstance(prop, CompositeProperty):
        return [(part.key,) for part in prop.props]
    if isinstance(prop, SynonymProperty):
        return resolve(mapper, prop.name)
    if isinstance(prop, RelationshipProperty) and prop.lazy in LIVE_STRATEGIES:
        raise ValueError(
            f"{mapper.class_.__name__}.{name} is a {prop.lazy} relationship: it is a query, "
            "and never loaded."
        )
    if prop is not None:
        return [(name,)]
    descriptor = mapper.all_orm_descriptors[name]
    if isinstance(descriptor, AssociationProxy):
        return [(descriptor.target_collection, descriptor.value_attr)]
    raise ValueError(
        f"{mapper.class_.__name__}.{name} is computed: name the attributes that it reads."
    )


class Search:
    """A search for what is demanded of a result.

    Args:
        walk: The walk that found the instances.
        name: What messages call the result.
    """

    def __init__(self, walk: Walk, name: str) -> None:
        self._walk = walk
        self._name = name

    def find_missing(self, demand: Demand) -> dict[int, list[str]]:
        """Find demanded attributes that are not loaded.

        Args:
            demand: What is demanded of the instances that are in the result itself. Of a class
                that is only behind relationships, an ORM attribute demands it there.

        Returns:
            Their names, by the id of the instance that lacks them.

        Raises:
            TypeError: The demand is no name and no ORM attribute.
            ValueError: No instance has such an attribute, or it cannot be loaded.
        """
        wishes = read_demand(demand)
        missing: dict[int, list[str]] = {}
        for wish in wishes:
            starters = self._find_starters(wish, wishes)
            for mapper in {found.model.mapper for found in starters}:
                _check_chain(mapper, wish.chain)
            for found, key in self._follow(starters, wish.chain):
                keys = missing.setdefault(id(found.node.value), [])
                keys += [] if key in keys else [key]
        return missing

    def find_ignored(self, demand: Demand) -> set[tuple[Mapper[Any], str]]:
        """Find the columns that may stay unloaded.

        Args:
            demand: Their names, or ORM attributes.

        Returns:
            Each with the mapper of the class that it is ignored in, subclasses included.

        Raises:
            TypeError: The demand is no name and no ORM attribute.
            ValueError: No instance has such an attribute, or it is no column.
        """
        ignored = set()
        for wish in read_demand(demand):
            if wish.owner is not None:
                mappers = {wish.owner}
            else:
                fitting = [found for found in self._walk.found if wish.fits(found)]
                self._refuse_unknown(wish, fitting, self._walk.found)
                mappers = {found.model.mapper for found in fitting}
            for mapper in mappers:
                for end, key in _list_ends(mapper, wish.chain):
                    if key in end.relationships:
                        raise ValueError(f"{wish} is no column: only a column can be ignored.")
                    ignored.add((end, key))
        return ignored

    def _find_starters(self, wish: Wish, wishes: list[Wish]) -> list[Found]:
        top = [found for found in self._walk.found if not found.node.is_related]
        fitting = [found for found in top if wish.fits(found)]
        if wish.owner is not None and not fitting:
            fitting = [found for found in self._walk.found if wish.fits(found)]
            if not fitting and any(_leads_to(other, wish.owner) for other in wishes):
                return []
        self._refuse_unknown(wish, fitting, top)
        return fitting

    def _refuse_unknown(self, wish: Wish, fitting: list[Found], among: list[Found]) -> None:
        if fitting or not among:
            return
        models = sorted({found.model.name for found in among})
        if wish.owner is not None:
            raise ValueError(
                f"{wish}: {self._name} has no instance of {wish.owner.class_.__name__}, "
                f"only of {', '.join(models)}."
            )
        mappers = {found.model.mapper for found in among}
        raise ValueError(_tell_unknown(wish.chain[0], " and ".join(models), mappers))

    def _follow(self, starters: list[Found], chain: Chain) -> Iterator[tuple[Found, str]]:
        waiting = [(found, chain) for found in reversed(starters)]
        seen = set()
        while waiting:
            found, (name, *rest) = waiting.pop()
            mapper, step = found.model.mapper, (id(found.node.value), name, *rest)
            if step in seen or name not in mapper.all_orm_descriptors:
                continue
            seen.add(step)
            for key, *more in resolve(mapper, name):
                if key in found.values:
                    if more or rest:
                        members = self._walk.find_members(found.values[key])
                        waiting += [(member, (*more, *rest)) for member in members]
                elif found.needs_load(key) or (
                    found.model.is_silent(key) and found.state.key is not None
                ):
                    yield found, key


def _leads_to(wish: Wish, target: Mapper[Any]) -> bool:
    if wish.owner is None:
        return False
    prop = wish.owner.attrs.get(wish.chain[0])
    return isinstance(prop, RelationshipProperty) and (
        target.isa(prop.mapper) or prop.mapper.isa(target)
    )


def _check_chain(mapper: Mapper[Any], chain: Chain) -> None:
    # A chain that cannot be followed is refused whatever the result happens to hold.
    for _ in _list_ends(mapper, chain):
        pass


def _list_ends(mapper: Mapper[Any], chain: Chain) -> Iterator[tuple[Mapper[Any], str]]:
    name, *rest = chain
    for key, *more in resolve(mapper, name):
        following = (*more, *rest)
        if not following:
            yield mapper, key
            continue
        if key not in mapper.relationships:
            raise ValueError(
                f"{mapper.class_.__name__}.{key} is no relationship: there is no "
                f"{following[0]!r} behind it."
            )
        target = mapper.relationships[key].mapper
        targets = set(target.self_and_descendants)
        fitting = [each for each in targets if following[0] in each.all_orm_descriptors]
        if not fitting:
            raise ValueError(_tell_unknown(following[0], target.class_.__name__, targets))
        for each in fitting:
            yield from _list_ends(each, following)


def _tell_unknown(name: str, models: str, mappers: set[Mapper[Any]]) -> str:
    names = sorted(
        {known for mapper in mappers for known in dict(mapper.all_orm_descriptors.items())}
    )
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return f"no {name!r} in {models}: did you mean {' or '.join(map(repr, near))}?"
    return f"no {name!r} in {models}, only {', '.join(names[:12])}."
