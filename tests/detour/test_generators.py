"""Generators that are led past a guide do what they did, whatever is done to them.

Each script of operations runs on the function as it is and once more with its detour; all that
came of them must be the same.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import types
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_sessionguard.detour import Detour, Passage


class Steps:
    """A guide that knows how many generators' own frames run, and how they ended."""

    def __init__(self) -> None:
        self.runs = 0
        self.ends: list[str] = []

    def enter(self, running: Any) -> Passage:
        return Step(self)


class Step:
    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.runs = False

    def resume(self) -> None:
        assert not self.runs
        self.runs = True
        self.steps.runs += 1

    def pause(self) -> None:
        assert self.runs
        self.runs = False
        self.steps.runs -= 1

    def leave(self, result: Any) -> None:
        assert not self.runs
        self.steps.ends.append("leave")

    def fail(self, error: BaseException) -> None:
        assert not self.runs
        self.steps.ends.append("fail")


class Idle:
    def enter(self, running: Any) -> None:
        return None


STEPS = Steps()


def echo(log: list[Any]) -> Generator[Any, Any, str]:
    received = yield "first"
    while received != "stop":
        log.append(received)
        received = yield received
    return "returned"


def stubborn(log: list[Any]) -> Generator[Any, Any, str]:
    """Catch what is thrown in, and go on."""
    for number in range(3):
        try:
            log.append((yield number))
        except ValueError as error:
            log.append(repr(error))
        finally:
            log.append("finally")
    return "returned"


def late(log: list[Any]) -> Generator[Any, Any, str]:
    """Raise something of its own after what it has caught."""
    try:
        yield 1
    except ValueError:
        log.append("caught")
    raise KeyError("own")


def chained(log: list[Any]) -> Generator[Any, Any, str]:
    try:
        yield 1
    except ValueError as error:
        raise KeyError("chained") from error
    return "returned"


def greedy(log: list[Any]) -> Generator[Any, Any, str]:
    """Yield where it should end."""
    try:
        yield 1
    except BaseException as error:
        log.append(type(error).__name__)
        yield 2
    return "returned"


def gentle(log: list[Any]) -> Generator[Any, Any, str]:
    """Return where it is closed."""
    try:
        yield 1
        yield 2
    except GeneratorExit:
        log.append("closed")
    return "returned"


def stopping(log: list[Any]) -> Generator[Any, Any, str]:
    yield 1
    raise StopIteration("no")


def delegating(log: list[Any]) -> Generator[Any, Any, str]:
    return (yield from echo(log))


def empty(log: list[Any]) -> Generator[Any, Any, str]:
    if log is None:
        yield
    return "returned"


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "next": next,
    "send": lambda g: g.send("sent"),
    "stop": lambda g: g.send("stop"),
    "throw": lambda g: g.throw(ValueError("thrown")),
    "throw class": lambda g: g.throw(ValueError),
    "throw other": lambda g: g.throw(RuntimeError("other")),
    "throw stop": lambda g: g.throw(StopIteration("thrown")),
    "throw exit": lambda g: g.throw(GeneratorExit),
    "close": lambda g: g.close(),
    "list": lambda g: list(itertools.islice(g, 4)),
    "state": lambda g: inspect.getgeneratorstate(g),
}
FUNCTIONS = [echo, stubborn, late, chained, greedy, gentle, stopping, delegating, empty]


def name_error(error: BaseException | None) -> Any:
    if error is None:
        return None
    return (
        repr(error),
        name_error(error.__cause__),
        name_error(error.__context__),
        error.__suppress_context__,
    )


def play(function: Any, script: list[str]) -> list[Any]:
    log: list[Any] = []
    generator = function(log)
    assert repr(generator).startswith(f"<generator object {function.__name__}")
    for name in script:
        try:
            log.append((name, OPERATIONS[name](generator)))
        except BaseException as error:
            log.append((name, name_error(error)))
        assert not STEPS.runs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del generator
        gc.collect(0)
    return log


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("guide", [STEPS, Idle()], ids=["told", "idle"])
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
@settings(max_examples=150, deadline=None)
@given(script=st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=5))
def test_generator(function: Any, guide: Any, script: list[str]) -> None:
    """Any operations come to the same."""
    before = play(function, script)
    detour = Detour(function, guide)
    detour.install()
    try:
        assert before == play(function, script)
    finally:
        detour.remove()
    assert before == play(function, script)


def test_ends_are_told_once() -> None:
    """Each generator that began ends once: returned, raised, closed, or collected."""
    detour = Detour(gentle, STEPS)  # type: ignore[arg-type]
    detour.install()
    try:
        for end, told in (
            (lambda g: list(g), ["leave"]),
            (lambda g: g.close(), ["leave"]),
            (lambda g: None, ["leave"]),
        ):
            STEPS.ends.clear()
            generator = gentle([])
            next(generator)
            assert [] == STEPS.ends
            end(generator)
            del generator
            assert told == STEPS.ends
        STEPS.ends.clear()
        gentle([])
        assert [] == STEPS.ends
        with pytest.raises(ValueError, match="x"):
            generator = gentle([])
            next(generator)
            generator.throw(ValueError("x"))
        assert ["fail"] == STEPS.ends
    finally:
        detour.remove()


