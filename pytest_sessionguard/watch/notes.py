"""Notes that an exception of the user's carries, and that nobody matches a pattern with."""

from __future__ import annotations

from contextlib import suppress

from pytest_sessionguard.watch.chains import follow, space_of

# What pytest and the interpreter print (PEP 678); on Python 3.10 `exceptiongroup`, which pytest
# brings, does.
_NOTES = "__notes__"
_OURS = "_sessionguard_notes"


def add_notes(error: BaseException, lines: list[str]) -> None:
    """Add lines to what pytest and the interpreter print of an exception.

    Args:
        error: The exception.
        lines: The lines.
    """
    for name in (_NOTES, _OURS):
        _set(error, name, [*_lines_of(error, name), *lines])


def hide_notes(error: BaseException | None) -> list[tuple[BaseException, list[str]]]:
    """Take our notes off an exception, and off all that it carries or that led to it.

    ``pytest.raises(match=...)`` matches a text that ends with the notes: with ours a pattern that
    ends with ``$`` would fail (``_pytest._code.code.stringify_exception``).

    Args:
        error: The exception, if there is one.

    Returns:
        What `show_notes` puts back.
    """
    hidden = []
    for each in follow(error):
        ours, notes = _lines_of(each, _OURS), _lines_of(each, _NOTES)
        if ours and notes:
            hidden.append((each, notes))
            theirs = _leave_out(notes, ours)
            if theirs:
                _set(each, _NOTES, theirs)
            else:
                space_of(each).pop(_NOTES, None)
    return hidden


def show_notes(hidden: list[tuple[BaseException, list[str]]]) -> None:
    """Put notes back, before what was added meanwhile.

    Args:
        hidden: What `hide_notes` has returned.
    """
    for error, notes in hidden:
        _set(error, _NOTES, [*notes, *_leave_out(_lines_of(error, _NOTES), notes)])


def _leave_out(lines: list[str], others: list[str]) -> list[str]:
    """Leave lines out by what they are: a note of the user's may read as one of ours does."""
    return [line for line in lines if all(line is not other for other in others)]


def _lines_of(error: BaseException, name: str) -> list[str]:
    lines = space_of(error).get(name)
    return list(lines) if isinstance(lines, list) else []


def _set(error: BaseException, name: str, value: object) -> None:
    # Past a `__setattr__` of its class, which may refuse.
    with suppress(Exception):
        BaseException.__setattr__(error, name, value)
