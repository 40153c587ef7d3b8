"""Connections: what pools hand out and take back become leases in the ledger.

A return is an event of the pool; listening on the class ``Pool`` reaches every pool, also those
made before (``sqlalchemy.event.attr._ClsLevelDispatch``). A checkout is seen by a wrapper of
``Pool.connect``, which has to stand there anyway to tell who holds a pool that ran dry: a listener
to ``checkout`` sends each checkout down a longer way (``_ConnectionFairy._checkout``), at twice the
price. No listener and no wrapper raises anything of its own.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from functools import partial
from threading import get_ident
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import Pool

from pytest_sessionguard.accounts import Birth, Crossing, Lease
from pytest_sessionguard.callsite import Tracer, capture_task
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.nesting import count_pool, find_taker, make_meeting
from pytest_sessionguard.watch.notes import add_notes
from pytest_sessionguard.watch.patches import Patches, find_definers
from pytest_sessionguard.watch.private import KEY, know_pool, make_record_finder, refer


class PoolWatch:
    """The watcher of connections.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
        describe: Says for a lease that is out where it was taken and by whom.
        root: The folder of the project.
    """

    def __init__(
        self, ledger: Ledger, shield: Shield, describe: Callable[[Lease], str], root: str = ""
    ) -> None:
        self._ledger = ledger
        self._shield = shield
        self._meet = make_meeting(ledger, shield, root)
        self._describe = describe
        self._patches = Patches()
        self._find_record, listeners = make_record_finder()
        self._listeners = {
            **listeners,
            "connect": self._make_connect(),
            "checkin": self._make_return(),
            "detach": self._make_return(),
            "invalidate": self._make_invalidate(),
        }

    def install(self) -> None:
        """Begin to watch."""
        for name, listener in self._listeners.items():
            event.listen(Pool, name, listener)
        for class_ in find_definers(Pool, "connect"):
            self._patches.wrap(class_, "connect", self._make_connect_wrapper)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        for name, listener in self._listeners.items():
            event.remove(Pool, name, listener)
        self._patches.remove()

    def _make_return(self) -> Any:
        end_lease, failed = self._ledger.end_lease, self._shield.report

        def on_return(dbapi_connection: Any, record: Any) -> None:
            try:
                end_lease(record)
            except Exception as error:
                failed(error)

        return on_return

    def _make_connect(self) -> Any:
        ledger, failed = self._ledger, self._shield.report
        capture = Tracer().capture

        def on_connect(dbapi_connection: Any, record: Any) -> None:
            try:
                loop = asyncio._get_running_loop()
                if loop is not None:
                    trace = capture()
                    record.info[KEY] = Birth(weakref.ref(loop), ledger.current.owner, trace)
            except Exception as error:
                failed(error)

        return on_connect

    def _make_invalidate(self) -> Any:
        ledger, failed = self._ledger, self._shield.report
        capture = Tracer().capture

        def on_invalidate(dbapi_connection: Any, record: Any, exception: Any) -> None:
            # With pool_pre_ping a foreign loop's connection fails its ping before `connect` ends.
            try:
                birth = record.info.get(KEY)
                if birth is not None and birth.pool is not None and _is_foreign(birth):
                    trace, root = capture(), capture_task()
                    if root is not None and not trace.passes(root.marks[0]):
                        trace = root
                    ledger.add_crossing(Crossing(trace, birth.pool, birth))
            except Exception as error:
                failed(error)

        return on_invalidate

    def _compare_loops(self, record: Any, lease: Lease) -> None:
        birth = record.info.get(KEY)
        if birth is None:
            return
        if birth.pool is None:
            birth.pool = lease.pool
        if _is_foreign(birth):
            self._ledger.add_crossing(Crossing(lease.trace, lease.pool, birth))

    def _make_connect_wrapper(self, original: Any) -> Any:
        ledger, failed, find_record = self._ledger, self._shield.report, self._find_record
        capture, out, meet = Tracer().capture, ledger.out, self._meet

        def connect(self: Any) -> Any:
            __tracebackhide__ = True  # pytest's tracebacks are to stay as they were
            try:
                pool = self._sessionguard
                is_known = pool.ledger is ledger
            except AttributeError:  # it is the first time
                is_known = False
            if out and is_known:
                meet(pool)
            try:
                proxy = original(self)
            except PoolTimeoutError as error:
                watch._shield.run(partial(watch._tell_holders, error, self))
                raise
            try:
                if not is_known:
                    pool = know_pool(ledger, self)
                record = find_record(proxy)
                lease = Lease(refer(proxy), capture(), ledger.current, pool, get_ident())
                lease.runner = find_taker()
                ledger.open_lease(record, lease)
                if len(out) > pool.use.at_once:
                    count_pool(ledger, pool)
                if pool.loop_bound:
                    watch._compare_loops(record, lease)
            except Exception as error:
                failed(error)
            return proxy

        watch = self
        return connect

    def _tell_holders(self, error: BaseException, pool: Any) -> None:
        notes = [self._describe(lease) for lease in self._ledger.leases_of(pool)]
        if notes:
            held = "1 connection is" if len(notes) == 1 else f"{len(notes)} connections are"
            add_notes(error, [f"sessionguard: {held} out of this pool", *notes])


def _is_foreign(birth: Birth) -> bool:
    running = asyncio._get_running_loop()
    return running is not None and birth.loop() is not running
