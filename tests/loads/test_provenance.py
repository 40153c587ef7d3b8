"""Where an object was loaded, and where its session was opened and closed: right, or not said."""

# ruff: noqa: B018 (to read an attribute is the point)

from __future__ import annotations

import contextlib
import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from loads.conftest import line_of
from loads.zoo import VERSION, Author, Post, Profile
from sqlalchemy import event, insert, select
from sqlalchemy.orm import (
    Session,
    joinedload,
    make_transient_to_detached,
    scoped_session,
    selectinload,
    sessionmaker,
    subqueryload,
)
from sqlalchemy.orm.exc import DetachedInstanceError

from pytest_sessionguard.guard import Guard

ALL = ("loaded", "opened", "closed")
WAYS: dict[str, tuple[Callable[[Any], Any], str, tuple[str, ...]]] = {}


def tells(*labels: str, of: str = "posts") -> Any:
    """Enter a function that returns a detached object, and what is told of it.

    The lines that are told end with the name of their label.
    """

    def enter(function: Any) -> Any:
        WAYS[function.__name__] = (function, of, labels)
        return function

    return enter


@tells(*ALL)
def by_get(engine):
    with Session(engine) as session:  # opened closed
        session.scalars(select(Profile)).all()
        author = session.get(Author, 1)  # loaded
        session.scalars(select(Post)).all()
    return author


@tells(*ALL)
def by_a_session_closed_twice(engine):
    session = Session(engine)  # opened
    author = session.get(Author, 1)  # loaded
    session.close()  # closed
    session.close()
    return author


@tells(*ALL)
def by_a_session_closed_in_its_block(engine):
    with Session(engine) as session:  # opened
        author = session.get(Author, 1)  # loaded
        session.close()  # closed
    return author


@tells(*ALL)
def by_a_session_whose_block_had_closed_it(engine):
    with Session(engine) as session:  # opened closed
        author = session.get(Author, 1)  # loaded
    session.close()
    with session:
        pass
    return author


@tells(*ALL)
def by_a_session_begun_again(engine):
    session = Session(engine)  # opened
    session.get(Author, 2)
    session.close()
    session.begin()
    author = session.get(Author, 1)  # loaded
    session.close()  # closed
    session.close()
    return author


@tells(*ALL)
def by_select(engine):
    with Session(engine) as session:  # opened closed
        session.scalars(select(Author.id)).all()
        return session.scalars(select(Author)).first()  # loaded


@tells(*ALL)
def by_execute(engine):
    with Session(engine) as session:  # opened closed
        return session.execute(select(Author, Post).join(Author.posts)).first()[0]  # loaded


@tells(*ALL)
def by_scalar(engine):
    with Session(engine) as session:  # opened closed
        return session.scalar(select(Author))  # loaded


@tells(*ALL)
def by_query(engine):
    with Session(engine) as session:  # opened closed
        return session.query(Author).order_by(Author.id).first()  # loaded


@tells(*ALL, of="tags")
def by_selectinload(engine):
    with Session(engine) as session:  # opened closed
        session.scalars(select(Post.id)).all()
        query = select(Author).options(selectinload(Author.posts))
        author = session.scalars(query).first()  # loaded
    return author.posts[0]


@tells(*ALL, of="tags")
def by_subqueryload(engine):
    with Session(engine) as session:  # opened closed
        query = select(Author).options(subqueryload(Author.posts))
        author = session.scalars(query).first()  # loaded
    return author.posts[0]


@tells(*ALL, of="tags")
def by_joinedload(engine):
    with Session(engine) as session:  # opened closed
        query = select(Author).options(joinedload(Author.posts)).order_by(Author.id)
        author = session.scalars(query).unique().first()  # loaded
        session.scalars(select(Profile)).all()
    return author.posts[0]


@tells(*ALL, of="tags")
def by_a_lazy_load(engine):
    with Session(engine) as session:  # opened closed
        author = session.get(Author, 1)
        posts = author.posts  # loaded
    return posts[0]


@tells(*ALL)
def by_refresh(engine):
    with Session(engine) as session:  # opened closed
        author = session.get(Author, 1)
        session.refresh(author)  # loaded
    return author


@tells(*ALL)
def by_expired_access(engine):
    with Session(engine) as session:  # opened closed
        author = session.get(Author, 1)
        session.commit()
        author.name  # loaded
    return author


@tells(*ALL)
def by_merge(engine):
    with Session(engine) as other:
        author = other.get(Author, 1)
    with Session(engine) as session:  # opened closed
        return session.merge(author)  # loaded


