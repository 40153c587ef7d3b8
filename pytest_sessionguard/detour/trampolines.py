"""The code of trampolines: of the kind and with the parameters of the function they stand for."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import AsyncGenerator
from functools import lru_cache
from inspect import (
    CO_ASYNC_GENERATOR,
    CO_COROUTINE,
    CO_GENERATOR,
    CO_ITERABLE_COROUTINE,
    CO_VARARGS,
    CO_VARKEYWORDS,
)
from types import CodeType, FunctionType
from typing import Any

from pytest_sessionguard.detour.guide import Guide

# A name in angle brackets is no file of the user's to any tool. `warnings.warn` and `logging` pass
# over frames of a file with these two words in its name (`warnings._is_internal_filename`,
# `logging._is_internal_frame`), so that a `stacklevel` still finds the caller.
FILE = "<sessionguard, as importlib._bootstrap>"

_GUIDE = "the guide of this detour"


class DetourError(ValueError):
    """A function that no trampoline can stand for."""


class Way:
    """The one constant of a trampoline: all that it calls and catches."""

    __slots__ = ("any_error", "ended", "enter", "idle", "original", "start")

    def __init__(self, original: FunctionType, guide: Guide) -> None:
        self.original: Any = original
        self.enter = guide.enter
        self.start = _start_unseen
        self.idle = _IDLE
        self.any_error = BaseException
        self.ended = (StopIteration, StopAsyncIteration)


class _Idle:
    """The passage of a generator of which nobody wants to know."""

    def resume(self) -> None: ...

    def pause(self) -> None: ...

    def leave(self, result: Any) -> None: ...

    def fail(self, error: BaseException) -> None: ...


_IDLE = _Idle()

_CALL = """
    _sg_passage = _sg_way.enter(None)
    if _sg_passage is None:
        return _sg_way.original({arguments})
    _sg_passage.resume()
    try:
        _sg_result = _sg_way.original({arguments})
    except _sg_way.any_error as _sg_error:
        _sg_passage.pause()
        _sg_passage.fail(_sg_error)
        raise
    _sg_passage.pause()
    _sg_passage.leave(_sg_result)
    return _sg_result
"""

_COROUTINE = """
    _sg_running = _sg_way.original({arguments})
    _sg_passage = _sg_way.enter(_sg_running)
    if _sg_passage is None:
        return await _sg_running
    _sg_passage.resume()
    try:
        _sg_result = await _sg_running
    except _sg_way.any_error as _sg_error:
        _sg_passage.pause()
        _sg_passage.fail(_sg_error)
        raise
    _sg_passage.pause()
    _sg_passage.leave(_sg_result)
    return _sg_result
"""

# A generator is driven step by step, since only while it runs is anything done in its name. What
# it yields is not kept while it waits; what is thrown in goes to it outside of the `except`, or it
# would be the context of whatever it raises, and without our frame in its traceback.
_GENERATOR = """
    _sg_running = _sg_way.original({arguments})
    _sg_passage = _sg_way.enter(_sg_running) or _sg_way.idle
    _sg_step, _sg_sent, _sg_given = _sg_running.send, None, []
    try:
        while True:
            _sg_passage.resume()
            try:
                _sg_given.append(_sg_step(_sg_sent))
            except _sg_way.ended as _sg_end:
                _sg_given.append(_sg_end.value)
                break
            finally:
                _sg_passage.pause()
            try:
                _sg_sent = yield _sg_given.pop()
                _sg_step = _sg_running.send
            except _sg_way.any_error as _sg_error:
                _sg_error.__traceback__ = _sg_error.__traceback__.tb_next
                _sg_step, _sg_sent = _sg_running.throw, _sg_error
    except _sg_way.any_error as _sg_error:
        _sg_step = _sg_sent = None
        _sg_passage.fail(_sg_error)
        raise
    _sg_step = _sg_sent = None
    _sg_passage.leave(_sg_given[-1])
    return _sg_given.pop()
"""

_ASYNC_GENERATOR = """
    _sg_running = _sg_way.original({arguments})
    _sg_passage = _sg_way.enter(_sg_running) or _sg_way.idle
    _sg_step, _sg_sent, _sg_given = _sg_way.start, _sg_running, []
    try:
        while True:
            _sg_passage.resume()
            try:
                _sg_given.append(await _sg_step(_sg_sent))
            except _sg_way.ended:
                break
            finally:
                _sg_passage.pause()
            try:
                _sg_sent = yield _sg_given.pop()
                _sg_step = _sg_running.asend
            except _sg_way.any_error as _sg_error:
                _sg_error.__traceback__ = _sg_error.__traceback__.tb_next
                _sg_step, _sg_sent = _sg_running.athrow, _sg_error
    except _sg_way.any_error as _sg_error:
        _sg_step = _sg_sent = None
        _sg_passage.fail(_sg_error)
        raise
    _sg_step = _sg_sent = None
    _sg_passage.leave(None)
    return
