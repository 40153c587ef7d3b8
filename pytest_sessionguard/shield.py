"""What takes a fault inside the guard, so that no test of the user's ever sees it."""

from __future__ import annotations

from collections.abc import Callable


class Shield:
    """The first fault inside the guard, and what is to happen then."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None

    def report(self, error: BaseException) -> None:
        """Keep a fault; only the first one counts.

        Args:
            error: What was raised inside the guard.
        """
        if self.fault is None:
            self.fault = error

    def run(self, action: Callable[[], None]) -> None:
        """Do something of the guard's in the middle of the user's code.

        Args:
            action: What may fail.
        """
        try:
            action()
        except Exception as error:
            self.report(error)


def do_nothing(reference: object) -> None:
    """Be the callback that makes Python clear a weak reference before finalizers run.

    Python 3.15 clears references without one only later (python/cpython#135552); SQLAlchemy
    gives its own references one for the same reason (``_NOOP_WEAKREF_CALLBACK``).

    Args:
        reference: The reference that died.
    """
