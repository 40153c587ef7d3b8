"""Which objects may be looked into, and which would be used up or are not the result's business."""

from __future__ import annotations

import sys
from collections import ChainMap, UserDict, UserList
from types import ModuleType, SimpleNamespace

from sqlalchemy.engine import FilterResult, Result
from sqlalchemy.orm import Query, WriteOnlyCollection

from pytest_sessionguard.instances.classes import (
    is_a,
    read_dict,
    read_module,
    read_mro,
    read_name,
    read_namespace,
)


def find_substitute(cls: type) -> str | None:
    """Find what to pass in place of an object that looking into it would use up.

    SQLAlchemy's results fetch their rows as they are read, a `Query` runs when it is iterated
    over ("Working with Engines and Connections: Result", "ORM Querying Guide").

    Args:
        cls: Any class.

    Returns:
        An expression with ``{}`` for the path to the object; None where the class is not lazy.
    """
    if is_a(cls, [Result, FilterResult]):
        # All asynchronous results live in `sqlalchemy.ext.asyncio`, whose import needs greenlet.
        bases = [read_module(base) for base in read_mro(cls)]
        is_async = any(module.startswith("sqlalchemy.ext.asyncio") for module in bases)
        return "await {}.all()" if is_async else "{}.all()"
    if is_a(cls, [Query]):
        return "{}.all()"
    if is_a(cls, [WriteOnlyCollection]):
        return "session.scalars({}.select()).all()"
    modules = [(read_module(base), read_name(base)) for base in read_mro(cls)]
    for name, substitute in _LIVE_VIEWS.items():
        if ("sqlalchemy.ext.associationproxy", name) in modules:
            return substitute
    if any(_top_module(base) in _NEVER_LAZY for base in read_mro(cls)):
        return None
    spaces = [read_namespace(base) for base in read_mro(cls)]
    lazy = [name for name in _LAZY_METHODS if any(name in space for space in spaces)]
    # What is an iterator and awaitable, too, is a proxy that has every method there is.
    return _LAZY_METHODS[lazy[0]] if len(lazy) == 1 else None


# An async generator has `__anext__`, a coroutine and a future `__await__`.
_LAZY_METHODS = {
    "__next__": "list({})",
    "__anext__": "[item async for item in {}]",
    "__await__": "await {}",
}

# What an association proxy gives reads the instance behind it each time, and loads ("Association
# Proxy"); its classes are private, and named only here. Gone, they would hold nothing.
_LIVE_VIEWS = {
    "_AssociationList": "list({})",
    "_AssociationSet": "set({})",
    "_AssociationDict": "dict({})",
}

# A mock has every method, and so has a weak proxy; a file gives lines, a transaction of SQLAlchemy
# may be awaited.
_NEVER_LAZY = ("unittest", "weakref", "io", "_io", "sqlalchemy")


def is_open(cls: type) -> bool:
    """Tell whether the attributes of a class's objects are looked at.

    Args:
        cls: Any class.

    Returns:
        False for what is no holder of data: classes, modules, functions, sessions, engines,
        loggers, threads, mocks, and whatever else is made of the standard library's parts.
    """
    if any(_is_closed(base) for base in read_mro(cls)):
        return False
    return _top_module(cls) not in sys.stdlib_module_names or is_a(cls, _OPEN_CLASSES)


def _is_closed(base: type) -> bool:
    top = _top_module(base)
    if top in _CLOSED_MODULES or id(base) in _CLOSED_BUILTINS:
        return True
    return top in sys.stdlib_module_names and top not in _OPEN_MODULES


def is_library(cls: type) -> bool:
    """Tell whether a class is a plain one of an installed package.

    A client of some service or an application is a graph of its own, with other requests' objects
    in it; a package's data class is a form that the user has filled in.

    Args:
        cls: A class whose objects may be looked into.

    Returns:
        Whether its objects are to be looked into no further than their own attributes.
    """
    if any(mark in read_namespace(base) for base in read_mro(cls) for mark in _DATA_MARKS):
        return False
    module = sys.modules.get(read_module(cls))
    file = read_dict(module).get("__file__") if type(module) is ModuleType else None
    return type(file) is str and any(f"{part}-packages" in file for part in ("site", "dist"))


# What `dataclasses`, attrs, pydantic (2 and 1) and msgspec leave on a class.
_DATA_MARKS = (
    "__dataclass_fields__",
    "__attrs_attrs__",
    "__pydantic_fields_set__",
    "__fields_set__",
    "__struct_fields__",
)
_OPEN_CLASSES: list[type] = [SimpleNamespace, UserDict, UserList, ChainMap]
# The modules of bases that have no state of their own, or have it in what is looked at.
_OPEN_MODULES = (
    "builtins",
    "typing",
    "abc",
    "collections",
    "_collections_abc",
    "contextlib",
    "types",
)
_CLOSED_MODULES = ("sqlalchemy", "_pytest", "pytest", "pluggy", "greenlet", "pytest_sessionguard")
_CLOSED_BUILTINS = frozenset(
    map(id, (type, ModuleType, property, classmethod, staticmethod, super))
)


def _top_module(cls: type) -> str:
    return read_module(cls).partition(".")[0]
