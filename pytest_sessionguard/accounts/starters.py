"""In whose time the user's code has started a task or a thread."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pytest_sessionguard.running import find_running_task

if TYPE_CHECKING:
    from pytest_sessionguard.accounts.account import Account

# Where a task or thread keeps it.
_NAME = "_sessionguard_starter"
# anyio's runner of tests and fixtures, which may be older than the watching.
_RUNNER = "TestRunner._run_tests_and_fixtures"
# What it keeps instead where it is the one that a loop was run for: a test's or a runner's own.
MAIN = object()


class FirstStep(threading.local):
    """Whose time it is while a task takes its first step.

    With `asyncio.eager_task_factory` that is before anybody can note it on the task.

    Attributes:
        starter: The account, or `MAIN`; None where nobody of the user's starts it.
    """

    starter: object = None


class Starters:
    """Tells in whose time work is about to be started.

    Args:
        find_current: Returns the account of the moment, whose the work is that a test starts.

    Attributes:
        first_step: What is to be set while a task is made.
    """

    def __init__(self, find_current: Callable[[], Account]) -> None:
        self._find_current = find_current
        self.first_step = FirstStep()

    def find(self) -> object:
        """Find in whose time the work began that starts other work.

        Returns:
            The account; None where nobody of the user's has started it.
        """
        task = find_running_task()
        if task is None:
            return _resolve(
                getattr(find_thread(threading.get_ident()), _NAME, self._find_current())
            )
        starter = _look_up(task, self.first_step.starter)
        return self._find_current() if starter is MAIN else starter

    def find_main(self) -> object:
        """Find in whose time a loop is run for a task: that is its own, or that of its thread."""
        return _resolve(getattr(find_thread(threading.get_ident()), _NAME, MAIN))

    def find_runners(self) -> object:
        """Find whose a task is that no line of the user's makes.

        Returns:
            `MAIN` where another such task makes it: anyio runs tests and fixtures in a task that
            the first of them makes (``TestRunner._call_in_runner_task``). Else None.
        """
        return MAIN if starter_of(find_running_task()) is MAIN else None


def note_starter(work: Any, starter: object) -> None:
    """Note in whose time a task or thread is started.

    Args:
        work: It. A thread of a pool may outlive the owner by far, and keeps no account alive.
        starter: What `Starters` has found.

    Raises:
        AttributeError: It has no place for that; a factory of the user's may make anything.
    """
    is_account = starter is not None and starter is not MAIN
    setattr(work, _NAME, weakref.ref(starter) if is_account else starter)


def starter_of(work: Any) -> object:
    """Return in whose time a task or thread was started.

    Args:
        work: It, or None.

    Returns:
        The account, or `MAIN`; None where nobody of the user's has started it, or nobody knows.
    """
    return _look_up(work, None)


def find_thread(ident: int) -> threading.Thread | None:
    """Find a thread that is alive, and not the main one; to ask for the current one makes it.

    Args:
        ident: Its number.

    Returns:
        It, if `threading` knows it.
    """
    if ident == threading.main_thread().ident:
        return None
    return next((thread for thread in threading.enumerate() if thread.ident == ident), None)


def _look_up(work: Any, default: object) -> object:
    starter = _resolve(getattr(work, _NAME, default))
    return MAIN if starter is None and _is_runner(work) else starter


def _is_runner(work: Any) -> bool:
    find_coroutine = getattr(work, "get_coro", None)  # a loop's factory may make anything
    coroutine = None if find_coroutine is None else find_coroutine()
    return getattr(coroutine, "__qualname__", "") == _RUNNER


def _resolve(starter: object) -> object:
    return starter() if isinstance(starter, weakref.ref) else starter