@tells(*ALL)
def by_yield_per(engine):
    with Session(engine) as session:  # opened closed
        query = select(Author).execution_options(yield_per=1)
        authors = list(session.scalars(query))  # loaded
    return authors[1]


@tells(*ALL)
def by_a_result_that_is_read_later(engine):
    with Session(engine) as session:  # opened closed
        result = session.scalars(select(Author))  # loaded
        session.scalars(select(Post.id))
        return result.first()


def by_returning(engine):
    with Session(engine) as session:  # opened closed
        query = insert(Author).values(name="new").returning(Author)
        return session.scalars(query).one()  # loaded


if VERSION > (2, 0, 0):  # which had no such thing for SQLite
    tells(*ALL)(by_returning)


@tells(*ALL)
def by_an_event_of_a_flush(engine):
    found = []

    def before_flush(session, context, instances):
        found.append(session.get(Author, 1))  # loaded

    with Session(engine) as session:  # opened closed
        event.listen(session, "before_flush", before_flush)
        session.add(Author(name="new"))
        session.scalars(select(Post)).all()
    return found[0]


@tells("opened", "closed")
def by_a_flush(engine):
    with Session(engine, expire_on_commit=False) as session:  # opened closed
        author = Author(name="new")
        session.add(author)
        session.commit()
    return author


@tells("loaded", "opened")
def left_by_expunge(engine):
    session = Session(engine)  # opened
    author = session.get(Author, 1)  # loaded
    session.expunge(author)
    kept.append(session)
    return author


@tells("loaded", "opened", of="tags")
def left_by_a_cascaded_expunge(engine):
    session = Session(engine)  # opened
    query = select(Author).options(selectinload(Author.posts))
    author = session.scalars(query).first()  # loaded
    session.expunge(author)
    kept.append(session)
    return author.posts[0]


@tells("loaded", "opened")
def left_by_expunge_all(engine):
    session = Session(engine)  # opened
    author = session.get(Author, 1)  # loaded
    session.expunge_all()
    kept.append(session)
    return author


@tells(*ALL)
def left_by_close(engine):
    session = Session(engine)  # opened
    author = session.get(Author, 1)  # loaded
    session.close()  # closed
    return author


@tells(*ALL)
def left_by_contextlib(engine):
    with contextlib.closing(Session(engine)) as session:  # opened closed
        return session.get(Author, 1)  # loaded


@tells(*ALL)
def left_by_invalidate(engine):
    session = Session(engine)  # opened
    author = session.get(Author, 1)  # loaded
    session.invalidate()  # closed
    return author


@tells(*ALL)
def left_by_a_factory_of_transactions(engine):
    with sessionmaker(engine, expire_on_commit=False).begin() as session:  # opened closed
        return session.get(Author, 1)  # loaded


@tells(*ALL)
def left_by_a_registry(engine):
    registry = scoped_session(sessionmaker(engine))
    author = registry.get(Author, 1)  # opened loaded
    registry.remove()  # closed
    return author


@tells(*ALL)
def left_by_an_exception(engine):
    with contextlib.suppress(ZeroDivisionError), Session(engine) as session:  # opened closed
        author = session.get(Author, 1)  # loaded
        1 / 0
    return author


@tells("loaded", of="bio")
def left_by_deletion(engine):
    session = Session(engine)
    author = session.get(Author, 3)  # loaded
    session.delete(author)
    session.commit()
    kept.append(session)
    return author


@tells("loaded", "opened")
def left_by_the_collector(engine):
    session = Session(engine)  # opened
    author = session.get(Author, 1)  # loaded
    del session
    return author


class Service:
    def __init__(self, engine: Any) -> None:
        self.session = MySession(engine)  # opened

    def load(self) -> Any:
        return self.session.get(Author, 1)  # loaded

    def close(self) -> None:
        self.session.close()  # closed


class MySession(Session):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)


@tells(*ALL)
def through_a_service(engine):
    service = Service(engine)
    author = service.load()
    service.close()
    return author


@tells(*ALL)
def with_a_session_inside(engine):
    with Session(engine) as session:  # opened closed
        author = session.get(Author, 1)  # loaded
        with Session(engine) as inner:
            inner.get(Author, 1)
    return author


@tells(*ALL)
def of_a_session_inside(engine):
    with Session(engine) as session:
        session.get(Author, 1)
        with Session(engine) as inner:  # opened closed
            author = inner.get(Author, 1)  # loaded
        session.get(Author, 2)
    return author


@tells(*ALL)
def moved_to_another_session(engine):
    with Session(engine) as session:  # opened closed
        session.get(Post, 1)
        with Session(engine) as other:
            author = other.get(Author, 1)  # loaded
        session.get(Post, 2)
        session.add(author)
    return author


