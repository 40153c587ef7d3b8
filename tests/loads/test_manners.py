"""Installing and removing the watchers of loads leaves every class as it was."""

# ruff: noqa: B018 (to read an attribute is the point)

from __future__ import annotations

import inspect
import unittest
from typing import Any
from unittest import mock

import pytest
from loads.zoo import Author, Base, Post
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.orm.exc import DetachedInstanceError

from pytest_sessionguard.ledger import Ledger
from pytest_sessionguard.shield import Shield
from pytest_sessionguard.watch import Watchers
from pytest_sessionguard.watch.faults import FAULTS
from pytest_sessionguard.watch.private import find_attribute_loader

LOADER = find_attribute_loader()
assert LOADER is not None
EXPECTING = (type(pytest.raises(ValueError)), type(unittest.TestCase().assertRaises(ValueError)))
CLASSES = (Session, AsyncSession, InstrumentedAttribute, LOADER[0], *FAULTS, *EXPECTING, Author)


def attributes() -> dict[tuple[type, str], int]:
    """The identity of every attribute of the classes that are, or might be, touched."""
    return {
        (class_, name): id(value)
        for class_ in CLASSES
        for name, value in vars(class_).items()
        # What SQLAlchemy fills as it is used.
        if name not in ("dispatch", "_sa_event_dispatch_target")
    }


def make_watchers() -> Watchers:
    return Watchers(Ledger(), Shield(), str, list, EXPECTING)


@pytest.mark.parametrize("with_masks", (False, True), ids=("", "masks"))
def test_classes_are_as_before(with_masks: bool, bare: None) -> None:
    """After removal every attribute is the very object it was, and no class has one more."""
    before = attributes()
    watchers = make_watchers()
    for _ in range(3):
        if with_masks:
            watchers.install_masks()
        watchers.install()
        changed = {key for key, value in attributes().items() if before.get(key) != value}
        wanted = {
            *((Session, name) for name in ("execute", "scalar", "scalars", "expunge")),
            (Session, "expunge_all"),
            LOADER,
            *((class_, "__init__") for class_ in FAULTS),
            *((class_, "__exit__") for class_ in EXPECTING),
            *((class_, "matches") for class_ in EXPECTING if hasattr(class_, "matches")),
        }
        if with_masks:
            wanted |= {(InstrumentedAttribute, "__get__"), (InstrumentedAttribute, "__set__")}
        assert wanted <= changed
        others = {class_ for class_, _ in changed - wanted}
        assert others <= {Session, AsyncSession}
        watchers.remove()
        assert before == attributes()


def test_exceptions_without_a_method_of_their_own(bare: None) -> None:
    """What an exception's class inherits, it inherits again."""
    assert all("__init__" not in vars(class_) for class_ in FAULTS)
    watchers = make_watchers()
    watchers.install()
    assert all("__init__" in vars(class_) for class_ in FAULTS)
    watchers.remove()
    assert all("__init__" not in vars(class_) for class_ in FAULTS)


def test_what_inspection_sees(watching: Any) -> None:
    """Signatures, names and docstrings of the wrapped methods are those of the originals."""
    methods = [
        *((Session, name) for name in ("execute", "scalar", "scalars", "expunge", "expunge_all")),
        LOADER,
        *((class_, "__init__") for class_ in FAULTS),
        *((class_, "__exit__") for class_ in EXPECTING),
    ]
    for class_, name in methods:
        method = vars(class_)[name]
        original = method.__wrapped__
        assert original.__qualname__ == method.__qualname__
        assert original.__doc__ == method.__doc__
        assert inspect.signature(original) == inspect.signature(method)
        assert not inspect.iscoroutinefunction(method)


def test_mapping_while_watched(watching: Any, engine: Any) -> None:
    """Classes may be mapped, and their expressions used, while all is watched."""
    watching.guard.watch_masks()
    assert isinstance(Author.posts, InstrumentedAttribute)
    assert "authors.name = :name_1" in str(Author.name == "ada")

    class Late(Base):
        __table__ = Post.__table__

    with Session(engine) as session:
        assert "one" == session.get(Late, 1).title
    Base.registry._dispose_cls(Late)


def test_removed_watchers_see_nothing(bare: None, watching: Any, engine: Any) -> None:
    """After removal nothing is refused, recorded or noted any more."""
    with Session(engine) as session:
        author = session.get(Author, 1)
        watching.ledger.refusals.append(lambda load: ZeroDivisionError())
        watching.guard._watchers.remove()
        author.posts
        watching.ledger.refusals.clear()
    with pytest.raises(DetachedInstanceError) as info:
        author.bio
    assert not hasattr(info.value, "__notes__")
    assert ({}, []) == (watching.account.loads, watching.account.faults)


def test_a_patch_of_the_users(watching: Any, engine: Any) -> None:
    """Doubles of what is wrapped work as they do without the guard."""
    with mock.patch.object(Session, "scalars", autospec=True, return_value="double") as double:
        with Session(engine) as session:
            assert "double" == session.scalars("query")
        double.assert_called_once_with(session, "query")
    with Session(engine) as session:
        with mock.patch.object(session, "execute", return_value="double"):
            assert "double" == session.execute("query")
        assert 3 == session.query(Author).count()
    assert "_sessionguard" not in vars(mock.create_autospec(Session, instance=True))


def test_a_subclass_of_the_users(watching: Any, engine: Any) -> None:
    """A session that overrides `execute` is called as it was, and its readings are seen."""
    calls: list[str] = []

    class MySession(Session):
        def execute(self, statement: Any, *arguments: Any, **options: Any) -> Any:
            calls.append("execute")
            for post in list(self.identity_map.values()):
                assert post.author is None  # needs no statement
            return super().execute(statement, *arguments, **options)

    with MySession(engine) as session:
        post = session.get(Post, 5)
        post.tags
    assert ["execute", "execute"] == calls
    assert ["SG401 Post.tags relationship"] == watching.found()


def test_results_and_errors_pass(watching: Any, engine: Any) -> None:
    """What SQLAlchemy returns and raises comes through as it is."""
    from sqlalchemy.exc import ArgumentError, OperationalError
    from sqlalchemy.orm.exc import ObjectDeletedError

    with Session(engine) as session:
        with pytest.raises(ArgumentError):
            session.execute("no statement")  # type: ignore[call-overload]
        with pytest.raises(TypeError):
            session.execute()  # type: ignore[call-overload]
        author = session.get(Author, 3)
        session.query(Author).filter_by(id=3).delete(synchronize_session=False)
        session.expire(author)
        with pytest.raises(ObjectDeletedError):
            author.name
        with pytest.raises(AttributeError):
            author.nothing
        session.connection().exec_driver_sql("DROP TABLE profiles")
        with pytest.raises(OperationalError):
            session.get(Author, 1).profile
        session.rollback()
    assert [] == watching.account.faults
