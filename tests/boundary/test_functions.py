"""Which functions of which modules are services, and where each of them returned."""

# ruff: noqa: F841, RET503, RET504, SIM117 (how a function returns is the point)

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from pytest_sessionguard.boundary import Boundary, PatternError, Services, read_patterns
from pytest_sessionguard.boundary.ends import find_return, guess_return
from pytest_sessionguard.boundary.functions import find_functions
from pytest_sessionguard.boundary.patterns import fits
from pytest_sessionguard.callsite import _line_of
from pytest_sessionguard.guard import Guard
from pytest_sessionguard.model import Owner


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ()),
        ("app", ("app",)),
        ("app.services.*, app.repos  app.x?", ("app.services.*", "app.repos", "app.x?")),
        (["app.a", "app.b app.a"], ("app.a", "app.b")),
        ("app.[!t]*", ("app.[!t]*",)),
        ("größe.änderung", ("größe.änderung",)),
    ],
)
def test_read_patterns(given: Any, read: Any) -> None:
    """Patterns are separated by commas or blanks, and each counts once."""
    assert read == read_patterns(given)


def test_middlewares_are_none() -> None:
    """What passes a request on is no service: it would hide those inside as the outermost call."""
    module = ModuleType("app_middlewares")
    source = """
class Middleware:
    async def __call__(self, scope, receive, send): ...
    async def dispatch(self, request, call_next): ...

class Flask:
    def __call__(self, environ, start_response): ...

class Service:
    def __call__(self, request, scope): ...
    def send(self, request): ...

async def app(scope, receive, send): ...
async def middleware(request, call_next): ...
def service(receive, send): ...
"""
    exec(source, vars(module))
    found = [name.removeprefix("app_middlewares.") for name, _ in find_functions(module)]
    assert ["Service.__call__", "Service.send", "service"] == found


@pytest.mark.parametrize("text", ["*", "app/x", "app.", ".app", "app..x", "9app", "app:x", "-app"])
def test_no_pattern(text: str) -> None:
    """What is no dotted name, or would take in everything, is refused with an example."""
    with pytest.raises(PatternError, match="'app.services.*'") as raised:
        read_patterns(["app.fine", text])
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize(
    ("pattern", "module", "does"),
    [
        ("app.services", "app.services", True),
        ("app.services", "app.services.users", False),
        ("app.services.*", "app.services.users", True),
        ("app.services.*", "app.services.users.deep", True),
        ("app.services.*", "app.services", True),
        ("app.services.*", "app.services_old", False),
        ("app.services*", "app.services_old", True),
        ("app.*.services", "app.users.services", True),
        ("app.*.services", "app.services", False),
        ("app.Services", "app.services", False),
    ],
)
def test_fits(pattern: str, module: str, does: bool) -> None:
    """A star takes in what is below; `.*` takes in the module itself too."""
    assert does is fits(pattern, module)


