"""Exceptions that hang together: what led to one, and what it is a group of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


def follow(error: BaseException | None) -> Iterator[BaseException]:
    """Go through an exception and all that it carries or that led to it.

    Args:
        error: The exception; None has nothing.

    Yields:
        Each of them once, also where they go round in circles.
    """
    pending, seen = [error], set()
    while pending:
        error = pending.pop()
        if not isinstance(error, BaseException) or id(error) in seen:
            continue
        seen.add(id(error))
        yield error
        pending += [error.__cause__, error.__context__, *_members_of(error), *_examples_of(error)]


def space_of(error: BaseException) -> dict[str, object]:
    """Return the attributes of an exception itself, past a ``__getattr__`` of its class.

    Args:
        error: The exception.

    Returns:
        They; none where its class has a `__dict__` of its own making.
    """
    try:
        return vars(error)
    except Exception:
        return {}


def _members_of(error: BaseException) -> Iterable[BaseException]:
    # By its name: on Python 3.10 the class comes from a package.
    is_group = any(class_.__name__ == "BaseExceptionGroup" for class_ in type(error).__mro__)
    return error.exceptions if is_group else ()  # type: ignore[attr-defined]


def _examples_of(error: BaseException) -> Iterable[BaseException]:
    """Return what failed a doctest: `MultipleDoctestFailures` has `UnexpectedException`."""
    space = space_of(error)
    failures, raised = space.get("failures"), space.get("exc_info")
    carried = [*(failures if isinstance(failures, list) else ())]
    return [*carried, *(raised[1:2] if isinstance(raised, tuple) else ())]
