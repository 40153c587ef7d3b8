"""The assertion that a dependency closes the session that it yields, however its request ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec, overload

from pytest_sessionguard.accounts import Unmade
from pytest_sessionguard.assertions.guards import watching
from pytest_sessionguard.callsite import Tracer
from pytest_sessionguard.guard import Guard, active_guard

if TYPE_CHECKING:
    from pytest_sessionguard.dependencies import Check, Failure

_P = ParamSpec("_P")
_Async = AsyncIterator[Any] | Awaitable[Any] | AbstractAsyncContextManager[Any]


class DependencyError(AssertionError):
    """A dependency does not end as it should.

    Attributes:
        failures: The ways in which it does not, and what was left in each.
    """

    def __init__(self, message: str, failures: Iterable[Failure]) -> None:
        super().__init__(message)
        self.failures = list(failures)

    def __reduce__(self) -> Any:
        """Go from one process to another with its failures."""
        return type(self), (str(self), self.failures)


@overload
def assert_dependency_closes(  # type: ignore[overload-overlap]
    dependency: Callable[_P, _Async], /, *args: _P.args, **kwargs: _P.kwargs
) -> Coroutine[Any, Any, None]: ...


@overload
def assert_dependency_closes(
    dependency: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs
) -> None: ...


def assert_dependency_closes(
    dependency: Callable[..., Any], /, *args: Any, **kwargs: Any
) -> Coroutine[Any, Any, None] | None:
    """Check that a dependency closes the session which it yields, however its request ends.

    It is called once for each way and driven to its normal end, with an exception thrown in, with
    cancellation, and abandoned. Its session executes ``SELECT 1`` before, so that there is a
    connection to return. Each time the session must be closed, its connection returned, and an
    unfinished transaction not committed; what was thrown in must come out again, or another
    exception in its place. A dependency may yield whatever holds the session.

    Args:
        dependency: A generator function, sync or async, a function made with ``@contextmanager`` or
            ``@asynccontextmanager``, a method, a partial, an object that can be called.
        args: What to call it with.
        kwargs: The same.

    Returns:
        For an async dependency a coroutine, which has to be awaited; a test that does not fails.
        For a sync one nothing: it is checked at once.

    Raises:
        DependencyError: It does not end as it should.
        TypeError: It opens no session, or cannot be called so.

    Example:
        >>> async def test_get_session():
        ...     await assert_dependency_closes(get_session)
    """
    __tracebackhide__ = True
    from pytest_sessionguard.dependencies import Check

    active, check = active_guard(), Check(dependency, args, kwargs)
    with watching() as guard:
        is_async = check.is_async(guard.ledger)
        if not is_async:
            with _judging(check, guard):
                check.run(guard.ledger)
            return None
    token, account = object(), active.test if active is not None else None
    if account is not None:
        trace = Tracer(limit=1).capture()
        account.unmade[token] = Unmade("assert_dependency_closes", trace)

    async def check_async() -> None:
        __tracebackhide__ = True
        if account is not None:
            account.unmade.pop(token, None)
        with watching() as guard, _judging(check, guard):
            await check.run_async(guard.ledger)

    check_async.__qualname__ = "assert_dependency_closes"  # what Python warns of, never awaited
    return check_async()


@contextmanager
def _judging(check: Check, guard: Guard) -> Iterator[None]:
    """Refuse what a check has found, unless a fault of the guard's own has kept it from seeing."""
    __tracebackhide__ = True
    from pytest_sessionguard.dependencies import NoSessionError

    try:
        yield
    except NoSessionError:
        if guard.shield.fault is None:
            raise
    if check.failures and guard.shield.fault is None:
        from pytest_sessionguard.report.dependencies import tell_failures

        opened = guard.render(check.opened)
        message = tell_failures(
            check.name, check.failures, holder=check.holder, opened=opened, ways=check.ways
        )
        raise DependencyError(message, check.failures)
