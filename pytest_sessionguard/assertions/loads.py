"""The assertion that nothing loads itself."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import Any

from pytest_sessionguard.accounts import Account, Load, Unmade
from pytest_sessionguard.assertions.guards import begin_watching, end_watching, find_guard
from pytest_sessionguard.callsite import Tracer
from pytest_sessionguard.guard import Guard, active_guard
from pytest_sessionguard.model import Finding, Severity
from pytest_sessionguard.report.wording import tell
from pytest_sessionguard.rules.lazy_load import RULE, tell_load

# The blocks that the running task or thread has entered, the innermost last.
_entered: ContextVar[tuple[NoLazyLoad, ...]] = ContextVar("sessionguard_blocks", default=())


class LazyLoadError(AssertionError):
    """An attribute was read that was not loaded.

    Attributes:
        finding: What was read, where, and where its object came from.
    """

    def __init__(self, finding: Finding) -> None:
        super().__init__(tell(finding))
        self.finding = finding

    def __reduce__(self) -> Any:
        """Go from one process to another with its finding."""
        return type(self), (self.finding,)


class NoLazyLoad:
    """A block in which no attribute may load itself, sync or async.

    Made by `assert_no_lazy_load`; its constructor is private.
    """

    def __init__(self, account: Account | None) -> None:
        self._guard: Guard = find_guard()
        self._account = account
        self._token = object()
        if account is not None:
            trace = Tracer(limit=1).capture()
            account.unmade[self._token] = Unmade("assert_no_lazy_load", trace)
        self._errors: list[LazyLoadError] = []
        self._depth = 0

    def __enter__(self) -> NoLazyLoad:
        if self._account is not None:
            self._account.unmade.pop(self._token, None)
        if self._depth == 0:
            self._errors.clear()
            self._guard = find_guard()  # a fault inside may have taken out the one of before
        self._depth += 1
        begin_watching(self._guard)
        self._guard.ledger.refusals.append(self._refuse)
        _entered.set((*_entered.get(), self))
        return self

    def __exit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        if self._refuse in self._guard.ledger.refusals:
            self._guard.ledger.refusals.remove(self._refuse)
        self._depth -= 1
        blocks = _entered.get()
        if self in blocks:  # the block may end in another task than it was entered in
            last = len(blocks) - 1 - blocks[::-1].index(self)
            _entered.set(blocks[:last] + blocks[last + 1 :])
        end_watching(self._guard)
        if not self._errors or isinstance(value, LazyLoadError):
            return
        # The code under test swallowed it, or made another exception of it.
        if value is None or isinstance(value, Exception):
            raise self._errors[0]

    async def __aenter__(self) -> NoLazyLoad:
        return self.__enter__()

    async def __aexit__(
        self,
        type_: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        __tracebackhide__ = True
        self.__exit__(type_, value, traceback)

    def _refuse(self, load: Load) -> Exception | None:
        if _is_shown(sys._getframe(1)):
            return None
        # Of blocks in several tasks it is the reader's own; where that has none, any will do.
        refusals = self._guard.ledger.refusals
        own = (block for block in reversed(_entered.get()) if block._refuse in refusals)
        return next(own, self)._make_error(load)

    def _make_error(self, load: Load) -> LazyLoadError:
        load.count, load.parents = 1, {0}
        verdict = tell_load(load, self._guard.render)
        owner = self._guard.ledger.current.owner
        facts = {**verdict.facts, "asserted": True}
        error = LazyLoadError(
            Finding(RULE.code, RULE.name, Severity.ERROR, owner, verdict.places, facts)
        )
        self._errors.append(error)
        return error


def _is_shown(frame: FrameType | None) -> bool:
    """Tell whether pytest reads it, to show the operands of an assertion that has failed."""
    while frame is not None:
        path = frame.f_code.co_filename.replace("\\", "/")
        if "/_pytest/_io/" in path or path.endswith("/_pytest/assertion/util.py"):
            return True
        frame = frame.f_back
    return False


def assert_no_lazy_load() -> NoLazyLoad:
    """Let no attribute load itself within a block.

    The first read that would cause a load raises at that very line, before the statement is sent:
    of a relationship, a deferred column, an expired attribute; so does a read that fails with
    DetachedInstanceError or MissingGreenlet. If the code under test swallows the error, the end of
    the block raises it again. It holds for every thread and task while the block lasts; where
    several have a block each, the reader's own raises. Loads that were asked for are none: eager
    loads, ``refresh``, ``get``, ``awaitable_attrs``, dynamic and write-only collections.

    Returns:
        A context manager, sync and async. Where the plugin is active, a test that calls it and
        never enters it fails.

    Raises:
        LazyLoadError: Inside the block, an attribute was read that was not loaded.

    Example:
        >>> def test_titles(session):
        ...     slots = list_slots(session)
        ...     with assert_no_lazy_load():
        ...         titles = [slot.city.name for slot in slots]
    """
    guard = active_guard()
    account = guard.test if guard is not None else None
    return NoLazyLoad(account)
