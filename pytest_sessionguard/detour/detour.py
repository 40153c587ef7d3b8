"""A detour of one function, put up and taken away."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from pytest_sessionguard.detour.guide import Guide
from pytest_sessionguard.detour.trampolines import Way, make_code


class Detour:
    """The detour of one function.

    Args:
        function: A function written in Python.
        guide: Whom its calls are led past.

    Raises:
        DetourError: Its parameters cannot be spelt.
    """

    def __init__(self, function: FunctionType, guide: Guide) -> None:
        self.function = function
        self.original = _copy(function)
        self._code = make_code(function.__code__, Way(self.original, guide))

    @property
    def is_installed(self) -> bool:
        """Tell whether calls of the function are led past the guide."""
        return self.function.__code__ is self._code

    def install(self) -> None:
        """Lead the function's calls past the guide from now on."""
        function: Any = self.function
        function.__code__ = self._code
        if "__wrapped__" not in vars(function):  # a decorator's own leads to the source as well
            function.__wrapped__ = self.original

    def remove(self) -> None:
        """Make the function what it was; calls that are under way end as they began.

        Where somebody has swapped its code since, theirs stays: it may lead through ours, which
        then goes on to the original.
        """
        if self.is_installed:
            self.function.__code__ = self.original.__code__
        if vars(self.function).get("__wrapped__") is self.original:
            del vars(self.function)["__wrapped__"]


def _copy(function: FunctionType) -> FunctionType:
    """Make a function of its code, closure and all else that it has."""
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__ = function.__qualname__
    copy.__module__ = function.__module__
    copy.__doc__ = function.__doc__
    annotate = getattr(function, "__annotate__", None)
    if annotate is None:
        copy.__annotations__ = function.__annotations__
    else:  # Python 3.14 evaluates annotations when they are asked for, which may fail now
        copy.__annotate__ = annotate  # type: ignore[attr-defined]
    if hasattr(function, "__type_params__"):
        copy.__type_params__ = function.__type_params__  # type: ignore[attr-defined]
    vars(copy).update(vars(function))
    return copy
