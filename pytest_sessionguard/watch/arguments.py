"""Sessions and instances among what is handed to some work.

One check of its type for each thing, and of few things: the first ones of a container, what a
partial, a method or a coroutine was given, the cells of a closure. What is only an attribute of
something handed over counts as indirect, and so does a session in a closure. No code of the user's
runs for it, but for the function that tells a registry its scope.
"""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Iterable
from functools import partial
from itertools import islice
from types import CellType, CodeType, CoroutineType, FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from sqlalchemy.orm import InstanceState, Session, scoped_session
from sqlalchemy.orm.attributes import instance_state
from sqlalchemy.orm.exc import NO_STATE

from pytest_sessionguard.watch.works import unfold

_MOST = 32  # things of one container
_AT_ALL = 256
_DEEP = 4
_PLAIN = frozenset(
    {int, str, float, bool, bytes, type(None), type, CodeType, FunctionType, ModuleType}
)
_CONTAINERS = (list, tuple, set, frozenset, deque)
_HEAP_TYPE = 1 << 9  # `Py_TPFLAGS_HEAPTYPE`: a class, and no type of C's


class Found(NamedTuple):
    """A session, or an instance that belongs to one.

    Attributes:
        session: The sync session.
        state: What SQLAlchemy knows of the instance; None for the session itself.
        is_direct: Whether it was handed over itself, and not only something that has it.
    """

    session: Any
    state: Any = None
    is_direct: bool = True


def find_in_coroutine(coroutine: Any) -> list[Found]:
    """Find what a coroutine was given: its arguments, and what its closure holds.

    Args:
        coroutine: The coroutine, which has not begun.

    Returns:
        Sessions and attached instances.
    """
    if type(coroutine) is not CoroutineType:
        return []
    values = _read_locals(coroutine)
    # Most tasks get nothing but plain values, or nothing at all.
    return [] if _PLAIN.issuperset(map(type, values)) else _find(values, _DEEP - 1)


def find_in_call(function: Any, args: Iterable[Any], kwargs: dict[str, Any]) -> list[Found]:
    """Find what a call is given: arguments, a method's object, and what a closure holds.

    Args:
        function: What is to be called.
        args: Its arguments.
        kwargs: Its keyword arguments.

    Returns:
        Sessions and attached instances.
    """
    function, arguments = unfold(function, tuple(args))
    return _find((function, *_read_closure(function), *arguments, *kwargs.values()))


def find_in_thread(thread: Any) -> list[Found]:
    """Find what a thread has to begin with: its arguments, and what its subclass keeps.

    Args:
        thread: The thread, which has not started.

    Returns:
        Sessions and attached instances.
    """
    values = list(vars(thread).values())
    return _find([*values, *(cell for value in values for cell in _read_closure(value))])


def _find(values: Iterable[Any], depth: int = _DEEP) -> list[Found]:
    search = _Search()
    try:
        search.look(values, depth, is_direct=True)
    except RuntimeError:  # another thread is at work on one of the containers
        return []
    if not search.found:
        return search.found
    # The direct ones last, so that they are what stays.
    found = sorted(search.found, key=lambda each: each.is_direct)
    return list({(id(each.session), id(each.state)): each for each in found}.values())


