"""Where the latest results came from."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pytest_sessionguard.accounts import Results
from pytest_sessionguard.callsite import Trace, Tracer

SOURCE = "def first(rest):\n    return rest[0](rest[1:])\n"


def make(path: str, source: str = SOURCE) -> Callable[[Any], Any]:
    space: dict[str, Any] = {}
    exec(compile(source, path, "exec"), space)
    step: Callable[[Any], Any] = space["first"]
    return step


def enter(results: Results, number: int) -> Trace:
    trace = Trace((number,))
    results.places[number & results.last] = (number, trace)
    return trace


def test_found_until_its_place_is_taken() -> None:
    """A result is known by its number, until a later one needs its place."""
    results = Results()
    first, second = enter(results, 7), enter(results, 8)
    assert first is results.find(7)
    assert second is results.find(8)
    assert results.find(9) is None
    later = enter(results, 7 + len(results.places))
    assert results.find(7) is None
    assert later is results.find(7 + len(results.places))


def test_equal_code_of_another_file() -> None:
    """The place that a way was taken to last is not told for its copy in another file."""
    path, tracer = os.path.join(os.path.dirname(os.__file__), "made_up.py"), Tracer()
    library = [make(path), make(path, SOURCE.replace("(rest[1:])", ".capture()")), tracer]
    for name in ("/app/one.py", "/app/two.py", "/app/one.py"):
        outer, inner = make(name), make(name)
        for _ in range(2):
            trace = outer([inner, *library])
            assert [name, name] == [code.co_filename for code in trace.marks[::2]]
