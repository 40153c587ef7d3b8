"""The service functions of a module: every public function and method that is defined there."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

_PASSING_ON = (
    {"scope", "receive", "send"},
    {"request", "call_next"},
    {"environ", "start_response"},
)


def find_functions(module: ModuleType) -> Iterator[tuple[str, FunctionType]]:
    """Find the public functions and methods that a module defines.

    Classes count with their methods, class methods and static methods; of dunder methods only
    ``__call__`` does a service's work. Properties are attributes, not calls, and a middleware is no
    service. What decorators hide (``functools.wraps``, ``functools.lru_cache``,
    ``contextlib.contextmanager``) is found by way of ``__wrapped__``: each layer is one, and the
    outermost that runs is judged.

    Args:
        module: An imported module.

    Returns:
        Dotted names and functions, some of them perhaps more than once.
    """
    name = module.__name__
    yield from _find_in(dict(vars(module)), name, name, set())


def _find_in(
    space: dict[str, Any], path: str, module: str, seen: set[int]
) -> Iterator[tuple[str, FunctionType]]:
    for name, value in space.items():
        if name != "__call__" and name.startswith("_"):
            continue
        if isinstance(value, type):
            if _is_from(value, module) and id(value) not in seen:
                seen.add(id(value))
                yield from _find_in(dict(vars(value)), f"{path}.{name}", module, seen)
        else:
            for function in _unwrap(value):
                if _is_from(function, module) and not _passes_on(function):
                    yield f"{path}.{name}", function


def _unwrap(value: Any) -> Iterator[FunctionType]:
    """Return the Python functions behind a value of a namespace."""
    if isinstance(value, (staticmethod, classmethod)):
        value = value.__func__
    if _is_fixture(value):
        return
    for _ in range(32):  # a chain that leads back to itself has no end
        if isinstance(value, FunctionType):
            yield value
        # Only where it was written down: an object of the user's may make up any attribute.
        value = _read_dict(value).get("__wrapped__")
        if value is None:
            return


def _passes_on(function: FunctionType) -> bool:
    """Tell whether a function is a middleware or an application, which returns nothing of its own.

    As the outermost call of every request it would hide the services inside. ASGI names its
    arguments ("ASGI Documentation", Applications), WSGI does (PEP 3333), Starlette and Flask too.
    """
    code = function.__code__
    names = set(code.co_varnames[: code.co_argcount])
    return any(names >= arguments for arguments in _PASSING_ON)


def _is_fixture(value: Any) -> bool:
    """Tell whether a value is a fixture of pytest's: what that opens is due when it is torn down.

    Newer ones are objects (``_pytest.fixtures.FixtureFunctionDefinition``, 8.4), older ones are
    functions with a mark.
    """
    if "_pytestfixturefunction" in _read_dict(value):
        return True
    return not isinstance(value, FunctionType) and type(value).__module__.startswith("_pytest.")


def _read_dict(value: Any) -> dict[str, Any]:
    try:
        space = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return space if isinstance(space, dict) else {}


def _is_from(thing: type | FunctionType, module: str) -> bool:
    if isinstance(thing, type):  # a metaclass may have an idea of its own
        return bool(type.__getattribute__(thing, "__module__") == module)
    return bool(thing.__module__ == module)