SOURCE = """
import functools
from contextlib import contextmanager
from os.path import join

def public(): return 1
def _private(): return 1
async def later(): return 1
quick = lambda: 1
alias = public

@functools.lru_cache
def cached(): return 1

@contextmanager
def block(): yield

class Service:
    value = 1
    def method(self): return 1
    @classmethod
    def build(cls): return 1
    @staticmethod
    def static(): return 1
    @property
    def attribute(self): return 1
    def _hidden(self): return 1
    def __init__(self): pass
    def __call__(self): return 1
    def __len__(self): return 1
    class Inner:
        def method(self): return 1
    myself = None

Service.myself = Service

class _Hidden:
    def method(self): return 1

class Error(Exception):
    def tell(self): return 1

class Odd:
    def __getattr__(self, name): raise RuntimeError(name)

odd = Odd()
loop = Odd()
vars(loop)["__wrapped__"] = loop
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    module = ModuleType("made_services")
    exec(compile(SOURCE, "/project/made_services.py", "exec"), vars(module))
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def test_find_functions(module: ModuleType) -> None:
    """Public functions and methods of the module, whatever stands around them."""
    found = {name.removeprefix("made_services.") for name, _ in find_functions(module)}
    assert {
        "public",
        "later",
        "quick",
        "alias",
        "cached",
        "block",
        "Service.method",
        "Service.build",
        "Service.static",
        "Service.__call__",
        "Service.Inner.method",
        "Error.tell",
    } == found
    block = [
        function.__code__.co_name for name, function in find_functions(module) if "block" in name
    ]
    assert ["helper", "block"] == block


@pytest.fixture
def services() -> Iterator[Services]:
    guard = Guard("/")
    guard.start()
    guard.start_test(Owner("test", "test_it"), {})
    services = Services(Boundary(guard))
    yield services
    services.stop()
    guard.stop()


def test_each_function_has_one_detour(module: ModuleType, services: Services) -> None:
    """However it was found, however often it is asked for, and what leads to it is left alone."""
    first = services.subscribe(["made_services"])
    count = len(services._detours)
    functions = {id(function) for _, function in find_functions(module)}
    assert count == 12
    second = services.subscribe(["made_*", "made_services"])
    module.__spec__ = ModuleSpec("made_services", None)  # as after `importlib.reload`
    services.look()
    assert count == len(services._detours)
    first.end()
    assert count == len(services._detours)
    second.end()
    second.end()
    assert {} == services._detours
    assert functions >= {id(function) for _, function in find_functions(module)}
    assert all("__wrapped__" not in vars(f) for f in (module.public, module.Service.method))


def test_nothing_is_tagged_unless_asked(module: ModuleType, services: Services) -> None:
    """The ledger asks for the running call only while a function is led past the boundary."""
    ledger = services.boundary.guard.ledger
    assert None is ledger.find_scope
    subscription = services.subscribe(["no.such.module"])
    assert None is ledger.find_scope
    other = services.subscribe(["made_services"])
    assert None is not ledger.find_scope
    subscription.end()
    assert None is not ledger.find_scope
    other.end()
    assert None is ledger.find_scope


def test_news(module: ModuleType, services: Services) -> None:
    """Each pattern is told once when it is asked for, and once more when something is found."""
    services.subscribe(["no.such", "late_services"])
    assert {"no.such": False, "late_services": False} == services.take_news()
    sys.modules["late_services"] = late = ModuleType("late_services")
    try:
        exec("def function(): return 1", vars(late))
        services.look()
        assert {"late_services": True} == services.take_news()
        services.look()
        services.subscribe(["no.such", "late_services"])
        assert {} == services.take_news()
    finally:
        del sys.modules["late_services"]


def test_a_module_that_is_half_imported(services: Services) -> None:
    """It is looked at when it is whole, though no other module came since."""

    class Spec:
        _initializing = True

    sys.modules["half_services"] = half = ModuleType("half_services")
    half.__spec__ = Spec()  # type: ignore[assignment]
    try:
        services.subscribe(["half_services"])
        exec("def function(): return 1", vars(half))
        services.look()
        assert {} == services._detours
        half.__spec__._initializing = False  # type: ignore[union-attr]
        services.look()
        assert 1 == len(services._detours)
    finally:
        del sys.modules["half_services"]


def test_a_lazy_module(services: Services, tmp_path: Any, monkeypatch: Any) -> None:
    """A module that is to be imported at its first use is not imported by being looked for."""
    (tmp_path / "lazy_services.py").write_text("def function(): return 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.find_spec("lazy_services")
    assert spec is not None and spec.loader is not None
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "lazy_services", module)
    spec.loader.exec_module(module)
    services.subscribe(["lazy_services"])
    assert "_LazyModule" == type(module).__name__
    assert 1 == module.function()
    services.look()
    assert 1 == len(services._detours)


def test_fixtures_are_no_services() -> None:
    """A fixture has an end of its own, and is judged there."""
    module = ModuleType("fixture_services")
    source = "import pytest\n@pytest.fixture\ndef new(): return 1\ndef old(): return 1"
    exec(source, vars(module))
    assert ["fixture_services.old"] == [name for name, _ in find_functions(module)]
    module.old._pytestfixturefunction = object()
    assert [] == list(find_functions(module))


# Where a function returned


class Block:
    """A block that remembers the frame around it."""

    def __enter__(self) -> Any:
        frames.append(sys._getframe(1))

    def __exit__(self, *error: object) -> None: ...


frames: list[Any] = []


def plain() -> Any:
    Block().__enter__()
    return 1  # here


def in_block() -> Any:
    with Block():
        number = 1
        return number  # here


def in_blocks() -> Any:
    with Block():
        with Block():
            number = 1
            return [  # here
                number,
            ]


def with_finally() -> Any:
    Block().__enter__()
    try:
        return 5  # here
    finally:
        frames.append(frames[0])
        frames.pop()


def in_all() -> Any:
    for number in range(3):
        if number == 1:
            try:
                with Block():
                    return number  # here
            finally:
                frames.append(frames[0])
    return 3


def early() -> Any:
    with Block():
        if frames:
            return 4  # here
    return 5


def at_the_end() -> Any:
    with Block():
        if not frames:
            return 1
        frames[0].f_lineno  # noqa: B018
    last = 2  # here


def no_return() -> Any:
    Block().__enter__()
    number = 1  # here


def of_several() -> Any:
    Block().__enter__()
    if not frames:
        return 1
    if len(frames) == 1:
        return 2  # here
    return 3


def after_except() -> Any:
    try:
        with Block():
            raise KeyError
    except KeyError:
        return 1  # here


@pytest.mark.parametrize(
    "function",
    [
        plain,
        in_block,
        in_blocks,
        with_finally,
        in_all,
        early,
        at_the_end,
        no_return,
        of_several,
        after_except,
    ],
)
def test_find_return(function: Any) -> None:
    """The line of the `return`, not that of the block's end by which Python leaves."""
    frames.clear()
    function()
    frame, code = frames[0], function.__code__
    line = _line_of(code, find_return(code, frame.f_lasti))
    frames.clear()
    with open(__file__, encoding="utf-8") as source:
        lines = source.read().splitlines()
    assert "# here" in lines[line - 1], lines[line - 1]


def test_guess_return() -> None:
    """The only `return` there is, or the beginning of the function."""
    line = plain.__code__.co_firstlineno
    assert line + 2 == _line_of(plain.__code__, guess_return(plain.__code__))
    assert -1 == guess_return(of_several.__code__)
    assert -1 == guess_return(no_return.__code__)


def test_a_source_that_is_gone() -> None:
    """Without a source the last instruction stands as it is."""
    code = plain.__code__.replace(co_filename="/no/such/file.py")
    assert (7, -1) == (find_return(code, 7), guess_return(code))


def test_wrapped_chains_end() -> None:
    """What wraps itself does not keep the search going for ever."""

    @contextmanager
    def block() -> Iterator[None]:
        yield

    module = ModuleType("odd_services")
    block.__wrapped__ = block  # type: ignore[attr-defined]
    block.__module__ = module.__name__
    module.block = functools.lru_cache(block)  # type: ignore[attr-defined]
    assert {"odd_services.block"} == {name for name, _ in find_functions(module)}
