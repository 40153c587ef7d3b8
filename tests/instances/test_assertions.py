"""`assert_detached` and `assert_loaded`: what they let pass, what they find, and what they say."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from instances.world import (
    Base,
    City,
    Clerk,
    Doc,
    Employee,
    Engineer,
    Recruiter,
    Slot,
    all_of,
    fill,
    find_broken,
)
from sqlalchemy import Engine, select
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import (
    Session,
    defer,
    joinedload,
    load_only,
    selectin_polymorphic,
    selectinload,
    undefer,
    undefer_group,
)

from pytest_sessionguard import (
    AttachedResultError,
    UnloadedResultError,
    assert_detached,
    assert_loaded,
)

PAGES = ("body", "page", "cover", "sealed")


def refuse_attached(result: Any, **demands: Any) -> AttachedResultError:
    """The error of a result that belongs to a session."""
    with pytest.raises(AttachedResultError) as caught:
        assert_detached(result, **demands)
    return caught.value


def refuse_unloaded(result: Any, **demands: Any) -> UnloadedResultError:
    """The error of a result that is not loaded."""
    with pytest.raises(UnloadedResultError) as caught:
        assert_detached(result, **demands)
    return caught.value


def names(error: UnloadedResultError) -> set[str]:
    """All attributes of an error."""
    return {name for trouble in error.troubles for name in trouble.attributes}


def let_go(session: Session, model: type[Any], *options: Any) -> list[Any]:
    """All rows of a class, detached as they were loaded."""
    rows = all_of(session, model, *options)
    session.expunge_all()
    return rows


# How a service lets go of what it returns.


def test_committed_and_expunged(session: Session) -> None:
    """The most frequent fault: the commit expired what is returned."""
    slots = all_of(session, Slot)
    session.commit()
    session.expunge_all()
    assert names(refuse_unloaded(slots)) == {"id", "city_id", "recruiter_id"}


def test_committed_refreshed_and_expunged(session: Session) -> None:
    """The mend: what is refreshed is loaded."""
    (slot, other) = all_of(session, Slot)
    session.commit()
    session.refresh(slot)
    session.expunge(slot)
    assert assert_detached(slot) is slot
    assert other in session


def test_committed_and_closed(session: Session) -> None:
    """Closing detaches, and leaves expired what is expired."""
    slots = all_of(session, Slot)
    session.commit()
    session.close()
    assert names(refuse_unloaded(slots)) == {"id", "city_id", "recruiter_id"}


def test_added_committed_and_closed(filled: Engine) -> None:
    """A new row has no values after the commit either."""
    with filled.connect() as connection, connection.begin() as outer:
        with Session(connection, join_transaction_mode="create_savepoint") as session:
            city = City(name="Bonn")
            session.add(city)
            session.commit()
        outer.rollback()
    assert names(refuse_unloaded(city)) == {"id", "name"}


def test_no_expiry(filled: Engine) -> None:
    """With `expire_on_commit=False` a commit leaves everything loaded."""
    with Session(filled, expire_on_commit=False) as session:
        slots = all_of(session, Slot)
        session.commit()
    assert assert_detached(slots) is slots


def test_closed_without_commit(session: Session) -> None:
    """A query and a closed session: nothing has expired."""
    slots = all_of(session, Slot)
    session.close()
    assert assert_detached(slots) is slots


def test_attached(session: Session) -> None:
    """An open session is found, whatever is loaded."""
    slots = all_of(session, Slot)
    error = refuse_attached(slots)
    assert [trouble.kind for trouble in error.troubles] == ["attached", "attached"]
    assert error.troubles[0].instance is slots[0]


def test_one_of_many_attached(session: Session) -> None:
    """One instance is enough, and attached ones come first."""
    (first, second) = all_of(session, Slot)
    session.expire(first)
    session.expunge(first)
    error = refuse_attached([first, second])
    assert "1 instance of the result still belongs" in str(error)
    assert str(error).index("result[1]") < str(error).index("result[0]")


def test_pending(session: Session) -> None:
    """What was added and not flushed."""
    slot = Slot()
    session.add(slot)
    assert "It has not been flushed" in str(refuse_attached(slot))


def test_deleted(session: Session) -> None:
    """What was deleted and not committed."""
    slot = all_of(session, Slot)[1]
    session.delete(slot)
    session.flush()
    assert "Its row is deleted" in str(refuse_attached(slot))


def test_behind_a_relationship(session: Session) -> None:
    """An instance that a relationship leads to counts as any other."""
    slot = all_of(session, Slot, joinedload(Slot.recruiter))[0]
    session.expunge(slot)
    (trouble,) = refuse_attached(slot).troubles
    assert trouble.path == "result.recruiter"


def run_async(work: Callable[[AsyncSession], Any], **options: Any) -> Any:
    """Run a piece of work with an asynchronous session of a database of its own."""

    async def run() -> Any:
        engine = create_async_engine("sqlite+aiosqlite://")
        try:
            async with engine.begin() as connection:
                await connection.run_sync(Base.metadata.create_all)
            async with AsyncSession(engine) as session:
                await session.run_sync(fill)
                await session.commit()
            async with AsyncSession(engine, **options) as session:
                return await work(session)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def get_slots(session: AsyncSession) -> list[Slot]:
    return list(await session.scalars(select(Slot).order_by(Slot.id)))


def test_async_attached() -> None:
    """The session of an `AsyncSession` is open too, and the words are its words."""

    async def work(session: AsyncSession) -> str:
        return str(refuse_attached(await get_slots(session)))

    assert "`async with async_session() as session:`" in run_async(work)


def test_async_closed() -> None:
    """A closed one has let go."""
    slots = run_async(get_slots)
    assert assert_detached(slots) is slots


async def commit_slots(session: AsyncSession) -> list[Slot]:
    slots = await get_slots(session)
    await session.commit()
    return slots


def test_async_expired() -> None:
    """After a commit what is detached is expired, unless the session does not expire."""
    assert names(refuse_unloaded(run_async(commit_slots))) == {"id", "city_id", "recruiter_id"}
    assert assert_detached(run_async(commit_slots, expire_on_commit=False))


# What is not loaded, and what may be.


def test_deferred(session: Session) -> None:
    """A deferred column raises when it is read, so it counts."""
    docs = let_go(session, Doc)
    error = refuse_unloaded(docs)
    assert names(error) == set(PAGES)
    assert "ignore=('body', 'page', 'cover', 'sealed')" in str(error)
    assert find_broken(docs[0]) == set(PAGES)


def test_deferred_and_ignored(session: Session) -> None:
    """What is deferred on purpose may stay unloaded, by name or attribute."""
    docs = let_go(session, Doc)
    assert assert_detached(docs, ignore=PAGES) is docs
    ignored = (Doc.body, Doc.page, Doc.cover, "sealed")
    assert assert_detached(docs, ignore=ignored) is docs
    assert names(refuse_unloaded(docs, ignore=["body", Doc.page])) == {"cover", "sealed"}


def test_undeferred(session: Session) -> None:
    """The mend that the message tells."""
    options = (undefer(Doc.body), undefer_group("pages"), undefer(Doc.sealed))
    docs = let_go(session, Doc, *options)
    assert assert_detached(docs) is docs


def test_deferred_by_the_query(session: Session) -> None:
    """An option of the query defers too."""
    error = refuse_unloaded(let_go(session, Slot, defer(Slot.city_id)))
    assert names(error) == {"city_id"}
    assert "or name them in `load_only()`" in str(error)


def test_load_only(session: Session) -> None:
    """What `load_only` leaves out is not loaded, the key always is."""
    slots = let_go(session, Slot, load_only(Slot.city_id))
    assert names(refuse_unloaded(slots)) == {"recruiter_id"}
    assert assert_detached(slots, ignore="recruiter_id") is slots


def test_expired_and_ignored(session: Session) -> None:
    """An expired column may be ignored too; the others still count."""
    (slot, _) = all_of(session, Slot)
    session.expire(slot, ["city_id"])
    session.expunge(slot)
    assert names(refuse_unloaded(slot)) == {"city_id"}
    assert assert_detached(slot, ignore=Slot.city_id) is slot


def test_flushed(session: Session) -> None:
    """A flush expires SQL expressions; `expire_on_commit=False` would not help."""
    doc = Doc()
    session.add(doc)
    session.flush()
    session.expunge(doc)
    error = refuse_unloaded(doc, ignore=("made_at", *PAGES))
    assert names(error) == {"size"}
    assert "Fix: `session.refresh(obj)` after the flush." in str(error)
    assert "expire_on_commit" not in str(error)


def test_subclass_columns(session: Session) -> None:
    """A query for the base class leaves out the columns of the subclasses."""
    error = refuse_unloaded(let_go(session, Employee))
    assert names(error) == {"language", "level", "desk"}
    assert "selectin_polymorphic(Employee, [Engineer])" in str(error)


def test_subclass_columns_loaded(session: Session) -> None:
    """The mend that the message tells, and the query for the subclass itself."""
    option = selectin_polymorphic(Employee, [Engineer, Clerk])
    assert assert_detached(let_go(session, Employee, option))
    assert assert_detached(let_go(session, Engineer))


def test_ignored_in_subclasses(session: Session) -> None:
    """What is ignored in a base class is ignored in its subclasses."""
    engineers = let_go(session, Engineer, defer(Engineer.name))
    assert assert_detached(engineers, ignore=Employee.name) is engineers


def test_relationships_do_not_count(session: Session) -> None:
    """Nobody loads all relationships: they count when they are demanded."""
    slots = let_go(session, Slot)
    assert assert_detached(slots) is slots


@pytest.mark.parametrize(
    ("loaded", "missing"),
    [
        ("city", {"city"}),
        (Slot.city, {"city"}),
        (("city", "recruiter.city"), {"city", "recruiter"}),
        (["city", Slot.recruiter], {"city", "recruiter"}),
        ({"city"}, {"city"}),
        (Recruiter.city, None),
        ((), set()),
    ],
    ids=["name", "attribute", "dotted", "list", "set", "elsewhere", "nothing"],
)
def test_demanded(session: Session, loaded: Any, missing: set[str] | None) -> None:
    """A demanded relationship must be loaded, however it is written."""
    slots = let_go(session, Slot)
    if missing is None:
        with pytest.raises(ValueError, match="no instance of Recruiter, only of Slot"):
            assert_detached(slots, loaded=loaded)
    elif missing:
        assert names(refuse_unloaded(slots, loaded=loaded)) == missing
    else:
        assert assert_detached(slots, loaded=loaded) is slots


def test_demanded_and_loaded(session: Session) -> None:
    """What is loaded passes, None too: the second slot has no city."""
    options = (selectinload(Slot.city), selectinload(Slot.recruiter).selectinload(Recruiter.city))
    slots = let_go(session, Slot, *options)
    assert slots[1].city is None
    assert assert_detached(slots, loaded=("city", "recruiter.city")) is slots
    assert assert_detached(slots, loaded=(Slot.city, Recruiter.city)) is slots


def test_demanded_behind(session: Session) -> None:
    """The end of a dotted name is told at the instance that lacks it."""
    slots = let_go(session, Slot, selectinload(Slot.recruiter))
    error = refuse_unloaded(slots, loaded="recruiter.city")
    (trouble,) = error.troubles
    assert (trouble.path, trouble.attributes) == ("result[0].recruiter", ("city",))
    assert "selectinload(Slot.recruiter).selectinload(Recruiter.city)" in str(error)


def test_demanded_proxy(session: Session) -> None:
    """An association proxy is what it reads."""
    recruiters = let_go(session, Recruiter)
    assert names(refuse_unloaded(recruiters, loaded="cities")) == {"slots"}
    option = selectinload(Recruiter.slots).selectinload(Slot.city)
    session.expunge_all()
    assert assert_detached(let_go(session, Recruiter, option), loaded=Recruiter.cities)


@pytest.mark.parametrize(
    ("demands", "words"),
    [
        ({"loaded": "citi"}, ["'citi' in Slot", "'city'"]),
        ({"loaded": "recruiter.cty"}, ["'cty' in Recruiter", "'city'"]),
        ({"loaded": "city_id.name"}, ["Slot.city_id is no relationship", "'name'"]),
        ({"loaded": "log"}, ["Slot.log is a write_only relationship"]),
        ({"loaded": Doc.title}, ["Doc.title", "no instance of Doc"]),
        ({"loaded": "x y"}, ["no 'x y' in Slot, only city, city_id"]),
        ({"ignore": "city_idd"}, ["'city_idd' in Slot", "'city_id'"]),
        ({"ignore": "city"}, ["city is no column"]),
    ],
    ids=["typo", "dotted", "no-relationship", "live", "class", "far", "ignore", "ignored-rel"],
)
def test_wrong_names(session: Session, demands: dict[str, Any], words: list[str]) -> None:
    """A name that nothing has is refused, so that no check is lost to a typo."""
    with pytest.raises(ValueError) as caught:
        assert_detached(let_go(session, Slot), **demands)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("demand", [3, object, [3], {"city": 1}], ids=str)
def test_wrong_types(session: Session, demand: Any) -> None:
    """A demand is made of names and ORM attributes."""
    with pytest.raises(TypeError, match="given by name"):
        assert_detached(let_go(session, Slot), loaded=demand)


@pytest.mark.parametrize("result", [None, [], {}, 3, "slot"], ids=repr)
def test_no_instances(result: Any) -> None:
    """A result without instances is fine, and comes back as it is."""
    assert assert_detached(result) is result
    assert assert_detached(result, loaded="city", ignore="name") is result


def test_nothing_is_loaded(session: Session, sql: list[str]) -> None:
    """Neither assertion loads anything, of attached instances either."""
    slots = all_of(session, Slot)
    session.expire_all()
    sql.clear()
    refuse_attached(slots, loaded=("city", "recruiter.city"))
    with pytest.raises(UnloadedResultError):
        assert_loaded(slots, "city")
    assert sql == []


# assert_loaded


def test_loaded(session: Session) -> None:
    """Of an attached instance too, and the object comes back."""
    slot = all_of(session, Slot, selectinload(Slot.recruiter))[0]
    assert assert_loaded(slot) is slot
    assert assert_loaded(slot, "recruiter", Slot.city_id, "recruiter.name") is slot
    slots = [slot]
    assert assert_loaded(slots, "recruiter") is slots


def test_not_loaded(session: Session) -> None:
    """Columns without names, and whatever is named."""
    slot = all_of(session, Slot)[0]
    with pytest.raises(UnloadedResultError) as caught:
        assert_loaded(slot, "city", Slot.recruiter, "id")
    assert names(caught.value) == {"city", "recruiter"}
    session.expire(slot)
    with pytest.raises(UnloadedResultError) as caught:
        assert_loaded(slot)
    assert names(caught.value) == {"id", "city_id", "recruiter_id"}
    assert "loads it there and then" in str(caught.value)


def test_composite_and_synonym(session: Session) -> None:
    """They are the columns that they are made of."""
    doc = let_go(session, Doc, load_only(Doc.x))[0]
    with pytest.raises(UnloadedResultError) as caught:
        assert_loaded(doc, "point", "name")
    assert names(caught.value) == {"y", "title"}


def test_hybrid(session: Session) -> None:
    """What is computed is never loaded."""
    with pytest.raises(ValueError, match="Doc.label is computed"):
        assert_loaded(let_go(session, Doc)[0], "label")


def test_loaded_wrong_name(session: Session) -> None:
    """A typo is told with what is near."""
    with pytest.raises(ValueError, match="did you mean 'city'"):
        assert_loaded(let_go(session, Slot)[0], "citi")


def test_loaded_refuses(session: Session) -> None:
    """A generator is not used up."""
    made = iter([1])
    with pytest.raises(TypeError, match=r"Pass `list\(obj\)`"):
        assert_loaded(made, "city")
    assert list(made) == [1]


# What they say.

ATTACHED = """\
SG301 attached-result: 2 instances still belong to a session

  found at      result[0..1]: Slot, persistent

  Its session is still open: a commit expires what the caller holds, and reading what is not \
