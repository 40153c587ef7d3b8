"""Installing and removing detours: twice, in any order, while calls are under way, in threads."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
import traceback
import unittest.mock
import warnings
import weakref
from typing import Any

import pytest

from pytest_sessionguard import callsite, files
from pytest_sessionguard.detour import FILE, Detour


class Count:
    """A guide that counts calls and their ends."""

    def __init__(self) -> None:
        self.begun = 0
        self.ended = 0

    def enter(self, running: Any) -> Count:
        self.begun += 1
        return self

    def resume(self) -> None: ...

    def pause(self) -> None: ...

    def leave(self, result: Any) -> None:
        self.ended += 1

    def fail(self, error: BaseException) -> None:
        self.ended += 1


def make() -> Any:
    def function(a: int) -> int:
        """Say it."""
        return a

    return function


def state(function: Any) -> Any:
    return function.__code__, dict(vars(function))


def test_nested() -> None:
    """Two detours of one function both see its calls; removed from the inside out, none is left."""
    function, one, two = make(), Count(), Count()
    before = state(function)
    first = Detour(function, one)
    first.install()
    second = Detour(function, two)
    second.install()
    assert 1 == function(1)
    assert (1, 1) == (one.ended, two.ended)
    second.remove()
    assert 2 == function(2)
    assert (2, 1) == (one.ended, two.ended)
    first.remove()
    assert before == state(function)


def test_somebody_came_after() -> None:
    """Where the code was swapped since, theirs stays; it may lead through ours to the original."""
    function, mine, theirs = make(), Count(), Count()
    detour = Detour(function, mine)
    detour.install()
    other = Detour(function, theirs)
    other.install()
    code = function.__code__
    detour.remove()
    assert function.__code__ is code
    assert not detour.is_installed
    assert 1 == function(1)
    assert 1 == theirs.ended


def test_somebody_set_the_same_attribute() -> None:
    """A ``__wrapped__`` that is not ours stays, whether it was there before or came since."""
    before, since = make(), make()
    before.__wrapped__ = since.__wrapped__ = mine = make()
    for function in (before, since):
        if function is since:
            del function.__wrapped__
        detour = Detour(function, Count())
        detour.install()
        function.__wrapped__ = mine
        detour.remove()
        assert {"__wrapped__": mine} == vars(function)


def test_twice() -> None:
    """Installing and removing again is fine, and so is doing it twice."""
    function, count = make(), Count()
    before = state(function)
    detour = Detour(function, count)
    for _ in range(3):
        detour.install()
        detour.install()
        assert 1 == function(1)
        detour.remove()
        detour.remove()
        assert before == state(function)
    assert 3 == count.ended


def test_removed_while_a_call_is_under_way() -> None:
    """Calls that began before the removal end as they began."""
    count = Count()

    def plain() -> str:
        removals.pop().remove()
        return "plain"

    async def coroutine() -> str:
        await asyncio.sleep(0)
        removals.pop().remove()
        await asyncio.sleep(0)
        return "coroutine"

    def generator() -> Any:
        yield 1
        removals.pop().remove()
        yield 2
        return 3

    async def async_generator() -> Any:
        yield 1
        removals.pop().remove()
        await asyncio.sleep(0)
        yield 2

    async def exhaust(things: Any) -> list[Any]:
        return [thing async for thing in things]

    removals: list[Detour] = []
    for function, use, result in (
        (plain, lambda: plain(), "plain"),
        (coroutine, lambda: asyncio.run(coroutine()), "coroutine"),
        (generator, lambda: list(generator()), [1, 2]),
        (async_generator, lambda: asyncio.run(exhaust(async_generator())), [1, 2]),
    ):
        before = state(function)
        removals.append(Detour(function, count))  # type: ignore[arg-type]
        removals[0].install()
        assert result == use()
        assert before == state(function)
    assert 4 == count.begun == count.ended


def test_threads() -> None:
    """Calls from many threads, while the detour comes and goes, all come back right."""
    function, count = make(), Count()
    detour = Detour(function, count)
    wrong: list[Any] = []
    stop = threading.Event()

    def call() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            if function(number) != number:
                wrong.append(number)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=call) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for _ in range(300):
            detour.install()
            detour.remove()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(before)
    assert [] == wrong
    assert 5 == function(5)


def test_nothing_is_left() -> None:
    """A function that was detoured once dies like any other."""
    function = make()
    detour = Detour(function, Count())
    detour.install()
    function(1)
    detour.remove()
    reference = weakref.ref(function)
    del function, detour
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what other tests have left is none of this one's
        gc.collect()
    assert None is reference()


# What stands around a call


def test_traceback() -> None:
    """One frame of ours is in a traceback, under the function's name, and pytest hides it."""

    def function() -> None:
        raise KeyError("mine")

    detour = Detour(function, Count())  # type: ignore[arg-type]
    detour.install()
    with pytest.raises(KeyError) as raised:
        function()
    detour.remove()
    names = [(e.name, str(e.path) == __file__) for e in raised.traceback]
    assert [
        ("test_traceback", True),
        ("function", False),
        ("function", True),
    ] == names
    shown = raised.traceback.filter(raised)
    assert ["test_traceback", "function"] == [entry.name for entry in shown]
    assert {__file__} == {str(entry.path) for entry in shown}
    assert None is raised.value.__context__
    text = "".join(traceback.format_exception(raised.value))
    assert 1 == text.count("sessionguard, as")


