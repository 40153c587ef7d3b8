"""What an object is made of, read without running a line of its class.

A result may hold anything: properties that load, an `__eq__` that raises, proxies that answer to
every name. So attributes are read out of the instance's own dictionary and slots, and items with
the methods of the built-in container.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MemberDescriptorType
from typing import Any

from sqlalchemy.orm.base import DEFAULT_MANAGER_ATTR

from pytest_sessionguard.instances.classes import (
    find_dict_slot,
    read_mro,
    read_name,
    read_namespace,
)
from pytest_sessionguard.instances.containers import Part, find_items
from pytest_sessionguard.instances.openness import find_substitute, is_library, is_open


class Anatomy:
    """What is to be known of a class to take its objects apart.

    Attributes:
        cls: The class, kept so that its id stays its own.
        name: The name of the class.
        is_mapped: Whether the class or a base of it is instrumented by the ORM.
        substitute: What to pass in place of an object that looking into it would use up, with
            ``{}`` for its path; None for any other.
        is_library: Whether it is a plain class of an installed package.
    """

    __slots__ = (
        "_dict",
        "_is_open",
        "_items",
        "_slots",
        "cls",
        "is_library",
        "is_mapped",
        "name",
        "substitute",
    )

    def __init__(self, cls: type) -> None:
        spaces = [read_namespace(base) for base in read_mro(cls)]
        self.cls = cls
        self.name = read_name(cls)
        self.is_mapped = any(DEFAULT_MANAGER_ATTR in space for space in spaces)
        self._items = find_items(cls)
        is_lazy = not self.is_mapped and self._items is None
        self.substitute = find_substitute(cls) if is_lazy else None
        self._is_open = self.is_mapped or (self.substitute is None and is_open(cls))
        self.is_library = self._is_open and not self.is_mapped and is_library(cls)
        self._dict = find_dict_slot(cls) if self._is_open else None
        self._slots = [
            (name, slot)
            for space in spaces
            for name, slot in space.items()
            if self._is_open and type(slot) is MemberDescriptorType and name != "__dict__"
        ]

    @property
    def is_leaf(self) -> bool:
        """Tell whether there is nothing to take out of its objects."""
        return self._items is None and self._dict is None and not self._slots

    def read_dict(self, thing: Any) -> dict[Any, Any]:
        """Return the dictionary that an object keeps its attributes in.

        Args:
            thing: An object of the class.

        Returns:
            The dictionary itself; an empty one where the object has none, or is not looked into.
        """
        return {} if self._dict is None else self._dict.__get__(thing)

    def find_parts(self, thing: Any) -> Iterator[Part]:
        """Take an object apart.

        Args:
            thing: An object of the class.

        Yields:
            What it holds: its items, its attributes, its slots.
        """
        if self._items is not None:
            yield from self._items(thing)
        yield from name_parts(self.read_dict(thing))
        for name, slot in self._slots:
            try:
                value = slot.__get__(thing)
            except AttributeError:
                continue
            if name not in _PYDANTIC_DICTS:
                yield name_part(name, value)
            elif type(value) is dict:
                yield from name_parts(value)


# The slots in which a pydantic model keeps the fields that it does not declare, and its private
# attributes (``BaseModel.__slots__``).
_PYDANTIC_DICTS = ("__pydantic_extra__", "__pydantic_private__")


def name_parts(attributes: dict[Any, Any]) -> Iterator[Part]:
    """Make parts of attributes.

    Args:
        attributes: Values under their names.

    Yields:
        A part for each.
    """
    for name, value in list(dict.items(attributes)):
        yield name_part(name, value)


def name_part(name: Any, value: Any) -> Part:
    """Make a part of an attribute.

    Args:
        name: Its name; whatever else somebody has put into an instance's dictionary is private.
        value: Its value.

    Returns:
        The part.
    """
    if type(name) is not str:
        return Part(".?", value, is_inner=True)
    return Part(f".{name}", value, name.startswith("_"))
