"""Other plugins that look for N+1 do it alone, unless a setting says otherwise."""

from __future__ import annotations

from typing import Any

import pytest

SUITE = {
    "models.py": """
        from sqlalchemy import ForeignKey, create_engine, select
        from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

        class Base(DeclarativeBase): pass

        class Author(Base):
            __tablename__ = "authors"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Post(Base):
            __tablename__ = "posts"
            id: Mapped[int] = mapped_column(primary_key=True)
            author_id: Mapped[int] = mapped_column(ForeignKey("authors.id"))
            author: Mapped[Author] = relationship()

        engine = create_engine("sqlite://")

        def fill():
            Base.metadata.create_all(engine)
            with Session(engine) as session:
                session.add_all([Post(author=Author()), Post(author=Author())])
                session.commit()

        def list_authors():
            with Session(engine) as session:
                return [post.author.id for post in session.scalars(select(Post))]
    """,
    "test_x.py": """
        from models import fill, list_authors

        def test_a():
            fill()
            assert list_authors() == [1, 2]
    """,
}


@pytest.mark.parametrize("peer", ["queryspy", "queryguard", "querycount"])
def test_left_to_a_peer(pytester: pytest.Pytester, project: Any, peer: str) -> None:
    """Where a peer is active, SG402 is off and the header says so."""
    pytester.syspathinsert()
    run = project({**SUITE, f"{peer}.py": "# a plugin that looks for N+1"}).run("-p", peer)

    assert run.is_clean()
    assert run.header == f"sessionguard: n-plus-one is left to {peer}"


def test_without_a_peer(project: Any) -> None:
    """Where none is, SG402 tells it."""
    run = project(SUITE).run()

    assert run.found == ["SG402 test_a"]
    assert str(run.findings[0].site).startswith("models.py:26 in ")


def test_asked_for_all_the_same(pytester: pytest.Pytester, project: Any) -> None:
    """A setting beats the courtesy."""
    pytester.syspathinsert()
    suite = project({**SUITE, "queryspy.py": ""})
    run = suite.run("-p", "queryspy", "--sessionguard-warn=SG402")

    assert run.found == ["SG402 test_a"]


def test_lazy_loads_all_the_same(pytester: pytest.Pytester, project: Any) -> None:
    """Whoever asks for SG401 is told of the loads that SG402 leaves to a peer."""
    pytester.syspathinsert()
    suite = project({**SUITE, "queryspy.py": ""})
    run = suite.run("-p", "queryspy", "--sessionguard-warn=SG401")

    assert run.found == ["SG401 test_a"]
