"""Every private name of others that the watchers touch, and what happens without it.

| name | used for | if it is gone |
|---|---|---|
| `_ConnectionFairy._connection_record` | the record of a lease | the event `checkout` tells it |
| `Pool._dialect` | driver of a pool, and the engine that it belongs to | "an engine"; no SG103 |
| `AttributeImpl._fire_loader_callables` | attributes that load | no SG401, SG402, SG403; no notes |
| `greenlet_spawn`'s argument `fn` | what `awaitable_attrs` asks for | it counts as lazy |
| `InstanceState.load_path` | columns of subclasses that no query named | they count as expired |
| `loading._new_runid`, `InstanceState.runid` | where an instance was loaded | no such line |
| `Select._with_options`, `Load.context`, `path`, `strategy` | what a query asks for | no SG403 |
| `_ConnectionRecord.__pool` | the engine that opened a connection | no SG106 |
| `asyncpg.Connection._addr`, `_params` | whom to ask about a connection | no SG105 with asyncpg |
| `Pool._max_overflow`, `Pool._timeout` | numbers in a message | the message has none |
| `Engine._has_events`, `Engine.dispatch` | its short way after the timeline | it stays long |
| `Future._source_traceback` | a task's traceback in debug mode | it shows a frame of ours |
| `SessionTransaction._connection_for_bind` | who asks a session to work | methods of `Session` |
| `SessionTransaction._connections` | what a server commits by itself | SG205 tells of it |
| `Dialect._on_connect_isolation_level` | the same, set for a whole engine | SG205 tells of it |
| `doctest._OutputRedirectingPdb` | notes on what a doctest shows | its text has our notes |
| `Session.__binds` (2.1: `Session.binds`) | engines of a session without one | it is not used |

Read in SQLAlchemy 2.0.58 and 2.1.9 (`sqlalchemy/pool/base.py`, `sqlalchemy/pool/impl.py`).
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from sqlalchemy.engine import Engine
from sqlalchemy.orm import SessionTransaction, attributes, loading
from sqlalchemy.pool.base import _ConnectionFairy

from pytest_sessionguard.accounts import Address, PoolFacts, Seat
from pytest_sessionguard.ledger import Ledger

# Where the facts of a pool and the record of a session are kept: on the object itself, which is
# the fastest look-up there is, needs no hash of a user's class, and dies with the object. What runs
# in every cycle writes the name out: an attribute of an instance is found without any search.
KEY = "_sessionguard"
_TIGHT = "_sessionguard_is_tight"

# Python 3.15 clears weak references without a callback only after finalizers have run
# (python/cpython#135552); SQLAlchemy gives its own one for that (``_NOOP_WEAKREF_CALLBACK``). A
# built-in does nothing with its argument, and costs least.
CALLBACK: tuple[Callable[[Any], Any], ...] = (bool,) if sys.version_info >= (3, 15) else ()


def _refer(thing: Any) -> Callable[[], Any]:
    return weakref.ref(thing, *CALLBACK)


# What makes them on the hot path, without a call of Python's where none is needed.
refer: Callable[[Any], Callable[[], Any]] = _refer if CALLBACK else weakref.ref

# asyncpg, asyncmy and aiomysql bind a connection to the loop that opened it. psycopg and
# aiosqlite ask for the running loop at each call, and work across loops.
_LOOP_BOUND_DRIVERS = frozenset({"asyncpg", "asyncmy", "aiomysql"})


def make_record_finder() -> tuple[Callable[[Any], Any], dict[str, Any]]:
    """Find out how to get from a connection to the pool's record of it.

    Returns:
        A function that takes the connection as the pool handed it out, and the pool events that
        the function needs to be listened to.
    """
    name = "_connection_record"
    if name in getattr(_ConnectionFairy, "__slots__", ()) or hasattr(_ConnectionFairy, name):
        return attrgetter(name), {}
    records: dict[int, Any] = {}

    def on_checkout(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        records[id(proxy)] = record

    return lambda proxy: records.pop(id(proxy)), {"checkout": on_checkout}


def find_attribute_loader() -> tuple[type, str] | None:
    """Find the method that every attribute goes through which has to be loaded.

    Returns:
        The class and the method's name; SQLAlchemy 2.1 gave the class an underscore.
    """
    name = "_fire_loader_callables"
    for class_name in ("AttributeImpl", "_AttributeImpl"):
        class_ = getattr(attributes, class_name, None)
        if class_ is not None and name in class_.__dict__:
            return class_, name
    return None


def find_result_counter() -> tuple[Any, str] | None:
    """Find the counter that numbers results, with whose numbers instances are stamped.

    Returns:
        The module that draws from it, and its name there.
    """
    return (loading, "_new_runid") if callable(getattr(loading, "_new_runid", None)) else None


def find_doctest_classes() -> tuple[type, type] | None:
    """Find what runs doctests, if it has been imported.

    Returns:
        The runner, and the debugger that it tells when an example is over; None where there are
        none, or a module of the user's has the name.
    """
    module = sys.modules.get("doctest")
    runner = getattr(module, "DocTestRunner", None)
    debugger = getattr(module, "_OutputRedirectingPdb", None)
    return (runner, debugger) if isinstance(runner, type) and isinstance(debugger, type) else None


def find_connection_giver() -> tuple[type, str] | None:
    """Find the method by which every work of a session gets its connection.

    Returns:
        The class and the method's name.
    """
    name = "_connection_for_bind"
    return (SessionTransaction, name) if name in SessionTransaction.__dict__ else None


def read_eager_loads(statement: Any, eager: frozenset[str]) -> set[Any]:
    """Read which relationships the options of a statement load with it.

    Args:
        statement: What is about to be executed.
        eager: The ways of loading that count.

    Returns:
        The relationships; ``*`` where a wildcard or an option of an unknown kind may mean any.
    """
    found: set[Any] = set()
    for option in getattr(statement, "_with_options", ()):
        for element in getattr(option, "context", None) or [None]:
            strategy = dict(getattr(element, "strategy", None) or {"lazy": "joined"})
            path = getattr(getattr(element, "path", None), "path", None)
            if path is None:
                found.add("*")
            elif strategy.get("lazy") in eager:
                found.update(step for step in path if hasattr(step, "uselist"))
    return found


def is_awaited() -> bool:
    """Tell whether `AsyncAttrs.awaitable_attrs` was asked for what is being read.

    It runs ``getattr`` in a greenlet of its own, whatever stands behind the name: an attribute, or
    a hybrid, a proxy or a property in front of some.

    Returns:
        Whether the running greenlet does nothing else.
    """
    greenlet = sys.modules.get("greenlet")
    parent = greenlet.getcurrent().parent if greenlet is not None else None
    frame = parent.gr_frame if parent is not None else None
    if frame is None or frame.f_code.co_name != "greenlet_spawn":
        return False
    return frame.f_locals.get("fn") is getattr


def is_beyond_query(state: Any, key: str) -> bool:
    """Tell whether an attribute belongs to a subclass of what its object's query asked for.

    Args:
        state: What SQLAlchemy knows of the object.
        key: The attribute.

    Returns:
        Whether the class that the query named has no such attribute.
    """
    path = getattr(getattr(state, "load_path", None), "path", ())
    mapper = getattr(path[-1], "mapper", None) if path else None
    return mapper is not None and not mapper.has_property(key)


def has_engine_events() -> bool:
    """Tell whether somebody listens to all engines; each statement then goes a longer way."""
    return bool(getattr(Engine, "_has_events", True))


def forget_engine_events() -> None:
    """Let engines go the short way again, unless somebody else listens to all of them by now."""
    dispatch = Engine.dispatch
    for name in getattr(dispatch, "_event_names", ()):
        if getattr(getattr(dispatch, name), "_clslevel", {Engine: True}).get(Engine):
            return
    if has_engine_events():
        Engine._has_events = False


def drop_own_frame(task: Any, path: str) -> None:
    """Take our frame out of where a task was made, which asyncio keeps in debug mode.

    Args:
        task: The task.
        path: The file of the frame; asyncio has taken its own one out.
    """
    made = getattr(task, "_source_traceback", None)
    if made and made[-1].filename == path:
        del made[-1]


def find_binds(session: Any) -> list[Any]:
    """Find what a session is bound to whose mappers are bound one by one.

    Args:
        session: A sync session.

    Returns:
        Its engines and connections.
    """
    binds = getattr(session, "binds", None) or getattr(session, "_Session__binds", None) or {}
    return list(dict.fromkeys(binds.values()))


def find_pool(record: Any) -> Any:
    """Find the pool of a connection.

    Args:
        record: The pool's record of it.

    Returns:
        The pool, or None where the name is gone.
    """
    return getattr(record, "_ConnectionRecord__pool", None)


def find_seat(driver: Any) -> Seat | None:
    """Find the server's process behind a connection, and how to ask about it.

    Args:
        driver: The driver's own connection.

    Returns:
        The process and the server's address; None for what is no Postgres, or does not tell.
    """
    module = type(driver).__module__.partition(".")[0]
    if module == "asyncpg":
        address, known = getattr(driver, "_addr", None), getattr(driver, "_params", None)
        if isinstance(address, str):  # the path of a socket
            folder, _, port = address.rpartition("/.s.PGSQL.")
            address = (folder, int(port)) if port.isdecimal() else None
        if not isinstance(address, tuple) or known is None:
            return None
        host, port = address[:2]
        where = Address(host, port, known.user, str(known.password or ""), known.database)
        return Seat(where, driver.get_server_pid())
    if module in ("psycopg", "psycopg2"):
        info = driver.info
        where = Address(info.host, info.port, info.user, info.password or "", info.dbname)
        return Seat(where, info.backend_pid)
    return None


def name_engine(dialect: Any) -> dict[str, Any]:
    """Name an engine as messages do.

    Args:
        dialect: Its dialect.

    Returns:
        Its name, and whether its driver is async.
    """
    driver, name = getattr(dialect, "driver", ""), getattr(dialect, "name", "an engine")
    is_async = bool(getattr(dialect, "is_async", False))
    return {"name": f"{name}+{driver}" if driver else name, "is_async": is_async}


def know_pool(ledger: Ledger, pool: Any) -> PoolFacts:
    """Return the facts of a pool.

    Args:
        ledger: Where a pool that is seen for the first time is counted.
        pool: The pool.

    Returns:
        The facts, the same object each time.
    """
    facts: PoolFacts | None = getattr(pool, KEY, None)
    if facts is None or facts.ledger is not ledger:
        facts = _read_pool(ledger, pool)
        setattr(pool, KEY, facts)
    return facts


def _read_pool(ledger: Ledger, pool: Any) -> PoolFacts:
    dialect = getattr(pool, "_dialect", None)
    driver = getattr(dialect, "driver", "")
    if dialect is not None:
        ledger.add_pool(dialect)
    # A SingletonThreadPool's `size` is a number, and no limit.
    size = pool.size() if callable(getattr(pool, "size", None)) else None
    timeout = getattr(pool, "_timeout", None)
    facts = PoolFacts(
        ledger,
        engine=name_engine(dialect)["name"],
        kind=type(pool).__name__,
        pool=weakref.ref(pool),
        dialect=weakref.ref(dialect) if dialect is not None else lambda: None,
        size=size if isinstance(size, int) else None,
        overflow=getattr(pool, "_max_overflow", None),
        timeout=timeout if isinstance(timeout, (int, float)) else None,
        loop_bound=driver in _LOOP_BOUND_DRIVERS,
        is_tight=getattr(dialect, _TIGHT, False),
    )
    maker = getattr(dialect, KEY, None)
    facts.use = ledger.find_use(facts, maker.trace if maker is not None else None)
    facts.use.count(1, ledger.current.owner)
    return facts


def tighten(engine: Any) -> None:
    """Note that an engine's pool is tight on purpose, as that of the plugin's own fixtures is.

    Args:
        engine: The engine, sync or async.
    """
    setattr(engine.dialect, _TIGHT, True)


def find_connections(session: Any) -> list[Any]:
    """Find the connections that a session's transaction has (``SessionTransaction._connections``).

    Args:
        session: A sync session.

    Returns:
        The connections, some twice.
    """
    transaction = session.get_transaction()
    return [parts[0] for parts in getattr(transaction, "_connections", {}).values()]
