"""The handle that a test gets from the fixture `sessionguard`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from types import FunctionType, MethodType, TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from pytest_sessionguard.accounts import Account, Lease, Scope, SessionRecord
from pytest_sessionguard.boundary import Call, Services, Subscription, read_patterns
from pytest_sessionguard.inspection import (
    ObjectState,
    PoolStatus,
    log_object,
    read_object,
    read_pool,
)
from pytest_sessionguard.model import Finding
from pytest_sessionguard.report.wording import tell

_P = ParamSpec("_P")
_R = TypeVar("_R")


class BoundaryError(AssertionError):
    """A function left a connection or a session open, or its result does not outlive them.

    Attributes:
        findings: What was found.
    """

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__("\n\n".join(tell(finding, acceptable=False) for finding in findings))
        self.findings = findings


class ServiceWatch:
    """Services that are checked till the end of a block, or of the test where there is none.

    Made by `SessionGuard.services`; its constructor is private.
    """

    def __init__(self, subscription: Subscription | None) -> None:
        self._subscription = subscription

    def __enter__(self) -> ServiceWatch:
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Check them no more."""
        if self._subscription is not None:
            self._subscription.end()


class SessionGuard:
    """What a test may ask of the guard, by way of the fixture `sessionguard`.

    Its constructor is private.
    """

    def __init__(self, services: Services | None) -> None:
        self._services = services
        self._watches: list[ServiceWatch] = []
        self._asks = False

    def services(self, *patterns: str) -> ServiceWatch:
        """Check the functions of some modules when they return, for the rest of the test.

        Args:
            patterns: Dotted names of modules, such as `app.services.*`.

        Returns:
            A context manager, where they are to be checked for a block only.

        Raises:
            PatternError: A pattern is no dotted name.

        Example:
            >>> def test_slots(sessionguard):
            ...     sessionguard.services("app.services.*")
            ...     assert list_slots() == []
        """
        names = read_patterns(patterns)
        subscription = None if self._services is None else self._services.subscribe(names)
        watch = ServiceWatch(subscription)
        self._watches.append(watch)
        return watch

    def call(self, function: Callable[_P, _R], /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Call a function and check at once what it left open and whether its result outlives that.

        With `--sessionguard=off` it is called, and nothing is checked.

        Args:
            function: Any callable. What a generator function returns is not looked into.
            args: Its arguments.
            kwargs: Its keyword arguments.

        Returns:
            Its result; that of an async function is to be awaited.

        Raises:
            BoundaryError: An error was found. It is not told again when the test ends.

        Example:
            >>> async def test_messages(sessionguard):
            ...     messages = await sessionguard.call(list_messages, 1)
        """
        __tracebackhide__ = True
        call = self._begin(function)
        if call is None:
            return function(*args, **kwargs)
        call.resume()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            call.pause()
            call.fail(error)
            raise
        call.pause()
        if inspect.isawaitable(result):
            return cast("_R", self._finish(call, result))
        call.leave(result)
        self._refuse(call.scope)
        return result

    def state(self, obj: object) -> ObjectState:
        """Read the state of an ORM instance, without loading anything.

        Args:
            obj: The instance.

        Returns:
            Transient, pending, persistent, deleted or detached; what of it is expired or not
            loaded; where its session was opened.

        Raises:
            TypeError: The object is no ORM instance.

        Example:
            >>> def test_user(sessionguard, user):
            ...     assert sessionguard.state(user).state == "detached"
        """
        return read_object(obj)

    def log_session(self, obj: object, operation: str) -> ObjectState:
        """Write to the log whether an object belongs to a session: a warning if it does not.

        Args:
            obj: The instance.
            operation: What is being done with it.

        Returns:
            Its state.

        Raises:
            TypeError: The object is no ORM instance.

        Example:
            >>> def test_user(sessionguard, user):
            ...     sessionguard.log_session(user, "before the card is drawn")
        """
        return log_object(obj, operation)

    def pool_status(self, engine: object) -> PoolStatus:
        """Read how the pool of an engine stands, and who holds what.

        Args:
            engine: An engine, sync or async.

        Returns:
            Its size, what is checked in and out, its overflow, and the holders.

        Raises:
            TypeError: The argument is no engine.

        Example:
            >>> def test_pool(sessionguard, engine):
            ...     assert sessionguard.pool_status(engine).checked_out == 0
        """
        return read_pool(engine)

    def close(self) -> None:
        """Check no more services; the fixture does it."""
        while self._watches:
            self._watches.pop().end()
        if self._asks and self._services is not None:
            self._asks = False
            self._services.boundary.forget()

    def _begin(self, function: Callable[..., Any]) -> Call | None:
        """Begin a call of its own, also in the middle of another."""
        if self._services is None:
            return None
        try:
            if not self._asks:
                self._asks = True
                self._services.boundary.ask()
            return _begin(self._services, function)
        except Exception as error:
            self._services.shield.report(error)
            return None

    async def _finish(self, call: Call, awaitable: Awaitable[Any]) -> Any:
        __tracebackhide__ = True
        if inspect.iscoroutine(awaitable) and awaitable.cr_code is call.code:
            call.follow(awaitable)
        call.resume()
        try:
            result = await awaitable
        except BaseException as error:
            call.pause()
            call.fail(error)
            raise
        call.pause()
        call.leave(result)
        self._refuse(call.scope)
        return result

    def _refuse(self, scope: Scope) -> None:
        """Raise what must fail of what a call came to."""
        __tracebackhide__ = True
        assert self._services is not None
        findings: list[Finding] = []
        try:
            findings = _judge(self._services, scope)
        except Exception as error:
            self._services.shield.report(error)
        if findings:
            raise BoundaryError(findings)


def _begin(services: Services, function: Callable[..., Any]) -> Call | None:
    inner = _find_function(function)
    code = services.find_code(inner) if isinstance(inner, FunctionType) else None
    return services.boundary.begin_anew(_name(inner), code)


def _name(function: Any) -> str:
    """Name a function; an object's own representation may be anything."""
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{name}" if isinstance(module, str) else str(name)


def _find_function(function: Any) -> Any:
    """Find the function that does the work of a callable, which names the call."""
    while isinstance(function, (partial, MethodType)):
        function = function.func if isinstance(function, partial) else function.__func__
    if isinstance(function, (FunctionType, type)) or hasattr(function, "__qualname__"):
        return function
    return type(function).__call__ if callable(function) else function


def _judge(services: Services, scope: Scope) -> list[Finding]:
    """Find what one call has done, by the rules that judge its owner at its end."""
    guard, whole = services.boundary.guard, scope.account
    apart = Account(whole.owner, whole.severities)
    leases = [lease for lease, _ in scope.leases if lease.scope is scope]
    records = [record for record, _ in scope.sessions]
    apart.breaches = [breach for breach in whole.breaches if breach.scope is scope]
    apart.reopened = [record for record in records if record in record.account.reopened]
    things: list[Lease | SessionRecord] = [*leases, *records]
    apart.escaped = [thing for thing in things if thing.is_escaped]
    if not (apart.breaches or apart.reopened or apart.escaped):
        return []
    apart.leases = {lease: None for lease in leases if lease.is_escaped}
    guard.endings.settle([apart])
    apart.lost = [lease for lease in leases if lease.is_escaped and lease in lease.account.lost]
    return guard.judge_now(apart)
