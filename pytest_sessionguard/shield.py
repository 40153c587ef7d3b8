"""What takes a fault inside the guard, so that no test of the user's ever sees it."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from inspect import getattr_static
from types import CodeType, FunctionType, MethodType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Shield:
    """The first fault inside the guard, and what is to happen then."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None
        self._was_interrupted = False

    def report(self, error: BaseException, *, counts: bool = True) -> None:
        """Keep a fault; only the first one counts.

        Args:
            error: What was raised inside the guard. What a signal's handler has raised there is
                the user's, and goes on to whom it is meant for.
            counts: Whether it is a fault, and not what was to be expected.
        """
        __tracebackhide__ = True
        if is_of_handler(error):
            self._was_interrupted = True
            try:
                raise error
            finally:
                del error  # or its traceback would keep alive what is on the way, and itself
        if counts and self.fault is None:
            self.fault = error

    def take_interruption(self) -> bool:
        """Tell, once, whether a signal's handler has broken off what the guard was entering."""
        was_interrupted, self._was_interrupted = self._was_interrupted, False
        return was_interrupted

    def run(self, action: Callable[[], None]) -> None:
        """Do something of the guard's in the middle of the user's code.

        Args:
            action: What may fail.
        """
        try:
            action()
        except Exception as error:
            __tracebackhide__ = True
            self.report(error)


class Shielded(Protocol):
    """Whatever has a shield."""

    shield: Shield


_S = TypeVar("_S", bound=Shielded)
_P = ParamSpec("_P")


def shielded(method: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    """Keep what a method raises from its caller.

    Args:
        method: A method of a class that has a shield.

    Returns:
        The method, whose faults its shield takes.
    """

    @functools.wraps(method)
    def call(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception as error:
            __tracebackhide__ = True
            self.shield.report(error)

    return call


def is_of_handler(error: BaseException) -> bool:
    """Tell whether an exception came through the handler of a signal, such as an alarm's.

    Args:
        error: What was caught; its traceback begins there.

    Returns:
        Whether the code of a handler that is installed now is on its way.
    """
    if error.__traceback__ is None or threading.current_thread() is not threading.main_thread():
        return False  # Python runs handlers in the main thread only
    codes = [_code_of(signal.getsignal(number)) for number in signal.valid_signals()]
    handlers = {id(code) for code in codes if code is not None}
    step = error.__traceback__.tb_next  # the first is who caught it, perhaps in a handler himself
    while step is not None:
        if id(step.tb_frame.f_code) in handlers:
            return True
        step = step.tb_next
    return False


def _code_of(handler: Any) -> CodeType | None:
    """Return the code that a handler runs first, None where it is none of Python's."""
    while not isinstance(handler, FunctionType):
        if isinstance(handler, functools.partial):
            handler = handler.func
        elif isinstance(handler, MethodType):
            handler = handler.__func__
        elif isinstance(call := getattr_static(type(handler), "__call__", None), FunctionType):
            handler = call
        else:
            return None
    return handler.__code__