loaded loads it, or fails.
  Fix: return it after `with Session(engine) as session:` has ended, `session.expunge(obj)` once \
all is loaded, or return data."""

UNLOADED = """\
SG302 unloaded-result: 3 instances have attributes that are not loaded

  found at      result[0..1]: Slot, detached, not loaded: city
                result[2]: Doc, detached, not loaded: body, page, cover, sealed

  Reading `result[0].city` raises DetachedInstanceError.
  Fix: `selectinload(Slot.city)` in the query's `options()`.
  Fix: `undefer(Doc.body), undefer(Doc.page)` in the query's `options()`.
  Accept: assert_detached(..., ignore=('body', 'page', 'cover', 'sealed')) where this is on \
purpose."""


def leave_out_places(error: AssertionError) -> str:
    """A message without where the session was opened and closed: this is not the place for that."""
    lines = str(error).splitlines()
    return "\n".join(line for line in lines if "conftest.py:" not in line)


def test_text_of_attached(session: Session) -> None:
    """The whole message, word for word."""
    assert leave_out_places(refuse_attached(all_of(session, Slot))) == ATTACHED


def test_text_of_unloaded(session: Session) -> None:
    """The whole message, word for word."""
    result = [*let_go(session, Slot), *let_go(session, Doc)]
    assert leave_out_places(refuse_unloaded(result, loaded="city")) == UNLOADED


SECRET = "s3cr3t"


def test_length_and_values(session: Session) -> None:
    """However much is wrong, 14 lines tell it, and no value is in them."""
    session.add_all(
        [
            City(name=SECRET),
            Recruiter(name=SECRET),
            Doc(title=SECRET, body=SECRET),
            Engineer(name=SECRET, language=SECRET),
            Clerk(name=SECRET, desk=SECRET),
        ]
    )
    session.flush()
    session.expunge_all()
    loose = [row for model in (Doc, Employee) for row in let_go(session, model)]
    expired = all_of(session, City)
    for row in expired:
        session.expire(row, ["name"])
    session.expunge_all()
    slots = let_go(session, Slot)
    left = refuse_unloaded({f"{SECRET}@example.org": [loose, expired, slots]}, loaded=Slot.city)
    bound = refuse_attached([loose, expired, slots, all_of(session, Recruiter)], loaded="city")
    for text in (str(left), str(bound)):
        assert len(text.splitlines()) <= 14
        assert SECRET not in text
        assert "0x" not in text


def test_error_travels(session: Session) -> None:
    """The errors survive pickling, with what they found."""
    error = refuse_unloaded(let_go(session, Doc))
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin), twin.troubles) == (type(error), str(error), error.troubles)


def test_without_the_plugin(tmp_path: Path) -> None:
    """Both assertions work where the plugin is switched off."""
    (tmp_path / "test_it.py").write_text(
        "import pytest\n"
        "from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column\n"
        "from pytest_sessionguard import AttachedResultError, assert_detached, assert_loaded\n"
        "class Base(DeclarativeBase):\n    pass\n"
        "class User(Base):\n"
        "    __tablename__ = 'user'\n"
        "    id: Mapped[int] = mapped_column(primary_key=True)\n"
        "def test_it():\n"
        "    user = User(id=1)\n"
        "    assert assert_detached(user) is assert_loaded(user) is user\n"
        "    with Session() as session:\n"
        "        session.add(user)\n"
        "        with pytest.raises(AttachedResultError):\n"
        "            assert_detached([user])\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:sessionguard", "-p", "no:xdist"]
    run = subprocess.run([*command, "."], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout
