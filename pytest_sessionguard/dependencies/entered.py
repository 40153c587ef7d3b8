"""A dependency at its ``yield``, and how to get it from there to an end."""

from __future__ import annotations

import gc
import inspect
import sys
import warnings
import weakref
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from pytest_sessionguard.dependencies.ways import Way
from pytest_sessionguard.watch.usage import is_session


class Entered:
    """What a dependency gave when it was called, as a context manager if it is one.

    FastAPI, too, makes a context manager of a generator (``fastapi.dependencies.utils``).

    Args:
        product: What the call returned, awaited where it has to be.

    Attributes:
        ways: The ways in which it can end: only a generator, bare or inside a context manager of
            `contextlib`, can be abandoned, and of what only returns nothing runs afterwards.
    """

    def __init__(self, product: Any) -> None:
        self._product = product
        self._manager: Any = None
        if inspect.isgenerator(product):
            self._manager = contextmanager(lambda: product)()
        elif inspect.isasyncgen(product):
            self._manager = asynccontextmanager(lambda: product)()
        elif not is_session(product) and (
            hasattr(product, "__enter__") or is_async_manager(product)
        ):
            self._manager = product
        generator = getattr(self._manager, "gen", None)
        is_generator = inspect.isgenerator(generator) or inspect.isasyncgen(generator)
        # A context manager may swallow what is thrown in; FastAPI lets no generator do that.
        self._must_raise = inspect.isgenerator(product) or inspect.isasyncgen(product)
        self._reference = weakref.ref(generator) if is_generator else lambda: None
        self.ways = tuple(Way) if is_generator else tuple(Way)[:3]
        if self._manager is None:
            self.ways = (Way.END,)

    def enter(self) -> Any:
        """Run it to its ``yield`` and return what it yields."""
        return self._product if self._manager is None else self._manager.__enter__()

    async def enter_async(self) -> Any:
        """Do the same for an async one."""
        if not is_async_manager(self._manager):
            return self.enter()
        return await self._manager.__aenter__()

    def exit(self, error: BaseException | None = None) -> bool:
        """Run it from its ``yield`` to its end.

        Args:
            error: What is thrown in.

        Returns:
            Whether it swallowed that.
        """
        if self._manager is None:
            return False
        try:
            return bool(self._manager.__exit__(*_tell(error))) and self._must_raise
        except BaseException as raised:
            if error is None:
                raise
            return not _is_let_out(error, raised)

    async def exit_async(self, error: BaseException | None = None) -> bool:
        """Do the same for an async one."""
        if not is_async_manager(self._manager):
            return self.exit(error)
        try:
            return bool(await self._manager.__aexit__(*_tell(error))) and self._must_raise
        except BaseException as raised:
            if error is None:
                raise
            return not _is_let_out(error, raised)

    def drop(self) -> Any:
        """Let go of it, and have what nobody holds collected.

        Returns:
            Its generator, where something else holds it still.
        """
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            self._product = self._manager = None
            if self._reference() is not None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    gc.collect()
            return self._reference()
        finally:
            sys.unraisablehook = hook


def is_async(product: Any) -> bool:
    """Tell whether what a dependency gave can only be driven below an ``await``.

    Args:
        product: What its call returned.

    Returns:
        Whether it is a coroutine, an async generator, an async context manager or async session.
    """
    return inspect.isawaitable(product) or inspect.isasyncgen(product) or is_async_manager(product)


def is_async_manager(product: Any) -> bool:
    """Tell whether an object is an async context manager.

    Args:
        product: Anything.

    Returns:
        Whether it has to be entered with ``async with``.
    """
    return hasattr(product, "__aenter__")


def _is_let_out(error: BaseException, raised: BaseException) -> bool:
    """Tell whether an exception came out in which the thrown one is heard.

    Another one may come in its place, as an ``HTTPException`` does; a cancellation must stay one.
    """
    return isinstance(error, Exception) or isinstance(raised, type(error))


def _tell(error: BaseException | None) -> tuple[Any, ...]:
    return (None, None, None) if error is None else (type(error), error, error.__traceback__)
