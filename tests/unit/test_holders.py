"""Who holds a thing and goes on, and in whose time that was started."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_sessionguard.accounts import Account
from pytest_sessionguard.accounts.holders import Block
from pytest_sessionguard.accounts.starters import MAIN, note_starter, starter_of
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner


@pytest.mark.parametrize(
    ("line", "is_inside"), ((1, False), (2, True), (3, True), (4, False), (None, False))
)
def test_lines_of_a_block(line: int | None, is_inside: bool) -> None:
    """A frame in code that cleans up behind an `except` has no line, and is nowhere."""
    code = test_lines_of_a_block.__code__
    frame: Any = SimpleNamespace(f_code=code, f_lineno=line)
    assert is_inside == Block(code, 2, 3).holds(frame)


def test_starters() -> None:
    """Work keeps what it was told, and of an account that has gone nothing."""
    task: Any = SimpleNamespace()
    assert None is starter_of(None) is starter_of(task)
    note_starter(task, MAIN)
    assert MAIN is starter_of(task)
    account = Account(Owner("test", "test_it"))
    note_starter(task, account)
    assert account is starter_of(task)
    del account
    assert None is starter_of(task)
    note_starter(task, None)
    assert None is starter_of(task)


def test_a_thread_keeps_no_account(bare: None) -> None:
    """One of a pool of the application's outlives the test that made it by hours."""
    guard = Guard("/")
    guard.start()
    guard._watchers.install(at_once=True)
    with ThreadPoolExecutor(1) as pool:
        guard.start_test(Owner("test", "test_it", nodeid="test_it"), {})
        account = weakref.ref(guard.ledger.current)
        thread = pool.submit(threading.current_thread).result()
        assert account() is starter_of(thread)
        guard.end_test("test_it", passed=True)
        guard.start_test(Owner("test", "test_next", nodeid="test_next"), {})
        gc.collect()
        assert account() is starter_of(thread) is None
        guard.end_test("test_next", passed=True)
    guard.stop()
