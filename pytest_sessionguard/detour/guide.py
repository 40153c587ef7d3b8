"""Whom calls are led past."""

from __future__ import annotations

from typing import Any, Protocol


class Passage(Protocol):
    """One call on its way through a detour. None of its methods may raise."""

    def resume(self) -> None:
        """Take note that the function's own frame runs."""

    def pause(self) -> None:
        """Take note that the function's own frame runs no more, or for a while not."""

    def leave(self, result: Any) -> None:
        """Take note that the call has returned; for a generator, that it has come to its end."""

    def fail(self, error: BaseException) -> None:
        """Take note that the call has raised."""


class Guide(Protocol):
    """Whoever wants to know of the calls."""

    def enter(self, running: Any) -> Passage | None:
        """Take note of a call; it may not raise.

        Args:
            running: The coroutine, generator or async generator that is about to run; None where
                a plain function is about to be called.

        Returns:
            Whom to tell how the call goes on, or None if nobody wants to know.
        """
