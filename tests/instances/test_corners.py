"""Rare mappings and rare objects: what is none must stay none, and what is there must be found."""

from __future__ import annotations

import asyncio
import enum
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from instances.world import Doc, Employee, Recruiter, Slot, Tree, all_of, find_broken
from sqlalchemy import Column, Engine, ForeignKey, Integer, Table, select
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    attribute_keyed_dict,
    load_only,
    make_transient_to_detached,
    mapped_column,
    registry,
    relationship,
    selectinload,
    with_expression,
)
from sqlalchemy.orm.collections import collection

from pytest_sessionguard import UnloadedResultError, assert_detached, assert_loaded
from pytest_sessionguard.instances import find_session, find_troubles, read_status

LONG = 100_000
DEFERRED = ("body", "page", "cover", "sealed")


class Base(DeclarativeBase):
    pass


class Bag:
    """A collection of no built-in kind, which nobody may look into but SQLAlchemy."""

    is_armed = False

    def __init__(self) -> None:
        self._things: list[Any] = []

    @collection.appender
    def put(self, thing: Any) -> None:
        self._things.append(thing)

    @collection.remover
    def take(self, thing: Any) -> None:
        self._things.remove(thing)

    @collection.iterator
    def look(self) -> Iterator[Any]:
        assert not self.is_armed
        return iter(self._things)


class Box(Base):
    __tablename__ = "box"
    id: Mapped[int] = mapped_column(primary_key=True)
    things: Mapped[Bag] = relationship("Thing", collection_class=Bag)
    listed: Mapped[list[Thing]] = relationship(viewonly=True)
    grouped: Mapped[set[Thing]] = relationship(viewonly=True)
    keyed: Mapped[dict[int, Thing]] = relationship(
        collection_class=attribute_keyed_dict("id"), viewonly=True
    )
    ids: AssociationProxy[list[int]] = association_proxy("listed", "id")
    id_set: AssociationProxy[set[int]] = association_proxy("grouped", "id")
    id_dict: AssociationProxy[dict[int, int]] = association_proxy("keyed", "id")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __bool__(self) -> bool:
        raise AssertionError("judged")

    def __getattr__(self, name: str) -> Any:
        # SQLAlchemy itself asks for its own names.
        assert name.startswith("_"), name
        raise AttributeError(name)


class Thing(Base):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    box_id: Mapped[int | None] = mapped_column(ForeignKey("box.id"))


@pytest.fixture
def boxed(filled: Engine) -> Iterator[Session]:
    """A session with a box in the database, and two things in the box."""
    with filled.connect() as connection:
        outer = connection.begin()
        Base.metadata.create_all(connection)
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            session.add(Box(id=1))
            session.flush()
            session.add_all([Thing(id=1, box_id=1), Thing(id=2, box_id=1)])
            session.flush()
            session.expunge_all()
            yield session
        outer.rollback()


def paths(result: object) -> list[str]:
    return [trouble.path for trouble in find_troubles(result)]


def told(result: object, **demands: Any) -> set[str]:
    """The attributes of all troubles."""
    troubles = find_troubles(result, **demands)
    return {name for trouble in troubles for name in trouble.attributes}


def refuse(result: object) -> str:
    with pytest.raises(TypeError) as caught:
        find_troubles(result)
    return str(caught.value)


# Mappings.


