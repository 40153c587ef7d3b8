"""A function that is led past a guide is to everybody what it was: all kinds of functions."""

from __future__ import annotations

import asyncio
import copy
import dis
import functools
import inspect
import pickle
import sys
import types
import typing
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from pytest_sessionguard.detour import Detour, DetourError


class Watch:
    """A guide that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def enter(self, running: Any) -> Watch:
        self.told.append(("enter", None if running is None else type(running).__name__))
        return self

    def resume(self) -> None:
        self.told.append("resume")

    def pause(self) -> None:
        self.told.append("pause")

    def leave(self, result: Any) -> None:
        self.told.append(("leave", result))

    def fail(self, error: BaseException) -> None:
        self.told.append(("fail", type(error).__name__))


class Nobody:
    """A guide that does not want to know."""

    def enter(self, running: Any) -> None:
        return None


def _closed(word: str, number: int = 3) -> Any:
    def inner(times: int) -> str:
        """Repeat."""
        return word * times * number

    return inner


def plain(a: int, b: str = "b") -> tuple[int, str]:
    """Return both."""
    return a, b


def everything(
    a: Any, b: Any = 2, /, c: Any = 3, *rest: Any, d: Any, e: Any = 5, **more: Any
) -> Any:
    return a, b, c, rest, d, e, more


def keyword_only(*, a: int = 1, b: int) -> tuple[int, int]:
    return a, b


def positional_only(a: int, /) -> int:
    return a


def rebinding(items: list[int], total: int = 0) -> int:
    for item in items:
        total += item
    items = []
    return total + len(items)


def captured(a: int, b: int = 2) -> Callable[[], int]:
    return (lambda: a + b)()


def nothing() -> None:
    pass


def factorial(number: int) -> int:
    return 1 if number < 2 else number * factorial(number - 1)


def awkward(result: Any, error: Any, passage: Any = None, way: Any = 1) -> Any:
    return result, error, passage, way


def lazy() -> Any:
    return (number for number in range(3))


async def doubled(number: int, *, pause: float = 0) -> int:
    await asyncio.sleep(pause)
    return number * 2


def counted(end: int) -> Iterator[int]:
    yield from range(end)


async def ticked(end: int) -> Any:
    for number in range(end):
        await asyncio.sleep(0)
        yield number


@types.coroutine
def stepped() -> Any:
    yield
    return 7


@functools.lru_cache(maxsize=8)
def cached(a: int) -> int:
    return a + 1


def decorate(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@decorate
def wrapped(a: int, b: int = 1) -> int:
    return a + b


class Service:
    """Methods of every kind."""

    factor = 2

    def method(self, a: int) -> int:
        return a * self.factor

    @classmethod
    def build(cls, a: int = 1) -> int:
        return a * cls.factor

    @staticmethod
    def static(a: int) -> int:
        return a

    async def later(self, a: int) -> int:
        await asyncio.sleep(0)
        return a

    def named(self) -> str:
        return __class__.__name__  # type: ignore[name-defined]

    def __call__(self, a: int) -> int:
        return -a

    def __secret(self, a: int) -> int:
        return a

    def mangled(self, *, __b: int = 4) -> int:
        return self.__secret(__b)


class Derived(Service):
    def method(self, a: int) -> int:
        return super().method(a) + 1


closed = _closed("ab")
service = Derived()


def run(coroutine: Any) -> Any:
    return asyncio.run(coroutine)


async def gather(generator: Any) -> list[Any]:
    return [item async for item in generator]


def collect(generator: Any) -> list[Any]:
    return run(gather(generator))


async def awaited(thing: Any) -> Any:
    return await thing


# The function, how to call it, and what comes of it.
CASES: dict[str, tuple[Any, Callable[[], Any], Any]] = {
    "plain": (plain, lambda: plain(1), (1, "b")),
    "keywords": (plain, lambda: plain(b="x", a=2), (2, "x")),
    "everything": (
        everything,
        lambda: everything(1, 2, 3, 4, 5, d=6, z=7),
        (1, 2, 3, (4, 5), 6, 5, {"z": 7}),
    ),
    "defaults": (everything, lambda: everything(1, d=0), (1, 2, 3, (), 0, 5, {})),
    "keyword only": (keyword_only, lambda: keyword_only(b=2), (1, 2)),
    "positional only": (positional_only, lambda: positional_only(1), 1),
    "rebinding": (rebinding, lambda: rebinding([1, 2]), 3),
    "captured": (captured, lambda: captured(1), 3),
    "nothing": (nothing, lambda: nothing(), None),
    "recursion": (factorial, lambda: factorial(6), 720),
    "names like ours": (awkward, lambda: awkward(1, 2), (1, 2, None, 1)),
    "closure": (closed, lambda: closed(2), "ab" * 6),
    "lambda": (lone := lambda x, y=2: x + y, lambda: lone(1), 3),
    "coroutine": (doubled, lambda: run(doubled(4)), 8),
    "generator": (counted, lambda: list(counted(3)), [0, 1, 2]),
    "async generator": (ticked, lambda: collect(ticked(3)), [0, 1, 2]),
    "types.coroutine": (stepped, lambda: run(awaited(stepped())), 7),
    "lru_cache": (cached.__wrapped__, lambda: cached.__wrapped__(1), 2),
    "decorated": (wrapped, lambda: wrapped(1), 2),
    "method": (Service.method, lambda: service.method(2), 5),
    "super": (Derived.method, lambda: service.method(2), 5),
    "bound before": (Derived.method, functools.partial(service.method, 2), 5),
    "classmethod": (Service.build.__func__, lambda: Derived.build(3), 6),
    "staticmethod": (Service.static, lambda: service.static(3), 3),
    "async method": (Service.later, lambda: run(service.later(3)), 3),
    "__class__": (Service.named, lambda: service.named(), "Service"),
    "__call__": (Service.__call__, lambda: service(3), -3),
    "mangled": (Service.mangled, lambda: service.mangled(), 4),
}


def state(function: Any) -> Any:
    return function.__code__, dict(vars(function)), dir(function), dis.code_info(function)


STATES = {name: state(case[0]) for name, case in CASES.items()}


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture(params=CASES)
def case(request: Any) -> Any:
    return CASES[request.param]


@pytest.fixture
def detoured(case: Any, watch: Watch) -> Iterator[Any]:
    detour = Detour(case[0], watch)
    detour.install()
    yield case[0]
    detour.remove()


def test_result(case: Any, detoured: Any, watch: Watch) -> None:
    """A call comes to the same, and the guide has been told of it."""
    assert case[2] == case[1]()
    assert "enter" == watch.told[0][0]
    assert "leave" == watch.told[-1][0]
    paused = watch.told.count("pause")
    assert 0 < paused == watch.told.count("resume")


def test_nobody_wants_to_know(case: Any) -> None:
    """So it does where the guide is not interested."""
    detour = Detour(case[0], Nobody())
    detour.install()
    try:
        assert case[2] == case[1]()
    finally:
        detour.remove()


QUESTIONS = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
    inspect.isfunction,
    inspect.signature,
    inspect.getfullargspec,
    inspect.getdoc,
    inspect.getsource,
    inspect.getmodule,
    inspect.unwrap,
    typing.get_type_hints,
    lambda f: (f.__name__, f.__qualname__, f.__module__, f.__doc__, repr(f)),
    lambda f: (f.__defaults__, f.__kwdefaults__, f.__closure__, f.__globals__ is globals()),
    lambda f: (f.__code__.co_name, f.__code__.co_freevars, f.__code__.co_firstlineno),
    lambda f: f.__code__.co_varnames[: f.__code__.co_argcount + f.__code__.co_kwonlyargcount],
    lambda f: f.__code__.co_flags & (inspect.CO_VARARGS | inspect.CO_ITERABLE_COROUTINE),
    copy.copy,
    copy.deepcopy,
)


def test_looks_the_same(case: Any, watch: Watch) -> None:
    """All that tools ask of a function is answered as before."""
    function = case[0]
    before = [ask(function) for ask in QUESTIONS]
    detour = Detour(function, watch)
    detour.install()
    try:
        answers = [ask(function) for ask in QUESTIONS]
    finally:
        detour.remove()
    # Who unwraps gets to a function made of the same code.
    unwrapped = QUESTIONS.index(inspect.unwrap)
    was, now = before.pop(unwrapped), answers.pop(unwrapped)
    assert was.__code__ is now.__code__
    assert before == answers


def test_source_file(case: Any, watch: Watch) -> None:
    """Who looks for the file of a function that is no wrapper finds it by unwrapping only."""
    detour = Detour(case[0], watch)
    detour.install()
    try:
        assert __file__ == inspect.getsourcefile(inspect.unwrap(case[0]))
    finally:
        detour.remove()


@pytest.mark.parametrize("name", CASES)
def test_removal(name: str, watch: Watch) -> None:
    """After it the function is what it was at the very beginning, to the last attribute."""
    case, before = CASES[name], STATES[name]
    function = case[0]
    assert before == state(function)
    detour = Detour(function, watch)
    detour.install()
    assert detour.is_installed
    assert function.__code__ is not before[0]
    detour.remove()
    assert not detour.is_installed
    assert before == state(function)
    assert before[0] is function.__code__
    assert case[2] == case[1]()
    assert [] == watch.told


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol: int, watch: Watch) -> None:
    """A pickled function is a name, and the name leads to the function."""
    detour = Detour(plain, watch)
    detour.install()
    try:
        again = pickle.loads(pickle.dumps(plain, protocol))
        bound = pickle.loads(pickle.dumps(service.method, protocol))
    finally:
        detour.remove()
    assert again is plain
    assert bound(2) == 5


WRONG = {
    "missing": (plain, (), {}),
    "too many": (plain, (1, 2, 3), {}),
    "unknown": (plain, (1,), {"z": 1}),
    "twice": (plain, (1,), {"a": 1}),
    "missing keyword": (keyword_only, (), {}),
    "positional by name": (positional_only, (), {"a": 1}),
    "method": (Service.method, (), {}),
    "coroutine": (doubled, (), {}),
    "generator": (counted, (), {}),
    "async generator": (ticked, (), {}),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_call(name: str, watch: Watch) -> None:
    """The error of a wrong call is Python's own, raised at the call; the guide hears nothing."""
    function, args, kwargs = WRONG[name]
    with pytest.raises(TypeError) as before:
        function(*args, **kwargs)
    detour = Detour(function, watch)
    detour.install()
    try:
        with pytest.raises(TypeError) as after:
            function(*args, **kwargs)
    finally:
        detour.remove()
    assert str(before.value) == str(after.value)
    assert [] == watch.told
    assert [__file__] == [str(entry.path) for entry in after.traceback]


