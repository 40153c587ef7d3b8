"""The ledger of a run that is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pytest_sessionguard.accounts import Access, Account, Lease, SessionRecord
from pytest_sessionguard.callsite import Trace
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.timeline.recorder import Recorder


class RecordingLedger(Ledger):
    """A ledger that also tells a recorder what is entered; a run that is not recorded has none.

    Args:
        recorder: What keeps the times.
    """

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.recorder = recorder

    def begin(self, account: Account) -> Account:
        """Enter that an owner's time begins."""
        self.recorder.begin(account)
        return super().begin(account)

    def finish(self, account: Account, *, judged: bool = True) -> None:
        """Enter that an owner's things are due."""
        super().finish(account, judged=judged)
        self.recorder.finish(account, judged=judged)

    def open_lease(self, record: Any, lease: Lease) -> None:
        """Enter a checkout."""
        super().open_lease(record, lease)
        if self.newest is lease:  # and not one that was entered already
            self.recorder.open_lease(lease)

    def end_lease(self, record: Any) -> None:
        """Enter a return to the pool, or a connection taken out of it for good."""
        lease = self.out.get(record)
        super().end_lease(record)
        if lease is not None:
            self.recorder.end_lease(lease)

    def use_session(self, record: SessionRecord, lease: Lease) -> None:
        """Enter that a session took a lease, which is its owner's from now on."""
        super().use_session(record, lease)
        self.recorder.use_session(record, lease)

    def open_session(self, session: Callable[[], Any], trace: Trace) -> SessionRecord:
        """Enter a new session."""
        record = super().open_session(session, trace)
        self.recorder.open_session(record)
        return record

    def begin_again(self, record: SessionRecord, trace: Trace, *, by_right: bool = False) -> None:
        """Enter that a session which had been closed begins a transaction."""
        super().begin_again(record, trace, by_right=by_right)
        self.recorder.begin_again(record, trace)

    def close_session(self, record: SessionRecord, trace: Trace | None, in_block: bool) -> None:
        """Enter that a session was closed."""
        super().close_session(record, trace, in_block)
        self.recorder.close_session(record, trace)

    def add_load(self, access: Access, record: SessionRecord) -> None:
        """Enter that reading an attribute has loaded it."""
        super().add_load(access, record)
        self.recorder.add_load(self.current, access)
