"""Whatever keeps a session for all who ask for it: they get the one that was given before."""

from __future__ import annotations

import functools
import gc
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import suppress
from contextvars import Context
from types import CellType, CodeType, MemberDescriptorType, ModuleType
from typing import Any

from pytest_sessionguard.files import THIRD, learn

_CACHE: type = type(functools.lru_cache(bool))
_STORES = (_CACHE, Context, threading.local)
_CONTAINERS = (dict, list, tuple, set)


def is_kept(session: Any, makers: Collection[CodeType]) -> bool:
    """Tell whether those who made a session keep it, and give it to the next one who asks.

    They do where ``functools.lru_cache``, a ``ContextVar`` or a ``threading.local`` holds it; or a
    module, class or object of which a maker is a function, in an attribute or in a container
    (``functools.cached_property`` is one); or a variable around such a function; or an object of
    another package's, as ``flask.g``. An object of the user's that has borrowed it keeps nothing.
    It looks through everything that the collector knows, so ask seldom.

    Args:
        session: A sync session; the async session in front of it counts as well.
        makers: The code of the functions that made it.

    Returns:
        Whether they do.
    """
    fronts = [holder for holder in _holders_of(session) if _is_async_session(holder)]
    return any(_is_kept(thing, makers) for thing in (session, *fronts))


def _is_kept(thing: Any, makers: Collection[CodeType]) -> bool:
    holders = _holders_of(thing)
    if any(_keeps(holder, thing, makers) for holder in holders):
        return True
    containers = [holder for holder in holders if issubclass(type(holder), _CONTAINERS)]
    return any(
        _keeps(holder, container, makers)
        for container in containers
        for holder in _holders_of(container)
    )


def _holders_of(thing: Any) -> list[Any]:
    holders = gc.get_referrers(thing)
    # The attributes of an object may stand in a dictionary between, and a cache without a limit is
    # one.
    spaces = [holder for holder in holders if type(holder) is dict]
    return holders + (gc.get_referrers(*spaces) if spaces else [])


def _keeps(holder: Any, thing: Any, makers: Collection[CodeType]) -> bool:
    """Tell whether a holder is one that lasts, has the thing itself, and has a maker's function."""
    class_ = type(holder)
    if issubclass(class_, _STORES) or class_.__name__.startswith("hamt_"):
        return True
    if class_ is CellType:
        closures = [each for each in gc.get_referrers(holder) if type(each) is tuple]
        functions = gc.get_referrers(*closures) if closures else []
        return any(getattr(each, "__code__", None) in makers for each in functions)
    try:
        if all(value is not thing for value in _values_of(holder)):
            return False
        if isinstance(holder, ModuleType):
            return any(code.co_filename == holder.__file__ for code in makers)
        owner = holder if isinstance(holder, type) else class_
        return _is_third_party(owner) or any(code in makers for code in _codes_of(owner))
    except Exception:  # it has no attributes, or a `__dict__` of its own making
        return False


def _values_of(holder: Any) -> list[Any]:
    values = list(getattr(holder, "__dict__", {}).values())
    for part in [part for base in type(holder).__mro__ for part in list(vars(base).values())]:
        # A slot is read by its descriptor: by its name, an empty one asks a user's `__getattr__`.
        if isinstance(part, MemberDescriptorType):
            with suppress(AttributeError):
                values.append(part.__get__(holder))
    return values


def _is_third_party(class_: type) -> bool:
    """Tell whether a class is another package's, neither the user's nor SQLAlchemy's."""
    path = getattr(sys.modules.get(class_.__module__), "__file__", None)
    return path is not None and learn(path) == THIRD


def _codes_of(class_: type) -> Iterator[CodeType]:
    for value in [value for base in class_.__mro__ for value in list(vars(base).values())]:
        # What `property`, `cached_property`, `classmethod` and a decorator have inside.
        for name in ("fget", "func", "__func__", "__wrapped__"):
            code = getattr(getattr(value, name, None), "__code__", None)
            if isinstance(code, CodeType):
                yield code
        code = getattr(value, "__code__", None)
        if isinstance(code, CodeType):
            yield code


def _is_async_session(thing: Any) -> bool:
    return any(base.__module__ == "sqlalchemy.ext.asyncio.session" for base in type(thing).__mro__)
