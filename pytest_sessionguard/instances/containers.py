"""What is in a container, listed with the methods of the built-in class that it is or comes from.

A subclass of `list` may load when it is iterated over; its items are in the list that it is.
"""

from __future__ import annotations

import gc
import re
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy.engine import FrozenResult, Row, RowMapping

from pytest_sessionguard.instances.classes import (
    is_a,
    read_dict,
    read_mro,
    read_name,
    read_namespace,
)

Items = Callable[[Any], Iterator["Part"]]


class Part(NamedTuple):
    """One thing that an object holds.

    Attributes:
        step: How the path to it goes on.
        value: The thing.
        is_inner: Whether it is the holder's own business: its name is private.
        open_step: The step where the keys of a dictionary may be told: those of a relationship's
            are values of the database.
    """

    step: str
    value: Any
    is_inner: bool = False
    open_step: str | None = None


# What holds nothing: by far the most of what a result is made of. Told by id, for a metaclass may
# have a `__hash__` of its own.
ATOMS = frozenset(map(id, (type(None), bool, int, float, str, bytes, complex, type)))


def find_items(cls: type) -> Items | None:
    """Find how to list what is in the objects of a class.

    Args:
        cls: Any class.

    Returns:
        A function that takes such an object; None for a class that is no container of a kind that
        can be listed without running its code.
    """
    for base in read_mro(cls):
        if id(base) in _LISTERS:
            return _LISTERS[id(base)]
    return None


# An e-mail address, a URL with a password in it or a text would be a value, not a name.
_SHOWN = re.compile(r"[\w .,+-]{1,40}")


def show_key(key: Any) -> str | None:
    """Write the key of a dictionary as a path shows it.

    Args:
        key: Any key.

    Returns:
        The representation of a short name, a number or an enum's member; None for all else, whose
        representation may be the user's code or a value that is nobody's business.
    """
    if type(key) is int or type(key) is bool:
        return repr(key)
    if is_a(type(key), [Enum]):
        name = read_dict(key).get("_name_")
        return f"{read_name(type(key))}.{name}" if type(name) is str else None
    if type(key) is str and _SHOWN.fullmatch(key):
        return repr(key)
    return None


def list_fields(cls: type) -> tuple[str, ...]:
    """List the names of a named tuple's fields.

    Args:
        cls: A class that comes from `tuple`.

    Returns:
        The names, none for any other tuple.
    """
    for base in read_mro(cls):
        names = read_namespace(base).get("_fields")
        if type(names) is tuple and all(type(name) is str for name in names):
            return names
    return ()


def _list_dict(thing: Any) -> Iterator[Part]:
    for number, (key, value) in enumerate(list(dict.items(thing))):
        if id(type(key)) not in ATOMS:
            yield Part(f"<key {number}>", key)
        if id(type(value)) not in ATOMS:
            shown = show_key(key)
            yield Part(f"[<key {number}>]", value, open_step=shown and f"[{shown}]")


def _list_row_mapping(thing: Any) -> Iterator[Part]:
    # Where two columns have one name, `items()` gives the value of the second twice, or raises;
    # `keys()` leaves out columns without a name.
    names, values = [*RowMapping.keys(thing)], [*RowMapping.values(thing)]
    for number, value in enumerate(values):
        shown = show_key(names[number]) if len(names) == len(values) else None
        yield Part(f"[{shown or f'<key {number}>'}]", value)


def _list_tuple(thing: Any) -> Iterator[Part]:
    names = list_fields(type(thing))
    for number, value in enumerate(tuple.__iter__(thing)):
        yield Part(f".{names[number]}" if number < len(names) else f"[{number}]", value)


def _list_frozen_result(thing: Any) -> Iterator[Part]:
    yield Part(".data", thing.data)


def _list_proxy(thing: Any) -> Iterator[Part]:
    # Reading through a proxy asks the mapping, which may be the user's; the collector asks nobody.
    for whole in gc.get_referents(thing):
        yield Part("", whole)


def _list_by(iterate: Callable[[Any], Iterable[Any]], brackets: str = "[]") -> Items:
    def list_items(thing: Any) -> Iterator[Part]:
        for number, value in enumerate(list(iterate(thing))):
            if id(type(value)) not in ATOMS:
                yield Part(f"{brackets[0]}{number}{brackets[1]}", value)

    return list_items


def _list_view(read: Callable[[Any], Iterable[Any]]) -> Items:
    # A view's `mapping` came with Python 3.10 and is a proxy, which is no nearer than this.
    return _list_by(lambda view: read(gc.get_referents(view)[0]))


_LISTERS: dict[int, Items] = {
    id(dict): _list_dict,
    id(list): _list_by(list.__iter__),
    id(tuple): _list_tuple,
    id(set): _list_by(set.__iter__, "{}"),
    id(frozenset): _list_by(frozenset.__iter__, "{}"),
    id(deque): _list_by(deque.__iter__),
    id(MappingProxyType): _list_proxy,
    id(Row): _list_by(Row.__iter__),
    id(RowMapping): _list_row_mapping,
    id(FrozenResult): _list_frozen_result,
}
_wholes: tuple[dict[Any, Any], ...] = ({}, OrderedDict())
for _whole in _wholes:
    _LISTERS[id(type(_whole.keys()))] = _list_view(dict.keys)
    _LISTERS[id(type(_whole.values()))] = _list_view(dict.values)
    _LISTERS[id(type(_whole.items()))] = _list_view(dict.items)
