"""Instances that leave their session: it is written on each which session that was.

An instance forgets its session when it is expunged (``InstanceState.session_id``). Every way to
close a session expunges what it holds (``Session._close_impl`` calls ``expunge_all``).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY
from pytest_sessionguard.watch.provenance import mark_one


class DepartureWatch:
    """The watcher of instances that are expunged.

    Args:
        shield: What takes its own faults.
    """

    def __init__(self, shield: Shield) -> None:
        self._shield = shield
        self._patches = Patches()

    def install(self) -> None:
        """Begin to watch."""
        self._patches.wrap(Session, "expunge", self._make_expunge)
        self._patches.wrap(Session, "expunge_all", self._make_expunge_all)

    def remove(self) -> None:
        """Stop watching and leave the class as it was."""
        self._patches.remove()

    # Each wrapper hides its frame from pytest's tracebacks, which are to stay as they were.

    def _make_expunge(self, original: Any) -> Any:
        failed = self._shield.report

        def expunge(self: Any, instance: Any) -> None:
            __tracebackhide__ = True
            try:
                record = getattr(self, KEY, None)
                if record is not None:
                    mark_one(self, instance, record)
            except Exception as error:
                failed(error)
            original(self, instance)

        return expunge

    def _make_expunge_all(self, original: Any) -> Any:
        failed = self._shield.report

        def expunge_all(self: Any) -> None:
            __tracebackhide__ = True
            try:
                record = self._sessionguard
                for state in self.identity_map.all_states():
                    state._sessionguard = record
            except Exception as error:
                failed(error, counts=hasattr(self, KEY))  # else it is older than the watching
            original(self)

        return expunge_all