def test_collection_of_no_kind(boxed: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """A collection class of the user's own is opened, not iterated over."""
    box = boxed.scalars(select(Box).options(selectinload(Box.things))).one()
    monkeypatch.setattr(Bag, "is_armed", True)
    assert paths(box) == ["result", "result.things._things[0]", "result.things._things[1]"]
    assert find_troubles(box, loaded="things.box_id")[0].kind == "attached"
    monkeypatch.undo()
    for thing in box.things.look():
        boxed.expire(thing)
    monkeypatch.setattr(Bag, "is_armed", True)
    with pytest.raises(UnloadedResultError) as caught:
        assert_loaded(box, "things.box_id")
    assert len(caught.value.troubles) == 2


@pytest.mark.parametrize(
    ("name", "kind"), [("ids", "list"), ("id_set", "set"), ("id_dict", "dict")]
)
def test_live_view(boxed: Session, name: str, kind: str) -> None:
    """What an association proxy gives reads its instance each time: a copy is to be returned."""
    box = boxed.scalars(select(Box)).one()
    assert f"Pass `{kind}(result)`" in refuse(getattr(box, name))
    # The instance keeps such a view of itself, under a private name.
    assert paths([box])[0] == "result[0]"


def test_live_relationships_given_away(session: Session) -> None:
    """The value of a dynamic or write-only relationship is a query."""
    recruiter, slot = all_of(session, Recruiter)[0], all_of(session, Slot)[0]
    assert "Pass `result[0].all()`" in refuse([recruiter.queried])
    assert "Pass `session.scalars(result.select()).all()`" in refuse(slot.log)


def test_query_expression(session: Session) -> None:
    """An expression that nobody asked for is None, not a fault, unless it is demanded."""
    doc = all_of(session, Doc)[0]
    session.expunge(doc)
    assert "score" not in told(doc) | find_broken(doc)
    with pytest.raises(UnloadedResultError) as caught:
        assert_detached(doc, loaded="score", ignore=DEFERRED)
    assert "Reading `result.score` gives no value" in str(caught.value)
    assert "Fix: `with_expression(Doc.score, ...)`" in str(caught.value)


def test_query_expression_asked_for(session: Session) -> None:
    doc = all_of(session, Doc, with_expression(Doc.score, Doc.id + 1))[0]
    session.expunge(doc)
    assert told(doc, loaded=Doc.score, ignore=DEFERRED) == set()


def test_query_expression_left_out(session: Session) -> None:
    """`load_only` leaves out what it does not name, and reading that raises."""
    doc = all_of(session, Doc, load_only(Doc.title))[0]
    session.expunge(doc)
    assert "score" in told(doc) & find_broken(doc)


@pytest.mark.filterwarnings("ignore:.*noload")
def test_noload(filled: Engine) -> None:
    """A relationship that is mapped not to load is none, and demanded it is missing."""

    class Other(DeclarativeBase):
        pass

    class Parent(Other):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        children: Mapped[list[Child]] = relationship(lazy="noload")

    class Child(Other):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int | None] = mapped_column(ForeignKey(Parent.id))

    globals()["Child"] = Child
    parent = Parent(id=1)
    make_transient_to_detached(parent)
    assert told(parent) == set()
    with pytest.raises(UnloadedResultError, match="gives no value, as if there were none"):
        assert_detached(parent, loaded="children")


def test_lazy_raise(session: Session) -> None:
    """What the mapping forbids to load is told with the error that the user will see."""
    recruiter = all_of(session, Recruiter)[0]
    session.expunge(recruiter)
    assert told(recruiter) == set()
    with pytest.raises(UnloadedResultError, match="`result.strict` raises InvalidRequestError"):
        assert_detached(recruiter, loaded=Recruiter.strict)


def test_viewonly(session: Session) -> None:
    """A relationship for looking only is none before it is demanded."""
    recruiter = all_of(session, Recruiter)[0]
    session.expunge(recruiter)
    assert told(recruiter) == set()
    assert told(recruiter, loaded="open_slots") == {"open_slots"}


def test_imperative_mapping(session: Session) -> None:
    """A class without a base; its subclass that is not mapped is a plain class."""
    mapped = registry()

    class Thin:
        pass

    mapped.map_imperatively(
        Thin, Table("thin", mapped.metadata, Column("id", Integer, primary_key=True))
    )

    class Unmapped(Thin):
        pass

    slot = all_of(session, Slot)[0]
    thin: Any = Thin()
    thin.id, thin.slot = 1, slot
    make_transient_to_detached(thin)
    assert paths(thin) == ["result.slot"]
    unmapped: Any = Unmapped()
    unmapped.slot = slot
    assert paths(unmapped) == ["result.slot"]
    with pytest.raises(TypeError, match="'Unmapped' is no mapped class"):
        read_status(unmapped)


def test_never_set(filled: Engine) -> None:
    """After a flush a column that nobody set is None, while an untouched relationship must load."""
    with filled.connect() as connection, connection.begin() as outer:
        options: Any = {"join_transaction_mode": "create_savepoint", "expire_on_commit": False}
        with Session(connection, **options) as session:
            slot = Slot()
            session.add(slot)
            session.commit()
        outer.rollback()
    assert "city_id" not in slot.__dict__
    assert told(slot) == set()
    assert told(slot, loaded=("city_id", "city")) == {"city"}
    assert find_broken(slot) >= {"city"}
    assert slot.city_id is None


def test_deleted_attribute(session: Session) -> None:
    """What was taken away with `del` is None, not unloaded."""
    slot = all_of(session, Slot, selectinload(Slot.city))[0]
    del slot.city_id
    del slot.city
    session.expunge(slot)
    assert told(slot, loaded="city") == set()
    assert find_broken(slot).isdisjoint({"city_id", "city"})