class Thing:
    pass


def test_keeps_nothing_that_it_yields() -> None:
    """What was yielded and sent lives as long as it would have lived."""
    import weakref

    def things() -> Any:
        while True:
            sent = yield Thing()
            del sent

    detour = Detour(things, STEPS)  # type: ignore[arg-type]
    detour.install()
    try:
        generator = things()
        first = weakref.ref(next(generator))
        assert None is first()
        generator.send(thing := Thing())
        sent = weakref.ref(thing)
        del thing
        next(generator)
        assert None is sent()
        generator.close()
    finally:
        detour.remove()


def frames_of(error: BaseException) -> list[tuple[str, bool]]:
    """The frames of a traceback, outermost first, with whether they are of this file."""
    frames, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        frames.append((code.co_name, code.co_filename == __file__))
        step = step.tb_next
    return frames


def throw(error: BaseException) -> BaseException:
    generator = echo([])
    next(generator)
    try:
        generator.throw(error)
    except BaseException as raised:
        return raised
    raise AssertionError


async def async_throw(error: BaseException) -> BaseException:
    generator = async_echo([])
    await generator.__anext__()
    try:
        await generator.athrow(error)
    except BaseException as raised:
        return raised
    raise AssertionError


@pytest.mark.parametrize("travelled", [False, True])
def test_traceback_of_what_is_thrown_in(travelled: bool) -> None:
    """What is thrown in and comes out again has its own traceback, and once a frame of ours."""

    def make() -> RuntimeError:
        error = RuntimeError("in")
        if travelled:
            try:
                raise error
            except RuntimeError:
                pass
        return error

    ends = [("make", True)] if travelled else []
    assert [("throw", True), ("echo", True), *ends] == frames_of(throw(make()))
    detours = [Detour(one, STEPS) for one in (echo, async_echo)]  # type: ignore[arg-type]
    for detour in detours:
        detour.install()
    try:
        assert [("throw", True), ("echo", False), ("echo", True), *ends] == frames_of(throw(make()))
        frames = frames_of(asyncio.run(async_throw(make())))
    finally:
        for detour in detours:
            detour.remove()
    assert [("async_echo", False), ("async_echo", True), *ends] == frames[1:]


# Async generators and coroutines


async def async_echo(log: list[Any]) -> Any:
    received = yield "first"
    while received != "stop":
        log.append(received)
        await asyncio.sleep(0)
        received = yield received


async def async_stubborn(log: list[Any]) -> Any:
    for number in range(3):
        try:
            log.append((yield number))
        except ValueError as error:
            await asyncio.sleep(0)
            log.append(repr(error))
        finally:
            log.append("finally")


async def async_late(log: list[Any]) -> Any:
    try:
        yield 1
    except ValueError:
        log.append("caught")
    raise KeyError("own")


async def async_gentle(log: list[Any]) -> Any:
    try:
        yield 1
        yield 2
    except GeneratorExit:
        await asyncio.sleep(0)
        log.append("closed")


async def async_greedy(log: list[Any]) -> Any:
    try:
        yield 1
    except BaseException as error:
        log.append(type(error).__name__)
        yield 2


async def async_stopping(log: list[Any]) -> Any:
    yield 1
    raise StopAsyncIteration("no")


async def async_empty(log: list[Any]) -> Any:
    if log is None:
        yield


async def exhaust(generator: Any) -> list[Any]:
    items = []
    async for item in generator:
        items.append(item)
        if len(items) == 4:
            break
    return items


ASYNC_OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "next": lambda g: g.__anext__(),
    "send": lambda g: g.asend("sent"),
    "stop": lambda g: g.asend("stop"),
    "throw": lambda g: g.athrow(ValueError("thrown")),
    "throw other": lambda g: g.athrow(RuntimeError("other")),
    "throw stop": lambda g: g.athrow(StopAsyncIteration("thrown")),
    "throw exit": lambda g: g.athrow(GeneratorExit),
    "close": lambda g: g.aclose(),
    "list": exhaust,
}
ASYNC_FUNCTIONS = [
    async_echo,
    async_stubborn,
    async_late,
    async_gentle,
    async_greedy,
    async_stopping,
    async_empty,
]


async def play_async(function: Any, script: list[str]) -> list[Any]:
    log: list[Any] = []
    generator = function(log)
    for name in script:
        try:
            log.append((name, await ASYNC_OPERATIONS[name](generator)))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            log.append((name, name_error(error)))
        assert not STEPS.runs
    return log