"""

# Each kind of function: the flags of its code, its trampoline, and whether that is `async def`.
_KINDS = (
    (CO_ASYNC_GENERATOR, _ASYNC_GENERATOR, True),
    (CO_COROUTINE, _COROUTINE, True),
    (CO_GENERATOR, _GENERATOR, False),
    (0, _CALL, False),
)


def make_code(code: CodeType, way: Way) -> CodeType:
    """Make the trampoline's code: one with the parameters and the free variables of the original.

    The free variables are none of its business, but a function's code must have as many as the
    function's closure (``function.__code__``'s setter, CPython's ``func_set_code``).

    Args:
        code: The original's code.
        way: What it calls.

    Returns:
        The code.

    Raises:
        DetourError: The parameters cannot be spelt.
    """
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & CO_VARARGS) + bool(code.co_flags & CO_VARKEYWORDS)
    flags = code.co_flags & (CO_VARARGS | CO_VARKEYWORDS)
    kind = next(k for k, (flag, *_) in enumerate(_KINDS) if code.co_flags & flag == flag)
    trampoline = _compile(
        kind,
        code.co_varnames[:count],
        (code.co_posonlyargcount, code.co_argcount, code.co_kwonlyargcount, flags),
        len(code.co_freevars),
    )
    changes: dict[str, Any] = {
        "co_name": code.co_name,
        "co_firstlineno": code.co_firstlineno,
        "co_freevars": code.co_freevars,
        # `types.coroutine` sets its flag on the code of a generator function.
        "co_flags": trampoline.co_flags | (code.co_flags & CO_ITERABLE_COROUTINE),
        "co_consts": tuple(way if const == _GUIDE else const for const in trampoline.co_consts),
    }
    if sys.version_info >= (3, 11):
        changes["co_qualname"] = code.co_qualname
    return trampoline.replace(**changes)


@lru_cache(maxsize=512)
def _compile(kind: int, names: tuple[str, ...], shape: tuple[int, ...], free: int) -> CodeType:
    """Compile the trampoline of one kind for one list of parameters."""
    _, body, is_async = _KINDS[kind]
    parameters, arguments = _spell(names, *shape)
    cells = ", ".join(f"_sg_cell_{number}" for number in range(free))
    source = f"""\
def make({cells}):
    {"async def" if is_async else "def"} trampoline({parameters}):
        __tracebackhide__ = True
        _sg_way = {_GUIDE!r}
{textwrap.indent(body.format(arguments=arguments), "    ")}
        {cells or "None"}
"""
    try:
        module = compile(source, FILE, "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise DetourError(f"no function has the parameters ({parameters})") from error
    return _inner_code(_inner_code(module))


def _inner_code(code: CodeType) -> CodeType:
    return next(const for const in code.co_consts if isinstance(const, CodeType))


def _start_unseen(generator: AsyncGenerator[Any, Any]) -> Any:
    """Begin an async generator without a word to the event loop.

    A loop notes every async generator that begins and closes all of them at its end, side by side
    (``asyncio.loop.shutdown_asyncgens``); ours closes this one, which must not be closed twice.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None)
    finally:
        sys.set_asyncgen_hooks(*hooks)


def _spell(
    names: tuple[str, ...], positional_only: int, positional: int, keyword_only: int, flags: int
) -> tuple[str, str]:
    """Spell a list of parameters, and the arguments that pass them all on."""
    parameters = list(names[:positional])
    arguments = list(parameters)
    if positional_only:
        parameters.insert(positional_only, "/")
    rest = list(names[positional + keyword_only :])
    if flags & CO_VARARGS:
        parameters.append(f"*{rest[0]}")
        arguments.append(f"*{rest.pop(0)}")
    elif keyword_only:
        parameters.append("*")
    keywords = names[positional : positional + keyword_only]
    parameters += keywords
    arguments += [f"{name}={name}" for name in keywords]
    if flags & CO_VARKEYWORDS:
        parameters.append(f"**{rest[0]}")
        arguments.append(f"**{rest[0]}")
    return ", ".join(parameters), ", ".join(arguments)