@pytest.mark.parametrize(("state", "title"), [("new", "made_at"), ("changed", "changed_at")])
def test_made_by_the_database(session: Session, state: str, title: str) -> None:
    """What the database fills in is fetched by a refresh, not by what mends a commit."""
    doc = Doc() if state == "new" else all_of(session, Doc)[0]
    session.add(doc)
    doc.x = 7
    session.flush()
    session.expunge(doc)
    with pytest.raises(UnloadedResultError) as caught:
        assert_detached(doc, ignore=(*DEFERRED, "size"))
    assert (
        told(doc, ignore=(*DEFERRED, "size")) == {title} == find_broken(doc) - {*DEFERRED, "size"}
    )
    assert "`eager_defaults=True` in `Doc.__mapper_args__`" in str(caught.value)


def test_deferred_by_the_mapping(session: Session) -> None:
    """What the mapping defers may be left alone; what an option of the query defers may not."""
    doc = all_of(session, Doc, load_only(Doc.title, Doc.x, Doc.y))[0]
    session.expunge(doc)
    left_out = {"made_at", "changed_at", "size", "score"}
    assert told(doc, deferred=False) == left_out
    assert told(doc, deferred=True) == {*left_out, *DEFERRED}
    assert told(doc, deferred=False, loaded="body") == {*left_out, "body"}
    assert read_status(doc).deferred == DEFERRED


def test_top_level_wins(session: Session) -> None:
    """What is in the result itself is demanded of, though a relationship leads to it sooner."""
    slot = all_of(session, Slot, selectinload(Slot.recruiter))[0]
    session.expunge_all()
    with pytest.raises(ValueError, match="no 'strict' in Slot"):
        find_troubles([slot], loaded="strict")
    (trouble,) = find_troubles([slot, [[[slot.recruiter]]]], loaded="strict")
    assert trouble.path == "result[1][0][0][0]"


def test_two_classes(session: Session) -> None:
    """A demand concerns the classes that have it, and no other."""
    result = [*all_of(session, Slot), *all_of(session, Employee)]
    session.expunge_all()
    troubles = find_troubles(result, loaded="city", ignore=("language", "level", "desk"))
    assert [trouble.path for trouble in troubles] == ["result[0]", "result[1]"]


def test_long_chain_of_instances() -> None:
    """A linked list of detached instances, told in short paths."""
    nodes = [Tree(id=number) for number in range(LONG)]
    for node, following in zip(nodes, nodes[1:], strict=False):
        node.__dict__["parent"] = following
        make_transient_to_detached(node)
    make_transient_to_detached(nodes[-1])
    with pytest.raises(UnloadedResultError) as caught:
        assert_detached(nodes[0])
    assert len(caught.value.troubles) == LONG
    assert max(len(trouble.path) for trouble in caught.value.troubles) < 120
    assert f"and {LONG - 3} more" in str(caught.value)


def test_name() -> None:
    """The result is called what the caller calls it."""
    assert find_troubles_of_pending("reply")[0].path == "reply[0]"


def find_troubles_of_pending(name: str) -> Any:
    slot = Slot()
    with Session() as session:
        session.add(slot)
        return find_troubles([slot], name=name)


# Objects.