@tells(*ALL)
def moved_and_refreshed(engine):
    with Session(engine) as session:  # opened closed
        with Session(engine) as other:
            author = other.get(Author, 1)
        session.add(author)
        session.refresh(author)  # loaded
    return author


@tells("opened", "closed")
def of_long_ago(engine):
    with Session(engine) as session:  # opened closed
        author = session.get(Author, 1)
        for _ in range(4100):
            session.scalar(select(Post.id))
    return author


@tells(*ALL)
def unpickled_and_added(engine):
    with Session(engine) as session:
        data = pickle.dumps(session.get(Author, 1))
    author = pickle.loads(data)
    with Session(engine, expire_on_commit=False) as session:  # opened closed
        session.add(author)
        session.refresh(author)  # loaded
    return author


@tells()
def unpickled(engine):
    with Session(engine) as session:
        author = session.get(Author, 1)
    return pickle.loads(pickle.dumps(author))


@tells()
def deep_copied(engine):
    with Session(engine) as session:
        author = session.get(Author, 1)
    return copy.deepcopy(author)


@tells()
def made_detached(engine):
    author = Author(id=1, name="ada")
    make_transient_to_detached(author)
    return author


@tells()
def merged_without_load(engine):
    with Session(engine) as session:
        author = session.get(Author, 1)
    with Session(engine) as session:
        merged = session.merge(author, load=False)
        session.expunge(merged)
        return pickle.loads(pickle.dumps(merged))


kept: list[Any] = []


@pytest.fixture(autouse=True)
def _close_what_was_kept() -> Any:
    yield
    while kept:
        kept.pop().close()


LABELS = {"loaded at": "loaded", "session": "opened", "closed": "closed"}


@pytest.mark.parametrize("key", WAYS)
def test_places(key: str, watching: Any, engine: Any, collect: Any) -> None:
    """Each place that is told is the right one."""
    function, attribute, labels = WAYS[key]
    thing = function(engine)
    collect()
    with pytest.raises(DetachedInstanceError) as info:
        getattr(thing, attribute)
    watching.account.faults[-1].expected = False
    (finding,) = [f for f in watching.end() if f.rule == "SG303"]
    told = {place.label for place in finding.places[1:]}
    assert set(labels) == {LABELS[label] for label in told}
    for label in told:
        assert LABELS[label] in line_of(finding, label).partition("#")[2].split()
    lines = len({"loaded", "opened"}.intersection(labels))  # closed stands behind opened
    assert lines + 2 == len(info.value.__notes__)


def test_origin_while_attached(watching: Any, engine: Any) -> None:
    """The query is told of a load, too, whose session is still there."""
    with Session(engine) as session:
        thing = session.get(Author, 1)  # loaded
        thing.posts
    (finding,) = [f for f in watching.end() if f.rule == "SG401"]
    assert line_of(finding, "loaded at").endswith("# loaded")


def test_block_with_an_end(watching: Any, engine: Any) -> None:
    """Where its own block closed a session, the place tells the block's last line."""
    thing = by_get(engine)
    with contextlib.suppress(DetachedInstanceError):
        thing.posts
    (finding,) = watching.end()
    (place,) = [place for place in finding.places if place.label == "closed"]
    line = place.site.frames[0].line
    assert f"the block of {{}}, which ends at line {line + 3}" == place.text


def test_older_than_the_watching(watching: Any, engine: Any) -> None:
    """A session that was there before is not known, and nothing wrong is said of it."""
    watching.guard._watchers.remove()
    guard = Guard("/")
    session = Session(engine)
    author = session.get(Author, 1)
    guard.start()
    try:
        session.close()
        with pytest.raises(DetachedInstanceError) as info:
            author.posts
        assert None is guard.shield.fault
    finally:
        guard.stop()
    first, *_, last = info.value.__notes__
    assert first == "sessionguard: Author.posts was not loaded"
    assert last.startswith("  - to mend it")


def test_expunge_of_what_is_not_there(watching: Any, engine: Any) -> None:
    """What SQLAlchemy refuses to expunge, it refuses as before."""
    from sqlalchemy.exc import InvalidRequestError
    from sqlalchemy.orm.exc import UnmappedInstanceError

    author = by_get(engine)
    with Session(engine) as session:
        for thing, error in (
            ("a text", UnmappedInstanceError),
            (None, UnmappedInstanceError),
            (author, InvalidRequestError),
            (Author(), InvalidRequestError),
        ):
            with pytest.raises(error):
                session.expunge(thing)
    with contextlib.suppress(DetachedInstanceError):
        author.posts
    (finding,) = watching.end()
    assert "closed" in line_of(finding, "closed"), "the session that had it, not the other one"
