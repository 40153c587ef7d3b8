"""SG403: what the session that a test shares with the code hides."""

# ruff: noqa: E501 (lines are as long as a user sees them)

from __future__ import annotations

from typing import Any

import pytest

MODELS = """
    from sqlalchemy import ForeignKey, create_engine, select
    from sqlalchemy.orm import (DeclarativeBase, Mapped, Session, joinedload, mapped_column,
                                relationship, selectinload)

    class Base(DeclarativeBase): pass

    class Author(Base):
        __tablename__ = "authors"
        id: Mapped[int] = mapped_column(primary_key=True)
        posts: Mapped[list["Post"]] = relationship(back_populates="author")

    class Post(Base):
        __tablename__ = "posts"
        id: Mapped[int] = mapped_column(primary_key=True)
        author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
        author: Mapped[Author] = relationship(back_populates="posts")

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine)
"""
APP = """
    from models import *

    def authors(session):
        post = session.scalars(select(Post)).one()
        return [post.author.id]

    def authors_loaded(session):
        query = select(Post).options(selectinload(Post.author))
        return [post.author.id for post in session.scalars(query)]

    def posts(session):
        return [len(author.posts) for author in session.scalars(select(Author))]

    def posts_joined(session):
        query = select(Author).options(joinedload(Author.posts))
        return [len(author.posts) for author in session.scalars(query).unique()]

    def moved(session):
        post = session.scalars(select(Post)).one()
        post.author = Author()
        session.flush()
        return post.author.id

    def own_session():
        with Session(engine) as session:
            return [post.author.id for post in session.scalars(select(Post))]
"""
CONFTEST = """
    import pytest
    from models import *

    @pytest.fixture
    def session():
        with engine.connect() as connection, connection.begin() as transaction:
            with Session(connection) as session:
                kept = Post(author=Author())  # a session holds its objects weakly
                session.add(kept)
                session.flush()
                yield session
            transaction.rollback()
"""


def suite(project: Any, body: str, *, before: str = "pass") -> Any:
    test = f"""
    from app import *

    def test_a(session):
        {before}
        {body}
    """
    files = {"models.py": MODELS, "app.py": APP, "conftest.py": CONFTEST, "test_x.py": test}
    return project(files)


@pytest.mark.parametrize(
    ("call", "line", "attribute"),
    [
        ("assert authors(session) == [1]", "app.py:5", "Post.author"),
        ("assert posts(session) == [1]", "app.py:12", "Author.posts"),
    ],
)
def test_masked(project: Any, call: str, line: str, attribute: str) -> None:
    """What the fixture made is not loaded by the code's own query, and is told at its line."""
    run = suite(project, call).run("--sessionguard-error=SG403")

    assert run.found == ["SG403 test_a"]
    assert str(run.findings[0].site).startswith(f"{line} in ")
    assert run.findings[0].facts["attribute"] == attribute


def test_found_among_the_objects(project: Any) -> None:
    """A relationship that is expired, whose object the session still has, needs no query."""
    before = "kept = session.scalars(select(Post)).one(), session.scalars(select(Author)).one()"
    before += "; session.expire(kept[0], ['author'])"
    run = suite(project, "assert authors(session) == [1]", before=before).run(
        "--sessionguard-warn=SG403"
    )

    assert run.found == ["SG403 test_a"]


@pytest.mark.parametrize(
    ("call", "before"),
    [
        ("assert authors_loaded(session) == [1]", "pass"),
        ("assert posts_joined(session) == [1]", "pass"),
        ("assert moved(session) == 2", "pass"),
        ("own_session()", "pass"),
        ("assert authors(session) == [1]", "session.expunge_all()"),
        ("assert posts(session) == [1]", "session.expire_all()"),
        ("assert session.scalars(select(Post)).one().author.id == 1", "pass"),
    ],
)
def test_silent(project: Any, call: str, before: str) -> None:
    """What the code loads, sets or opens itself is none, nor what the test reads itself."""
    run = suite(project, call, before=before).run("--sessionguard-error=SG403")

    assert run.is_clean()


def test_accepted_and_new(project: Any) -> None:
    """A marker accepts it in one test, and another test is told of it all the same."""
    files = {
        "models.py": MODELS,
        "app.py": APP,
        "conftest.py": CONFTEST,
        "test_x.py": """
            import pytest
            from app import *

            @pytest.mark.sessionguard(ignore="masked-lazy-load", reason="known")
            def test_old(session):
                assert authors(session) == [1]

            def test_new(session):
                assert posts(session) == [1]
        """,
    }
    run = project(files).run("--sessionguard=fail", "-o", "sessionguard_error=SG403")

    assert run.found == ["SG403 test_new"]


def test_marker_alone(project: Any) -> None:
    """The marker of one test is enough to watch."""
    files = {
        "models.py": MODELS,
        "app.py": APP,
        "conftest.py": CONFTEST,
        "test_x.py": """
            import pytest
            from app import *

            @pytest.mark.sessionguard(error="SG403")
            def test_a(session):
                assert authors(session) == [1]

            def test_b(session):
                assert authors(session) == [1]
        """,
    }
    run = project(files).run()

    assert run.found == ["SG403 test_a"]
    assert run.shows(
        """
        SG403 masked-lazy-load: Post.author was there only because test_a had loaded it before

          read at       app.py:5 in authors
                        test_x.py:6 in test_a
          session       Session opened at conftest.py:7 in session
          closed        the block of conftest.py:7 in session, which ends at line 11

          With a session of its own, the code loads it there, or fails to.
          Fix: load it in the query, with `selectinload(Post.author)` or `joinedload(...)`.
          Accept: @pytest.mark.sessionguard(ignore="masked-lazy-load", reason="...") or the baseline.
        """
    )
