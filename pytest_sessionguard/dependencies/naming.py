"""A dependency as its author knows it: its name, and what it has to be called with."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def name_dependency(dependency: Callable[..., Any]) -> str:
    """Name a dependency.

    Args:
        dependency: A function, a method, a partial or an object that can be called.

    Returns:
        Its name in the code.
    """
    while isinstance(dependency, functools.partial):
        dependency = dependency.func
    name = getattr(dependency, "__qualname__", None) or type(dependency).__qualname__
    return str(name).rpartition("<locals>.")[2]


def refuse_call(
    dependency: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    """Refuse what cannot be called so.

    Args:
        dependency: What is to be called.
        args: What with.
        kwargs: The same.

    Raises:
        TypeError: It cannot be called at all, or needs what only its framework would give it.
    """
    if not callable(dependency):
        raise TypeError(
            f"assert_dependency_closes() takes a function that yields a session, "
            f"not {type(dependency).__name__!r}."
        )
    name = name_dependency(dependency)
    try:
        bound = inspect.signature(dependency).bind(*args, **kwargs)
    except ValueError:  # a built-in has no signature
        return
    except TypeError as error:
        raise TypeError(
            f"{name}() cannot be called: {error}. Give assert_dependency_closes() what it takes."
        ) from None
    bound.apply_defaults()
    for parameter, value in bound.arguments.items():
        if type(value).__module__ == "fastapi.params":
            raise TypeError(
                f"{name}() takes {parameter!r}, which only FastAPI fills in: "
                f"call assert_dependency_closes({name}, {parameter}=...)."
            )
