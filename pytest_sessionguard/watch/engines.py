"""Engines: where each was made, and the connections to the server that it opens.

It costs something where an engine is made and where a connection is opened, and nothing else. That
an engine was made, ``Dialect.engine_created`` tells, which ``create_engine`` calls last. A wrapper
of ``Engine.__init__`` would hide the names of its arguments, by which ``create_engine`` sorts its
own (``sqlalchemy.util.get_cls_kwargs``). A dialect that keeps the hook to itself hides its engines.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, event
from sqlalchemy.pool import Pool

from pytest_sessionguard.accounts import EngineRecord
from pytest_sessionguard.callsite import Tracer
from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch.patches import Patches
from pytest_sessionguard.watch.private import KEY, find_pool, name_engine


class EngineWatch:
    """The watcher of engines.

    Args:
        ledger: What it writes.
        shield: What takes its own faults.
    """

    def __init__(self, ledger: Ledger, shield: Shield) -> None:
        self._ledger = ledger
        self._shield = shield
        self._patches = Patches()
        self._listeners = {"connect": self._make_connect()}

    def install(self) -> None:
        """Begin to watch."""
        for name, listener in self._listeners.items():
            event.listen(Pool, name, listener)
        self._patches.wrap(Dialect, "engine_created", self._make_created)

    def remove(self) -> None:
        """Stop watching and leave the classes as they were."""
        for name, listener in self._listeners.items():
            event.remove(Pool, name, listener)
        self._patches.remove()

    def _make_created(self, original: Any) -> Any:
        ledger, failed, capture = self._ledger, self._shield.report, Tracer().capture

        def engine_created(cls: Any, engine: Any) -> None:
            __tracebackhide__ = True
            original(cls, engine)
            try:
                dialect, account = engine.dialect, ledger.current
                if getattr(dialect, KEY, None) is not None:
                    return  # its entry point tells of it once more
                record = EngineRecord(account, capture(), **name_engine(dialect))
                setattr(dialect, KEY, record)
                ledger.made.add(record)
                if account.is_due:
                    account.engines.append(record)
            except Exception as error:
                failed(error)

        return engine_created

    def _make_connect(self) -> Any:
        ledger, failed = self._ledger, self._shield.report

        def on_connect(dbapi_connection: Any, record: Any) -> None:
            try:
                dialect = getattr(find_pool(record), "_dialect", None)
                engine = getattr(dialect, KEY, None)
                if engine is None and dialect is not None:
                    # It is older than the watching.
                    engine = EngineRecord(ledger.elsewhere, None, **name_engine(dialect))
                    setattr(dialect, KEY, engine)
                if engine is not None:
                    ledger.made.add(engine)
                    engine.connections.add(record)
            except Exception as error:
                failed(error)

        return on_connect