def test_changed_defaults(watch: Watch) -> None:
    """Defaults that are changed meanwhile hold at the next call, and stay changed."""

    def function(a: int = 1, *, b: int = 2) -> tuple[int, int]:
        return a, b

    detour = Detour(function, watch)  # type: ignore[arg-type]
    detour.install()
    function.__defaults__ = (3,)
    function.__kwdefaults__ = {"b": 4}
    assert (3, 4) == function()
    detour.remove()
    assert (3, 4) == function()


def test_attributes(watch: Watch) -> None:
    """Attributes that a function gets meanwhile are its own afterwards."""

    def function() -> int:
        function.calls += 1  # type: ignore[attr-defined]
        return function.calls  # type: ignore[attr-defined,no-any-return]

    function.calls = 0  # type: ignore[attr-defined]
    detour = Detour(function, watch)  # type: ignore[arg-type]
    detour.install()
    assert {"calls": 0} == vars(function.__wrapped__)  # type: ignore[attr-defined]
    assert [1, 2] == [function(), function()]
    detour.remove()
    assert {"calls": 2} == vars(function)


def test_a_decorator_while_it_stands(watch: Watch) -> None:
    """What is decorated meanwhile works, then and after the removal."""

    def function(a: int) -> int:
        return a

    detour = Detour(function, watch)  # type: ignore[arg-type]
    detour.install()
    outer = decorate(function)
    assert function is outer.__wrapped__
    assert 1 == outer(1)
    told = len(watch.told)
    detour.remove()
    assert 1 == outer(1)
    assert told == len(watch.told)
    assert function is outer.__wrapped__
    assert inspect.signature(function) == inspect.signature(outer)


