"""Models that have every kind of attribute which SQLAlchemy can load late, and rows for them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import sqlalchemy
from sqlalchemy import Column, ForeignKey, Table, func, select
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    DynamicMapped,
    Mapped,
    MappedAsDataclass,
    Session,
    WriteOnlyMapped,
    column_property,
    composite,
    configure_mappers,
    deferred,
    foreign,
    mapped_column,
    query_expression,
    relationship,
    synonym,
)

VERSION = tuple(int(part) for part in sqlalchemy.__version__.split(".")[:3])

try:
    from sqlalchemy.ext.asyncio import AsyncAttrs  # came with SQLAlchemy 2.0.13
except ImportError:

    class AsyncAttrs:  # type: ignore[no-redef]
        pass


class Base(AsyncAttrs, DeclarativeBase):
    pass


@dataclass
class Place:
    city: str | None
    land: str | None


class Author(Base):
    __tablename__ = "authors"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    born: Mapped[int | None]
    city: Mapped[str | None]
    land: Mapped[str | None]
    bio: Mapped[str | None] = mapped_column(deferred=True)
    letters: Mapped[str | None] = mapped_column(deferred=True, deferred_group="papers")
    diaries: Mapped[str | None] = mapped_column(deferred=True, deferred_group="papers")
    secret: Mapped[str | None] = mapped_column(deferred=True, deferred_raiseload=True)

    posts: Mapped[list[Post]] = relationship(
        back_populates="author", order_by="Post.id", cascade="save-update, merge, expunge"
    )
    profile: Mapped[Profile | None] = relationship(back_populates="author")
    titles: AssociationProxy[list[str]] = association_proxy("posts", "title")
    place: Mapped[Place] = composite("city", "land")
    nick: Mapped[str] = synonym("name")
    about: Mapped[str | None] = synonym("bio")
    rating: Mapped[int | None] = query_expression()

    @hybrid_property
    def shout(self) -> str:
        return self.name.upper()

    @hybrid_property
    def length_of_bio(self) -> int:
        return len(self.bio)  # read

    @length_of_bio.expression  # type: ignore[no-redef]
    def length_of_bio(cls) -> Any:
        return func.length(cls.bio)

    @property
    def first_title(self) -> str:
        return self.posts[0].title  # read


class Profile(Base):
    __tablename__ = "profiles"

    id: Mapped[int] = mapped_column(primary_key=True)
    motto: Mapped[str]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("authors.id"))
    author: Mapped[Author | None] = relationship(back_populates="profile")


post_tags = Table(
    "post_tags",
    Base.metadata,
    Column("post_id", ForeignKey("posts.id"), primary_key=True),
    Column("tag_id", ForeignKey("tags.id"), primary_key=True),
)


class Post(Base):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("authors.id"))

    author: Mapped[Author | None] = relationship(back_populates="posts")
    tags: Mapped[list[Tag]] = relationship(secondary=post_tags, back_populates="posts")
    # Reads itself also while its object is still pending.
    eager_author: Mapped[Author | None] = relationship(viewonly=True, load_on_pending=True)


class Tag(Base):
    __tablename__ = "tags"

    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str]
    posts: Mapped[list[Post]] = relationship(secondary=post_tags, back_populates="tags")


def _select_of_posts(function: Any, column: str) -> Any:
    posts = Post.__table__.alias()
    query = select(function(posts.c[column])).where(posts.c.author_id == Author.id)
    return query.correlate_except(posts).scalar_subquery()


Author.post_count = column_property(_select_of_posts(func.count, "id"))
Author.last_title = deferred(_select_of_posts(func.max, "title"))


def _make_author(lazy: str) -> Any:
    """An author whose posts are loaded in one certain way."""
    posts = relationship(
        Post,
        primaryjoin=lambda: Author.__table__.c.id == foreign(Post.__table__.c.author_id),
        lazy=lazy,  # type: ignore[arg-type]
        viewonly=True,
    )
    space = {
        "__table__": Author.__table__,
        "__mapper_args__": {"include_properties": ["id", "name"]},
        "posts": posts,
    }
    return type(f"AuthorBy_{lazy}", (Base,), space)


LAZIES = ("immediate", "joined", "subquery", "selectin", "raise", "raise_on_sql", "noload")
AUTHOR_BY = {lazy: _make_author(lazy) for lazy in LAZIES}


class Shelf(Base):
    __tablename__ = "shelves"

    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str | None]
    written: WriteOnlyMapped[Book] = relationship(cascade="all", passive_deletes=True)


class LiveShelf(Base):
    __table__ = Shelf.__table__

    living: DynamicMapped[Book] = relationship(viewonly=True)


class Box(Base):
    """Whose books go with it, and are loaded for that."""

    __table__ = Shelf.__table__

    books: Mapped[list[Book]] = relationship(cascade="all, delete-orphan", overlaps="written")


class Crate(Base):
    """Whose books the database deletes."""

    __table__ = Shelf.__table__

    books: Mapped[list[Book]] = relationship(
        cascade="all, delete", passive_deletes=True, overlaps="written,books"
    )


class Book(Base):
    __tablename__ = "books"

    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int | None] = mapped_column(ForeignKey("shelves.id", ondelete="CASCADE"))


class Node(Base):
    __tablename__ = "nodes"

    id: Mapped[int] = mapped_column(primary_key=True)
    up_id: Mapped[int | None] = mapped_column(ForeignKey("nodes.id"))
    up: Mapped[Node | None] = relationship(back_populates="below", remote_side=[id])
    below: Mapped[list[Node]] = relationship(back_populates="up")


class Employee(Base):
    __tablename__ = "employees"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    cv: Mapped[str | None] = mapped_column(deferred=True)
    __mapper_args__ = {"polymorphic_on": "type", "polymorphic_identity": "employee"}


class Manager(Employee):
    __tablename__ = "managers"

    id: Mapped[int] = mapped_column(ForeignKey("employees.id"), primary_key=True)
    budget: Mapped[int | None]
    plan: Mapped[str | None] = mapped_column(deferred=True)
    reports: Mapped[list[Report]] = relationship()
    __mapper_args__ = {"polymorphic_identity": "manager"}


class Report(Base):
    __tablename__ = "reports"

    id: Mapped[int] = mapped_column(primary_key=True)
    manager_id: Mapped[int] = mapped_column(ForeignKey("managers.id"))


class Engineer(Employee):
    """In the table of all employees."""

    language: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "engineer"}


class Clerk(Employee):
    __tablename__ = "clerks"

    id: Mapped[int] = mapped_column(ForeignKey("employees.id"), primary_key=True)
    desk: Mapped[str | None]
    __mapper_args__ = {"polymorphic_identity": "clerk", "polymorphic_load": "selectin"}


class Careful(Base):
    """Asks for the old value before it takes a new one."""

    __tablename__ = "careful"

    id: Mapped[int] = mapped_column(primary_key=True)
    mood = column_property(Column("mood", sqlalchemy.String), active_history=True)
    post_id: Mapped[int | None] = mapped_column(ForeignKey("posts.id"))
    post: Mapped[Post | None] = relationship(active_history=True)


class Versioned(Base):
    __tablename__ = "versioned"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}


class Stamped(Base):
    """What the database fills in is loaded when it is read."""

    __tablename__ = "stamped"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str | None]
    made: Mapped[str | None] = mapped_column(server_default=func.current_timestamp())
    changed: Mapped[str | None] = mapped_column(onupdate=func.current_timestamp())
    __mapper_args__ = {"eager_defaults": False}


class EagerlyStamped(Base):
    __table__ = Stamped.__table__
    __mapper_args__ = {"eager_defaults": True}


class DataBase(MappedAsDataclass, DeclarativeBase):
    pass


class Owner(DataBase):
    __tablename__ = "owners"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str]
    pets: Mapped[list[Pet]] = relationship(default_factory=list)


class Pet(DataBase):
    __tablename__ = "pets"

    id: Mapped[int] = mapped_column(primary_key=True, init=False)
    name: Mapped[str]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("owners.id"), default=None)


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "noload" is deprecated since 2.1
    configure_mappers()


def make_tables(engine: Any) -> None:
    """Create every table of the zoo."""
    Base.metadata.create_all(engine)
    DataBase.metadata.create_all(engine)


def fill_tables(engine: Any) -> None:
    """Write the rows that all ways start from."""
    with Session(engine) as session:
        tags = [Tag(word="red"), Tag(word="blue")]
        ada = Author(name="ada", born=1815, city="London", land="UK", bio="long", letters="many")
        ada.posts = [Post(title="one", tags=list(tags)), Post(title="two", tags=list(tags))]
        ada.profile = Profile(motto="more")
        bob = Author(name="bob", bio="short", secret="shh")
        bob.posts = [Post(title="three"), Post(title="four")]
        bob.profile = Profile(motto="less")
        session.add_all([ada, bob, Author(name="cyd"), Post(title="nobody's")])
        session.flush()
        session.add(Shelf(id=1, label="top"))
        session.flush()
        session.add_all([Book(shelf_id=1), Book(shelf_id=1)])
        root = Node(below=[Node(below=[Node(), Node()]), Node(below=[Node()])])
        session.add(root)
        session.add_all(
            [
                Manager(name="max", budget=1, plan="p", reports=[Report(), Report()]),
                Manager(name="mia", budget=2),
                Engineer(name="eve", language="C"),
                Engineer(name="edd", language="D"),
                Clerk(name="cat", desk="d"),
                Clerk(name="cal", desk="e"),
            ]
        )
        session.add(Careful(id=1, mood="calm", post_id=1))
        session.add_all([Versioned(text="a"), Versioned(text="b")])
        session.add_all([Stamped(text="a"), Stamped(text="b")])
        session.add(Owner(name="olaf", pets=[Pet(name="rex"), Pet(name="tom")]))
        session.commit()
