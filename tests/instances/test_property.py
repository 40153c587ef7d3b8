"""Random graphs of instances under random operations: nothing is loaded, and the verdict is right.

The verdict is compared with what `sqlalchemy.inspect` tells and with what reading each column of
what is detached does; neither is asked of the package.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, ForeignKey, create_engine, event, func, inspect, select, text
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    column_property,
    composite,
    defer,
    joinedload,
    load_only,
    make_transient,
    make_transient_to_detached,
    mapped_column,
    relationship,
    selectin_polymorphic,
    selectinload,
    undefer_group,
)
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.pool import StaticPool

from pytest_sessionguard import AttachedResultError, UnloadedResultError, assert_detached


class Base(DeclarativeBase):
    pass


@dataclasses.dataclass
class Point:
    x: int | None
    y: int | None


class Node(Base):
    __tablename__ = "node"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "node"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
    name: Mapped[str | None]
    made_at: Mapped[str | None] = mapped_column(server_default=text("'now'"))
    x: Mapped[int | None]
    y: Mapped[int | None]
    point: Mapped[Point] = composite("x", "y")
    body: Mapped[str | None] = mapped_column(deferred=True, deferred_group="big")
    page: Mapped[str | None] = mapped_column(deferred=True, deferred_group="big")
    size: Mapped[int | None] = column_property(func.length("name"))
    parent: Mapped[Node | None] = relationship(remote_side=[id], back_populates="children")
    children: Mapped[list[Node]] = relationship(back_populates="parent")
    names: AssociationProxy[list[str | None]] = association_proxy("children", "name")

    @hybrid_property
    def label(self) -> str:
        return f"<{self.name}>"


class Leaf(Node):
    """In a table of its own."""

    __tablename__ = "leaf"
    __mapper_args__ = {"polymorphic_identity": "leaf"}
    id: Mapped[int] = mapped_column(ForeignKey("node.id"), primary_key=True)
    color: Mapped[str | None]
    grade: Mapped[int | None] = mapped_column(server_default=text("1"))


class Fork(Node):
    """In the table of its base."""

    __mapper_args__ = {"polymorphic_identity": "fork"}
    prong: Mapped[str | None]


MODELS: list[type[Node]] = [Node, Leaf, Fork]
NAMES = ["name", "made_at", "x", "body", "size", "parent", "children", "parent_id", "color"]
NAMES += ["point", "label", "names"]
OPTIONS: list[Callable[[], Any]] = [
    lambda: undefer_group("big"),
    lambda: load_only(Node.name),
    lambda: defer(Node.x),
    lambda: selectinload(Node.children),
    lambda: selectinload(Node.children).selectinload(Node.children),
    lambda: joinedload(Node.parent),
    lambda: selectin_polymorphic(Node, [Leaf, Fork]),
]


class World:
    """A database, a session, and the instances that somebody holds."""

    def __init__(self, engine: Engine, *, expire_on_commit: bool) -> None:
        self.session = Session(engine, expire_on_commit=expire_on_commit)
        self.held: list[Node] = []

    def pick(self, number: int) -> Node:
        return self.held[number % len(self.held)] if self.held else self.add(0, number)

    def add(self, kind: int, number: int) -> Node:
        node = MODELS[kind % len(MODELS)](name="new")
        if self.held and number % 2:
            node.parent = self.pick(number)
        self.session.add(node)
        self.held.append(node)
        return node

    def load(self, kind: int, number: int) -> None:
        query = select(MODELS[kind % len(MODELS)]).order_by(Node.id)
        if number % len(OPTIONS) != kind:
            query = query.options(OPTIONS[number % len(OPTIONS)]())
        if number % 3 == 0:
            query = query.execution_options(populate_existing=True)
        self.held += self.session.scalars(query).unique().all()

    def act(self, name: str, kind: int, number: int) -> None:
        """Do one thing, or leave it where SQLAlchemy refuses it."""
        action = getattr(self, name)
        with warnings.catch_warnings():
            # A row that was deleted twice, an instance that left in the middle of a flush.
            warnings.simplefilter("ignore")
            try:
                action(kind, number)
            except Exception:
                # Not only SQLAlchemyError: a flush after a `del` in vain raises a KeyError, a load
                # of a subclass's expression an IndexError, a refresh of a composite is asserted
                # not to be.
                self.session.rollback()

    def expire(self, kind: int, number: int) -> None:
        self.session.expire(self.pick(number))

    def expire_some(self, kind: int, number: int) -> None:
        self.session.expire(self.pick(number), [NAMES[kind]])

    def refresh(self, kind: int, number: int) -> None:
        self.session.refresh(self.pick(number))

    def refresh_some(self, kind: int, number: int) -> None:
        self.session.refresh(self.pick(number), [NAMES[kind]])

    def expunge(self, kind: int, number: int) -> None:
        self.session.expunge(self.pick(number))

    def expunge_all(self, kind: int, number: int) -> None:
        self.session.expunge_all()

    def close(self, kind: int, number: int) -> None:
        self.session.close()

    def commit(self, kind: int, number: int) -> None:
        self.session.commit()

    def flush(self, kind: int, number: int) -> None:
        self.session.flush()

    def rollback(self, kind: int, number: int) -> None:
        self.session.rollback()

    def delete(self, kind: int, number: int) -> None:
        self.session.delete(self.pick(number))

    def merge(self, kind: int, number: int) -> None:
        self.held.append(self.session.merge(self.pick(number)))

    def read(self, kind: int, number: int) -> None:
        getattr(self.pick(number), NAMES[kind])

    def write(self, kind: int, number: int) -> None:
        self.pick(number).name = "written"

    def remove(self, kind: int, number: int) -> None:
        delattr(self.pick(number), NAMES[kind % 5])

    def transient(self, kind: int, number: int) -> None:
        make_transient(self.pick(number))

    def detached(self, kind: int, number: int) -> None:
        make_transient_to_detached(self.pick(number))


ACTIONS = [
    *["load", "add", "expire", "expire_some", "refresh", "refresh_some", "expunge", "expunge_all"],
    *["close", "commit", "flush", "rollback", "delete", "merge", "read", "write", "remove"],
    *["transient", "detached"],
]
steps = st.tuples(st.sampled_from(ACTIONS), st.integers(0, len(NAMES) - 1), st.integers(0, 11))
SHAPES: list[Callable[[list[Node]], Any]] = [
    lambda held: held,
    lambda held: {"nodes": tuple(held)},
    lambda held: [[[node] for node in held], held],
]


def open_engine() -> tuple[Engine, list[str]]:
    """A database with a small tree in it, and what is sent to it."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        leaves = [Leaf(name="b", color="red"), Fork(name="c", prong="p", body="long")]
        session.add(Node(name="a", x=1, y=2, children=leaves))
        session.commit()
    sent: list[str] = []

    def on_execute(connection: object, cursor: object, statement: str, *rest: object) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", on_execute)
    return engine, sent