class _Search:
    """One look at what is handed over."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._left = _AT_ALL

    def look(self, values: Iterable[Any], depth: int, *, is_direct: bool) -> None:
        for value in islice(values, _MOST):
            class_ = type(value)
            if class_ in _PLAIN:
                continue
            self._left -= 1
            if self._left < 0:
                return
            kept = _ask(value, class_, is_direct=is_direct)
            if kept is not None:
                self.found += kept
            elif class_ is CellType:
                self._look_into_cell(value, depth, is_direct=is_direct)
            elif class_ is MethodType:
                self.look((value.__self__,), depth, is_direct=is_direct)
            elif depth > 0:
                inner = _open(value, class_)
                if inner is not None:
                    self.look(inner, depth - 1, is_direct=is_direct)
                elif is_direct and class_.__flags__ & _HEAP_TYPE:
                    self._look_at_attributes(value, class_, depth)

    def _look_into_cell(self, cell: Any, depth: int, *, is_direct: bool) -> None:
        """Look at what a closure holds, whatever it does with it: a session may only be named."""
        before = len(self.found)
        self.look(_read_cell(cell), depth, is_direct=is_direct)
        self.found[before:] = [
            each._replace(is_direct=False) if each.state is None else each
            for each in self.found[before:]
        ]

    def _look_at_attributes(self, value: Any, class_: type, depth: int) -> None:
        """Look at what an object holds, without asking the object."""
        inside: list[Any] = []
        for held in islice(gc.get_referents(value), _MOST):
            inside += islice(dict.values(held), _MOST) if type(held) is dict else (held,)
        if class_.__module__.startswith("anyio."):
            # anyio puts a handle around the coroutine of a task (since 4.14).
            self.look([v for v in inside if type(v) is CoroutineType], depth, is_direct=True)
        self.look(inside, 0, is_direct=False)


def _ask(value: Any, class_: type, *, is_direct: bool) -> list[Found] | None:
    """Return the session that a thing is, has or belongs to; None where it is another thing."""
    if issubclass(class_, Session):
        return [Found(value, None, is_direct)]
    if "_sa_class_manager" in class_.__dict__:
        return _ask_instance(value, is_direct=is_direct)
    if issubclass(class_, scoped_session):
        return _ask_registry(value)
    module = sys.modules.get("sqlalchemy.ext.asyncio")
    if issubclass(class_, getattr(module, "AsyncSession", Session)):
        return [Found(getattr(value, "sync_session", None), None, is_direct)]
    if issubclass(class_, getattr(module, "async_scoped_session", Session)):
        return _ask_registry(value)
    return None


def _open(value: Any, class_: type) -> Iterable[Any] | None:
    """Return what is handed over with a thing; None where it is no container of any kind."""
    if class_ is CoroutineType:
        return _read_locals(value)
    if class_ is partial:
        return (value.func, *value.args, *value.keywords.values())
    if issubclass(class_, dict):
        return dict.values(value)
    for container in _CONTAINERS:
        if issubclass(class_, container):
            return container.__iter__(value)
    return None


def _read_locals(coroutine: Any) -> list[Any]:
    """Read the arguments of a coroutine that has not begun, and the cells of its closure.

    Below Python 3.13 ``cr_frame.f_locals`` is a snapshot that the frame keeps (PEP 667): it would
    hold what the user's code lets go of. The collector's view of the same frame holds nothing.
    """
    if (3, 11) <= sys.version_info < (3, 13):
        return gc.get_referents(coroutine)
    frame = coroutine.cr_frame
    if frame is None:
        return []
    if sys.version_info >= (3, 13):
        # What the closure holds comes without its cells.
        outer = frame.f_code.co_freevars
        return [CellType(v) if name in outer else v for name, v in frame.f_locals.items()]
    outside = (frame.f_globals, frame.f_builtins)
    return [v for v in gc.get_referents(frame) if v is not outside[0] and v is not outside[1]]


def _read_closure(function: Any) -> tuple[Any, ...]:
    if type(function) is MethodType:
        function = function.__func__
    return (function.__closure__ or ()) if type(function) is FunctionType else ()


def _read_cell(cell: Any) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # it is empty
        return ()


def _ask_registry(registry: Any) -> list[Found]:
    """Return the session that a registry has in this scope; the work may be in another."""
    try:
        if not registry.registry.has():
            return []
        session = registry.registry()
    except Exception:  # a scope of the user's that is none here
        return []
    return [Found(getattr(session, "sync_session", session), None, is_direct=False)]


def _ask_instance(value: Any, *, is_direct: bool) -> list[Found]:
    try:
        state: Any = instance_state(value)
    except NO_STATE:
        return []
    if not isinstance(state, InstanceState):  # a test may have put a double there
        return []
    session = state.session
    return [] if session is None else [Found(session, state, is_direct)]