def test_context_managers(watch: Watch) -> None:
    """The generator function behind a context manager can be led past a guide."""

    @contextmanager
    def block(a: int) -> Iterator[int]:
        yield a

    @asynccontextmanager
    async def async_block(a: int) -> Any:
        yield a

    async def enter() -> int:
        async with async_block(2) as value:
            return int(value)

    detours = [Detour(one.__wrapped__, watch) for one in (block, async_block)]  # type: ignore[attr-defined]
    for detour in detours:
        detour.install()
    with block(1) as value:
        assert 1 == value
    assert 2 == run(enter())
    with pytest.raises(KeyError), block(1):
        raise KeyError(1)
    kinds = [told[1] for told in watch.told if told[0] == "enter"]
    assert ["generator", "async_generator", "generator"] == kinds
    assert [("leave", None), ("leave", None)] == [t for t in watch.told if t[0] == "leave"]
    assert ("fail", "KeyError") == watch.told[-1]


def test_returned_lazy_things_are_handed_on(watch: Watch) -> None:
    """What a plain function returns is not looked into: not a generator, not a coroutine."""
    detour = Detour(lazy, watch)  # type: ignore[arg-type]
    detour.install()
    generator = lazy()
    detour.remove()
    assert ("leave", generator) == watch.told[-1]
    assert [0, 1, 2] == list(generator)