class Color(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    ("key", "step"),
    [
        (Color.RED, "[Color.RED]"),
        (True, "[True]"),
        (-3, "[-3]"),
        ("a b", "['a b']"),
        ("postgresql://ann:secret@host/db", "[<key 0>]"),
        ("a\nb", "[<key 0>]"),
        ("x" * 41, "[<key 0>]"),
        (None, "[<key 0>]"),
        ((1, 2), "[<key 0>]"),
        (2.5, "[<key 0>]"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_keys(session: Session, key: Any, step: str) -> None:
    """Short names, numbers and members of enums are shown; what may be a value is not."""
    assert paths({key: all_of(session, Slot)[0]}) == [f"result{step}"]


def test_key_of_a_hostile_type(session: Session) -> None:
    class Name(str):  # noqa: SLOT000
        __repr__ = __str__ = __format__ = lambda self, *args: 1 / 0  # type: ignore[assignment]

    assert paths({Name("a"): all_of(session, Slot)[0]}) == ["result[<key 0>]"]


def test_attributes_that_are_not_mapped(session: Session) -> None:
    """What code has hung on an instance is looked at; what is private may be lazy."""
    slot = all_of(session, Slot)[0]
    holder: Any = Slot()
    holder.cache = [slot]
    holder._rest = iter([slot])
    assert paths(holder) == ["result.cache[0]"]
    holder.rest = iter([slot])
    assert "result.rest is of type 'list_iterator'" in refuse(holder)


def test_private_attributes(session: Session) -> None:
    """Instances under a private name count, an iterator there is the object's own business."""

    class Page:
        pass

    page: Any = Page()
    page._all, page._rest = [all_of(session, Slot)[0]], iter(())
    assert paths(page) == ["result._all[0]"]


def test_pydantic_private(session: Session) -> None:
    pydantic = pytest.importorskip("pydantic")

    class Out(pydantic.BaseModel):  # type: ignore[misc, name-defined]
        id: int
        _source: Any = pydantic.PrivateAttr()

    out = Out(id=1)
    out._source = all_of(session, Slot)[0]
    assert paths(out) == ["result._source"]


def test_weak_references(session: Session) -> None:
    """A weak reference holds nothing, and a weak proxy is no iterator."""
    slot = all_of(session, Slot)[0]
    assert paths([weakref.ref(slot), weakref.proxy(slot)]) == []


def test_proxy_that_has_every_method() -> None:
    """A proxy answers to everything: it is neither an iterator nor a coroutine, nor resolved."""
    methods = ("__next__", "__iter__", "__await__", "__anext__", "__aiter__", "__getattr__")

    def resolve(self: Any, *args: Any) -> Any:
        raise AssertionError("resolved")

    proxy = type("Proxy", (), {**dict.fromkeys(methods, resolve), "__class__": property(resolve)})
    assert paths([proxy()]) == []


def test_dictionary_of_another_class(session: Session) -> None:
    """An object may keep its attributes in a dictionary that is no plain one."""

    class Strange(dict[str, Any]):
        get = __contains__ = __iter__ = lambda self, *args: 1 / 0  # type: ignore[assignment]

    slot, other = all_of(session, Slot)
    slot.__dict__ = Strange(slot.__dict__)
    thing: Any = type("Thing", (), {})()
    thing.__dict__ = Strange(other=other)
    assert paths([slot, thing]) == ["result[0]", "result[1].other"]


def test_property_named_dict(session: Session) -> None:
    """A property may be called `__dict__`; what is in slots is found all the same."""

    class Strange:
        __slots__ = ("slot",)
        __dict__ = property(lambda self: 1 / 0)  # type: ignore[assignment]

    strange = Strange()
    strange.slot = all_of(session, Slot)[0]  # type: ignore[attr-defined]
    assert paths(strange) == ["result.slot"]


def test_class_that_cannot_be_compared(session: Session) -> None:
    """A metaclass may refuse to have its classes compared or hashed."""

    class Meta(type):
        __eq__ = __hash__ = lambda self, *args: 1 / 0  # type: ignore[assignment]

    thing = Meta("Thing", (), {})()
    thing.slot = all_of(session, Slot)[0]
    assert paths([thing, {"a": thing}]) == ["result[0].slot"]


def test_instance_that_cannot_be_compared() -> None:
    """Nor are the methods of a mapped class used."""
    boxes = [Box(id=1), Box(id=2)]
    for box in boxes:
        make_transient_to_detached(box)
    with pytest.raises(UnloadedResultError) as caught:
        assert_detached(boxes, loaded="listed")
    assert [trouble.path for trouble in caught.value.troubles] == ["result[0]", "result[1]"]


def run_async(work: Callable[[AsyncSession], Any]) -> Any:
    async def run() -> Any:
        engine = create_async_engine("sqlite+aiosqlite://")
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            async with AsyncSession(engine) as session:
                return await work(session)
        finally:
            await engine.dispose()

    return asyncio.run(run())


def test_async_session() -> None:
    """The session of an instance is the asynchronous one that the user knows."""

    async def work(session: AsyncSession) -> None:
        thing = Thing()
        session.add(thing)
        assert find_session(thing) is session

    run_async(work)


def test_async_results() -> None:
    """An asynchronous result is refused with the await that it needs, and stays as it was."""

    async def work(session: AsyncSession) -> None:
        for stream in (session.stream, session.stream_scalars):
            made = await stream(select(Box))
            assert "Pass `await result['made'].all()`" in refuse({"made": made})
            assert await made.all() == []

    run_async(work)


def test_task() -> None:
    """A task is a promise; a transaction that could be awaited is none."""

    async def work(session: AsyncSession) -> None:
        task = asyncio.ensure_future(asyncio.sleep(0))
        assert "Pass `await result`" in refuse(task)
        await task
        assert find_troubles([session, session.begin(), session.bind]) == []

    run_async(work)


def test_files() -> None:
    """A file gives lines one after the other, and is no result."""
    with open(__file__, encoding="utf-8") as file:
        assert find_troubles([file]) == []
        assert file.tell() == 0
