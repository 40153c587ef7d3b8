"""Classes, read without asking them: a metaclass or a `__class__` may be the user's code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any

# The descriptors of `type` read the class itself, whatever its metaclass says.
read_mro: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
read_namespace: Callable[[type], Mapping[str, Any]] = type.__dict__["__dict__"].__get__
read_name: Callable[[type], str] = type.__dict__["__name__"].__get__
_read_module: Callable[[type], Any] = type.__dict__["__module__"].__get__


def read_module(cls: type) -> str:
    """Return the name of the module that a class says it comes from.

    Args:
        cls: Any class.

    Returns:
        The name, or nothing where the class has made it something else.
    """
    try:
        module = _read_module(cls)
    except AttributeError:
        return ""
    return module if type(module) is str else ""


def is_a(cls: type, bases: Iterable[type]) -> bool:
    """Tell whether a class is one of others, or a subclass of one.

    Args:
        cls: Any class.
        bases: The others.

    Returns:
        What `issubclass` tells, without the hooks of an abstract base.
    """
    wanted = [id(base) for base in bases]
    return any(id(base) in wanted for base in read_mro(cls))


def find_dict_slot(cls: type) -> Any:
    """Find what gives the instance dictionary of a class's objects.

    Args:
        cls: Any class.

    Returns:
        The interpreter's own descriptor, never a property that is called `__dict__`; None where
        there is no such dictionary.
    """
    for base in read_mro(cls):
        slot = read_namespace(base).get("__dict__")
        # That of a module and of a `SimpleNamespace` is a member.
        if type(slot) is GetSetDescriptorType or type(slot) is MemberDescriptorType:
            return slot
    return None


def read_dict(thing: Any) -> dict[Any, Any]:
    """Return the dictionary that an object keeps its attributes in.

    Args:
        thing: Any object.

    Returns:
        The dictionary itself; an empty one where it has none.
    """
    slot = find_dict_slot(type(thing))
    return {} if slot is None else slot.__get__(thing)