@pytest.mark.parametrize("guide", [STEPS, Idle()], ids=["told", "idle"])
@pytest.mark.parametrize("function", ASYNC_FUNCTIONS, ids=lambda f: f.__name__)
@settings(max_examples=80, deadline=None)
@given(script=st.lists(st.sampled_from(sorted(ASYNC_OPERATIONS)), max_size=5))
def test_async_generator(function: Any, guide: Any, script: list[str]) -> None:
    """Any operations come to the same."""
    before = asyncio.run(play_async(function, script))
    detour = Detour(function, guide)
    detour.install()
    try:
        assert before == asyncio.run(play_async(function, script))
    finally:
        detour.remove()


def test_a_loop_ends_with_open_generators(caplog: Any) -> None:
    """A loop that closes what is open at its end closes each once, and its `finally` runs."""
    log: list[Any] = []

    async def leave_open() -> None:
        for _ in range(3):
            generator = async_gentle(log)
            await generator.__anext__()
            kept.append(generator)

    kept: list[Any] = []
    detour = Detour(async_gentle, STEPS)  # type: ignore[arg-type]
    detour.install()
    STEPS.ends.clear()
    try:
        asyncio.run(leave_open())
    finally:
        detour.remove()
    assert ["closed"] * 3 == log
    assert ["leave"] * 3 == STEPS.ends
    assert [] == caplog.records


def test_a_collected_async_generator() -> None:
    """One that is dropped while the loop runs is closed by the loop, as before."""
    log: list[Any] = []

    async def drop() -> None:
        generator = async_gentle(log)
        await generator.__anext__()
        del generator
        for _ in range(5):
            await asyncio.sleep(0)

    detour = Detour(async_gentle, STEPS)  # type: ignore[arg-type]
    detour.install()
    try:
        asyncio.run(drop())
    finally:
        detour.remove()
    assert ["closed"] == log


async def patient(log: list[Any]) -> str:
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        log.append("cancelled")
        await asyncio.sleep(0)
        raise
    finally:
        log.append("finally")
    return "never"


def test_cancellation() -> None:
    """A coroutine that is cancelled cleans up, and the cancellation comes out of it."""

    async def cancel() -> list[Any]:
        log: list[Any] = []
        task = asyncio.create_task(patient(log))
        await asyncio.sleep(0)
        task.cancel("why")
        try:
            await task
        except asyncio.CancelledError as error:
            log.append(error.args)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(patient(log), 0.001)
        return log

    before = asyncio.run(cancel())
    detour = Detour(patient, STEPS)  # type: ignore[arg-type]
    detour.install()
    STEPS.ends.clear()
    try:
        assert before == asyncio.run(cancel())
    finally:
        detour.remove()
    assert ["fail", "fail"] == STEPS.ends


async def quick(number: int) -> int:
    return number


def test_coroutine_object() -> None:
    """The coroutine itself is one: by its name, its state, and the warning if nobody awaits it."""
    detour = Detour(quick, STEPS)  # type: ignore[arg-type]
    detour.install()
    try:
        coroutine = quick(1)
        assert inspect.iscoroutine(coroutine)
        assert inspect.isawaitable(coroutine)
        assert "quick" == coroutine.__name__ == coroutine.__qualname__
        assert inspect.CORO_CREATED == inspect.getcoroutinestate(coroutine)
        coroutine.close()
        with pytest.warns(RuntimeWarning, match="coroutine 'quick' was never awaited"):
            quick(1)
        with pytest.raises(StopIteration) as stop:
            quick(5).send(None)
        assert 5 == stop.value.value
    finally:
        detour.remove()


@types.coroutine
def old_style(log: list[Any]) -> Any:
    log.append((yield))
    result = yield from quick(2)
    return result


def test_what_a_generator_returns() -> None:
    """The guide is told what it came to."""
    results: list[Any] = []

    class End(Step):
        def leave(self, result: Any) -> None:
            results.append(result)

    class Ends(Steps):
        def enter(self, running: Any) -> Passage:
            return End(self)

    for function in (gentle, async_gentle):
        detour = Detour(function, Ends())  # type: ignore[arg-type]
        detour.install()
        try:
            if function is gentle:
                list(gentle([]))
            else:
                asyncio.run(exhaust(async_gentle([])))
        finally:
            detour.remove()
    assert ["returned", None] == results


def test_types_coroutine() -> None:
    """A coroutine of the old style may still await others, and be awaited."""

    async def use() -> Any:
        return await old_style(log)

    log: list[Any] = []
    detour = Detour(old_style, STEPS)  # type: ignore[arg-type]
    detour.install()
    try:
        assert 2 == asyncio.run(use())
        assert inspect.isawaitable(old_style(log))
    finally:
        detour.remove()
    assert [None] == log