def test_call_sites_pass_over_it() -> None:
    """A frame of ours is the library's to a call site, whoever stands at both sides of it."""
    tracer = callsite.Tracer()

    def function() -> callsite.Trace:
        return tracer.capture()

    detour = Detour(function, Count())  # type: ignore[arg-type]
    detour.install()
    trace = function()
    detour.remove()
    names = [code.co_name for code in trace.marks[::2]]
    assert ["function", "test_call_sites_pass_over_it"] == names
    assert files.LIBRARY == files._classify(FILE)


def test_warnings_and_logging_find_the_caller(caplog: Any) -> None:
    """A ``stacklevel`` counts the user's frames only."""

    def old() -> None:
        warnings.warn("use new()", DeprecationWarning, stacklevel=2)
        logging.getLogger("mine").warning("old", stacklevel=2)

    def call() -> None:
        old()

    def lines() -> list[Any]:
        caplog.clear()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
        return [
            (caught[0].filename, caught[0].lineno),
            (caplog.records[0].funcName, caplog.records[0].lineno),
        ]

    before = lines()
    assert (__file__, "call") == (before[0][0], before[1][0])
    detour = Detour(old, Count())  # type: ignore[arg-type]
    detour.install()
    during = lines()
    detour.remove()
    assert before[0] == during[0]
    if sys.version_info >= (3, 11):  # before, logging passes over frames of its own only
        assert before == during


class Service:
    def get(self, number: int, *, name: str = "x") -> str:
        return name * number

    async def load(self, number: int) -> int:
        return number


def test_mocks() -> None:
    """Autospecs check calls as before, and a patched function is simply not called."""
    count = Count()
    detours = [Detour(one, count) for one in (Service.get, Service.load)]  # type: ignore[arg-type]
    for detour in detours:
        detour.install()
    try:
        double = unittest.mock.create_autospec(Service, instance=True)
        double.get(1, name="y")
        with pytest.raises(TypeError, match="missing a required argument: 'number'"):
            double.get()
        assert isinstance(double.load, unittest.mock.AsyncMock)
        function = unittest.mock.create_autospec(Service.get)
        with pytest.raises(TypeError, match="unexpected keyword argument 'nmae'"):
            function(None, 1, nmae="z")
        with unittest.mock.patch.object(Service, "get", autospec=True, return_value="double"):
            assert "double" == Service().get(2)
        assert 0 == count.begun
        with unittest.mock.patch.object(Service, "get", wraps=Service().get):
            assert "zz" == Service().get(2, name="z")
        assert "xx" == Service().get(2)
    finally:
        for detour in detours:
            detour.remove()
    assert 2 == count.ended


def test_routes_that_were_made_before() -> None:
    """A FastAPI route and its dependencies, captured before the detour, go through it."""
    pytest.importorskip("fastapi")
    pytest.importorskip("httpx")
    from fastapi import Depends, FastAPI

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer ones want httpx2
        from fastapi.testclient import TestClient

    app = FastAPI()
    log: list[str] = []

    def name(word: str = "none") -> str:
        return word

    async def number() -> Any:
        yield 5
        log.append("closed")

    def route(word: str = Depends(name), count: int = Depends(number)) -> dict[str, Any]:
        return {"word": word, "count": count}

    # Annotations are strings here, and FastAPI looks their names up in the module.
    globals()["Depends"] = Depends
    app.get("/early")(route)
    count = Count()
    detours = [Detour(one, count) for one in (name, number, route)]  # type: ignore[arg-type]
    for detour in detours:
        detour.install()
    app.get("/late")(route)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with TestClient(app) as client:
                answers = [client.get(f"/{path}?word=hi").json() for path in ("early", "late")]
    finally:
        for detour in detours:
            detour.remove()
        del globals()["Depends"]
    assert [{"word": "hi", "count": 5}] * 2 == answers
    assert 6 == count.begun == count.ended
    assert ["closed"] * 2 == log


def test_tracing_sees_the_lines() -> None:
    """A tracer, as coverage and debuggers set it, sees the original lines run."""

    def function() -> int:
        a = []
        a.append(1)
        return len(a)

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename == __file__ and event == "line":
            lines.append(frame.f_lineno - first)
        return trace

    lines: list[int] = []
    first = function.__code__.co_firstlineno
    detour = Detour(function, Count())  # type: ignore[arg-type]
    detour.install()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    detour.remove()
    assert [1, 2, 3] == [line for line in lines if 0 < line < 5]
