"""Python functions led past a guide in place: everybody who holds the function object goes there.

A wrapper reaches only those who look a function up again. Whoever imported it before, or took it
into a router, a registry or a bound method, holds the function object itself; so its ``__code__``
is swapped for that of a trampoline, which calls a function made of the original code.

The trampoline has the very parameters of the original, so defaults, keyword names, errors of a
wrong call, ``inspect.signature``, ``inspect.getfullargspec`` and autospecs are Python's own; it is
of the same kind (function, coroutine function, generator function, async generator function), so
whoever asks for that is told the same. ``__wrapped__`` leads to the original for those who look for
the source (``inspect.getsource``, ``inspect.unwrap``). Its guide stands among its constants: no
name is added to the user's globals, none is read from them.

What cannot be kept while a detour stands: ``function.__code__`` is another, so ``inspect.getfile``
and a breakpoint by the function's *name* do not find its file; a call takes two frames, one of them
ours; ``inspect.signature`` does not see defaults that are changed meanwhile (a call does).
"""

from __future__ import annotations

from pytest_sessionguard.detour.detour import Detour
from pytest_sessionguard.detour.guide import Guide, Passage
from pytest_sessionguard.detour.trampolines import FILE, DetourError

__all__ = ["FILE", "Detour", "DetourError", "Guide", "Passage"]