def reach(held: list[Node]) -> list[Node]:
    """All instances that are held, or that a loaded relationship of such a one leads to."""
    reached: dict[int, Node] = {}
    waiting = list(held)
    while waiting:
        node = waiting.pop()
        if id(node) not in reached:
            reached[id(node)] = node
            values = inspect(node).dict
            waiting += values.get("children", [])
            waiting += [values["parent"]] if values.get("parent") is not None else []
    return list(reached.values())


def raises(node: Node, names: Any) -> set[str]:
    """The attributes of a detached instance whose reading raises."""
    found = set()
    for name in names:
        try:
            getattr(node, name)
        except DetachedInstanceError:
            found.add(name)
    return found


def judge(result: Any, **demands: Any) -> list[Any]:
    """The troubles that the assertion finds."""
    try:
        assert assert_detached(result, **demands) is result
    except (AttachedResultError, UnloadedResultError) as error:
        assert len(str(error).splitlines()) <= 14
        return error.troubles
    return []


def check(held: list[Node], shape: Callable[[list[Node]], Any], sent: list[str]) -> None:
    """Compare the verdict with the model."""
    before = len(sent)
    troubles, demanded = judge(shape(held)), []
    if held:
        demanded = judge(shape(held), loaded=("parent", "children"))
    assert len(sent) == before
    told: dict[int, set[str]] = {}
    for trouble in troubles:
        told.setdefault(id(trouble.instance), set()).update(trouble.attributes or [trouble.kind])
    missing: dict[int, set[str]] = {}
    for trouble in demanded:
        if trouble.kind == "missing":
            missing.setdefault(id(trouble.instance), set()).update(trouble.attributes)
    reached = reach(held)
    assert set(told) <= {id(node) for node in reached}
    for node in reached:
        state, got = inspect(node), told.get(id(node), set())
        columns = set(state.mapper.column_attrs.keys())
        if state.session is not None:
            bound = "pending" if state.pending else "deleted" if state.deleted else "attached"
            assert got == {bound}
            continue
        expired = columns & state.unloaded & state.expired_attributes
        if state.key is None:
            # Without a key there is no row to load what is deferred from.
            expired -= {"body", "page"}
        # Not `unloaded` above: a `del` in vain makes it forget an attribute, reading still raises.
        assert expired <= got <= columns - set(state.dict)
        assert got == raises(node, columns)
        if any(node is each for each in held):
            assert missing.get(id(node), set()) == raises(node, ["parent", "children"])
    assert len(sent) == before


@given(
    st.lists(steps, max_size=14),
    st.booleans(),
    st.sampled_from(SHAPES),
)
@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck), database=None)
def test_agrees_with_sqlalchemy(
    program: list[tuple[str, int, int]],
    expire_on_commit: bool,
    shape: Callable[[list[Node]], Any],
) -> None:
    """Whatever was done: no SQL, an end, and the verdict that SQLAlchemy's own record gives."""
    engine, sent = open_engine()
    world = World(engine, expire_on_commit=expire_on_commit)
    with contextlib.closing(world.session):
        for step in program:
            world.act(*step)
        check(world.held, shape, sent)
        world.session.expunge_all()
        check(world.held, shape, sent)
    engine.dispose()


@pytest.mark.parametrize("name", ACTIONS)
def test_actions(name: str) -> None:
    """Each action does something to what was loaded: none is a mistake."""
    engine, _ = open_engine()
    world = World(engine, expire_on_commit=True)
    with contextlib.closing(world.session):
        world.load(0, 0)
        if name == "detached":
            world.transient(0, 0)
        getattr(world, name)(0, 0)
    engine.dispose()
