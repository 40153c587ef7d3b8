"""The check of one dependency: each way in turn, on a run of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from pytest_sessionguard.accounts import SessionRecord
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.dependencies import ends
from pytest_sessionguard.dependencies.entered import Entered, is_async, is_async_manager
from pytest_sessionguard.dependencies.naming import name_dependency, refuse_call
from pytest_sessionguard.dependencies.opened import Opened, telling_apart
from pytest_sessionguard.dependencies.ways import Failure, NoSessionError, Way
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.watch.usage import (
    Usage,
    give_back,
    give_back_async,
    wake_registry,
)


class Check:
    """The check of one dependency.

    Args:
        dependency: What is to be checked.
        args: What to call it with.
        kwargs: The same.

    Attributes:
        name: Its name, as its author knows it.
        failures: The ways in which it did not end as it should.
        opened: Where its session was made.
        holder: The kind of that session.
        ways: The ways in which it can end; all of them until it was driven once.
    """

    def __init__(
        self, dependency: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        refuse_call(dependency, args, kwargs)
        self.name = name_dependency(dependency)
        self.failures: list[Failure] = []
        self.opened: Trace | None = None
        self.holder = ""
        self._records: list[SessionRecord] = []
        self.ways = tuple(Way)
        self._call: Callable[[], Any] = lambda: dependency(*args, **kwargs)

    def is_async(self, ledger: Ledger) -> bool:
        """Call the dependency and tell from what it gives whether it has to be awaited.

        Args:
            ledger: The ledger of the guard that watches.

        Returns:
            Whether it has.
        """
        with telling_apart(ledger), Opened(self.name).is_current():
            product = self._call()
        if inspect.iscoroutine(product) or inspect.isgenerator(product):
            product.close()  # it has not begun, and nobody will
        return is_async(product)

    def run(self, ledger: Ledger) -> None:
        """Drive a sync dependency in every way, with each of its sessions in turn.

        Args:
            ledger: The ledger of the guard that watches.
        """
        # Only one session at a time takes a connection: the pool may hold no second one.
        number, count = 0, 1
        with telling_apart(ledger):
            while number < count:
                for way in Way:
                    opened = Opened(self.name)
                    if way in self.ways:
                        with opened.is_current():
                            count = self._drive(way, opened, number)
                number += 1

    async def run_async(self, ledger: Ledger) -> None:
        """Drive an async dependency likewise, each time in a task of its own.

        Args:
            ledger: The ledger of the guard that watches.
        """
        number, count = 0, 1
        with telling_apart(ledger):
            while number < count:
                for way in Way:
                    opened = Opened(self.name)
                    if way in self.ways:
                        with opened.is_current():
                            task = asyncio.create_task(self._drive_async(way, opened, number))
                        count = await ends.wait_for(task)
                number += 1

    def _drive(self, way: Way, opened: Opened, number: int) -> int:
        """Drive it once; return how many sessions it had made at its ``yield``."""
        entered, usages = Entered(self._call()), list[Usage]()
        try:
            value = entered.enter()
        except BaseException:
            _end([Usage(session) for session in opened.kept], opened)
            raise
        try:
            usages = self._find_sessions(value, opened, entered)
            del value
            usage = usages[min(number, len(usages) - 1)]
            if usage.is_async:
                raise TypeError(f"{self.name}() yields an AsyncSession; it has to be async itself.")
            usage.take_connection()
        except BaseException as error:
            entered.exit(error)
            _end(usages, opened)
            raise
        try:
            self._judge(way, opened, usages, ends.end(way, entered))
        finally:
            _end(usages, opened)
        return len(usages)

    async def _drive_async(self, way: Way, opened: Opened, number: int) -> int:
        product = self._call()
        if inspect.isawaitable(product) and not is_async_manager(product):
            product = await product
        entered, usages = Entered(product), list[Usage]()
        del product
        try:
            value = await entered.enter_async()
        except BaseException:
            await _end_async([Usage(session) for session in opened.kept], opened)
            raise
        try:
            usages = self._find_sessions(value, opened, entered)
            del value
            await usages[min(number, len(usages) - 1)].take_connection_async()
        except BaseException as error:
            await entered.exit_async(error)
            await _end_async(usages, opened)
            raise
        try:
            self._judge(way, opened, usages, await ends.end_async(way, entered))
        finally:
            await _end_async(usages, opened)
        return len(usages)

    def _find_sessions(self, value: Any, opened: Opened, entered: Entered) -> list[Usage]:
        """Find the sessions that were made before the ``yield``."""
        record = wake_registry(value)
        if record is not None and record in self._records:  # nobody has removed it since
            opened.take_session(record)
        self._records += opened.records
        self.ways = entered.ways
        if not opened.kept:
            raise NoSessionError(
                f"{self.name}() has opened no session by the time it yields; "
                f"assert_dependency_closes() takes dependencies that open one."
            )
        if not self.failures:
            self.opened, self.holder = opened.records[0].trace, opened.records[0].kind
        return [Usage(session) for session in opened.kept]

    def _judge(self, way: Way, opened: Opened, usages: list[Usage], swallowed: str) -> None:
        left = opened.left_sessions()
        failure = Failure(
            way,
            holder=left[0].kind if left else "",
            connections=len(opened.left_connections()),
            # What joins a transaction of the test's own has taken no connection, and ends nothing.
            committed=way is not Way.END
            and any(u.committed for u in usages)
            and bool(opened.taken),
            swallowed=swallowed,
        )
        if failure.is_any and way not in [known.way for known in self.failures]:
            if left and not any(known.holder for known in self.failures):
                self.opened, self.holder = left[0].trace, left[0].kind
            self.failures.append(failure)


def _end(usages: list[Usage], opened: Opened) -> None:
    """Close and return what the dependency has not."""
    for usage in usages:
        usage.end()
    for lease in opened.taken:
        give_back(lease)


async def _end_async(usages: list[Usage], opened: Opened) -> None:
    """Do the same below an ``await``."""
    for usage in usages:
        await usage.end_async()
    for lease in opened.taken:
        await give_back_async(lease)