def test_a_generic_function(watch: Watch) -> None:
    """The type parameters of Python 3.12 are free variables of some functions."""
    if sys.version_info < (3, 12):
        pytest.skip("the syntax came with Python 3.12")
    space: dict[str, Any] = {}
    exec("def first[T](items: list[T]) -> T:\n    x: T = items[0]\n    return (x, T)[0]", space)
    function = space["first"]
    detour = Detour(function, watch)
    detour.install()
    assert 1 == function([1])
    assert function.__type_params__ == function.__wrapped__.__type_params__
    assert inspect.signature(function) == inspect.signature(function.__wrapped__)
    detour.remove()


def test_an_empty_cell(watch: Watch) -> None:
    """A free variable that has no value yet is not asked for."""

    def outer() -> Any:
        def inner(ready: bool) -> Any:
            return later if ready else None

        detour = Detour(inner, watch)  # type: ignore[arg-type]
        detour.install()
        first = inner(False)
        later = 5
        return first, inner(True)

    assert (None, 5) == outer()


def test_impossible_parameters(watch: Watch) -> None:
    """A code object whose parameters no source could have is refused, and stays as it is."""

    def function(a: int) -> int:
        return a

    function.__code__ = code = function.__code__.replace(co_varnames=("not a name",))
    with pytest.raises(DetourError, match="not a name"):
        Detour(function, watch)  # type: ignore[arg-type]
    assert function.__code__ is code


def test_adds_no_name(watch: Watch) -> None:
    """Nothing comes to the user's globals, and none of theirs can mislead the trampoline."""
    space: dict[str, Any] = {}
    exec("BaseException = None\ndef function(a):\n    raise KeyError(a)", space)
    names = set(space)
    detour = Detour(space["function"], watch)
    detour.install()
    with pytest.raises(KeyError):
        space["function"](1)
    assert names == set(space)
    assert ("fail", "KeyError") == watch.told[-1]
    assert set() == set(space["function"].__code__.co_names) & names
