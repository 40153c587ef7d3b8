"""Mapped classes with every sort of attribute, and what is true of an instance of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from sqlalchemy import Engine, ForeignKey, String, create_engine, event, func, inspect, select, text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    DynamicMapped,
    Mapped,
    Session,
    WriteOnlyMapped,
    attribute_keyed_dict,
    column_property,
    composite,
    deferred,
    mapped_column,
    query_expression,
    relationship,
    synonym,
)
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlalchemy.pool import StaticPool


class Base(DeclarativeBase):
    pass


class City(Base):
    __tablename__ = "city"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    slots: Mapped[list[Slot]] = relationship(back_populates="city")


class Recruiter(Base):
    __tablename__ = "recruiter"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str | None]
    city_id: Mapped[int | None] = mapped_column(ForeignKey("city.id"))
    city: Mapped[City | None] = relationship()
    slots: Mapped[list[Slot]] = relationship(back_populates="recruiter")
    open_slots: Mapped[list[Slot]] = relationship(viewonly=True)
    queried: DynamicMapped[Slot] = relationship(viewonly=True)
    strict: Mapped[list[Slot]] = relationship(viewonly=True, lazy="raise")
    cities: AssociationProxy[list[City | None]] = association_proxy("slots", "city")


class Slot(Base):
    __tablename__ = "slot"
    id: Mapped[int] = mapped_column(primary_key=True)
    city_id: Mapped[int | None] = mapped_column(ForeignKey("city.id"))
    recruiter_id: Mapped[int | None] = mapped_column(ForeignKey("recruiter.id"))
    city: Mapped[City | None] = relationship(back_populates="slots")
    recruiter: Mapped[Recruiter | None] = relationship(back_populates="slots")
    notes: Mapped[dict[str, Note]] = relationship(collection_class=attribute_keyed_dict("author"))
    tags: Mapped[set[Tag]] = relationship()
    log: WriteOnlyMapped[Note] = relationship(viewonly=True)


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot_id: Mapped[int | None] = mapped_column(ForeignKey("slot.id"))
    author: Mapped[str]


class Tag(Base):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot_id: Mapped[int | None] = mapped_column(ForeignKey("slot.id"))


@dataclasses.dataclass
class Point:
    x: int | None
    y: int | None


class Doc(Base):
    __tablename__ = "doc"
    __mapper_args__ = {"eager_defaults": False}
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    made_at: Mapped[str | None] = mapped_column(server_default=text("'now'"))
    changed_at: Mapped[str | None] = mapped_column(onupdate=func.lower("X"))
    body: Mapped[str | None] = mapped_column(deferred=True)
    page: Mapped[str | None] = deferred(mapped_column("page_1", String), group="pages")
    cover: Mapped[str | None] = mapped_column(deferred=True, deferred_group="pages")
    sealed: Mapped[str | None] = mapped_column(deferred=True, deferred_raiseload=True)
    x: Mapped[int | None]
    y: Mapped[int | None]
    point: Mapped[Point] = composite("x", "y")
    name: Mapped[str | None] = synonym("title")
    size: Mapped[int | None] = column_property(func.length("title"))
    score: Mapped[int | None] = query_expression()

    @hybrid_property
    def label(self) -> str:
        return f"<{self.title}>"


class Tree(Base):
    __tablename__ = "tree"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("tree.id"))
    parent: Mapped[Tree | None] = relationship(remote_side=[id], back_populates="children")
    children: Mapped[list[Tree]] = relationship(back_populates="parent")


class Employee(Base):
    __tablename__ = "employee"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "employee"}
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str | None]


class Engineer(Employee):
    __tablename__ = "engineer"
    __mapper_args__ = {"polymorphic_identity": "engineer"}
    id: Mapped[int] = mapped_column(ForeignKey("employee.id"), primary_key=True)
    language: Mapped[str | None]
    level: Mapped[int | None] = mapped_column(server_default=text("1"))
    machines: Mapped[list[Machine]] = relationship()


class Clerk(Employee):
    """Of the same table as its base."""

    __mapper_args__ = {"polymorphic_identity": "clerk"}
    desk: Mapped[str | None]


class Machine(Base):
    __tablename__ = "machine"
    id: Mapped[int] = mapped_column(primary_key=True)
    engineer_id: Mapped[int | None] = mapped_column(ForeignKey("engineer.id"))


def open_engine() -> Engine:
    """An engine with one connection and one row of most classes."""
    engine = create_engine("sqlite://", poolclass=StaticPool)

    # pysqlite begins no transaction before a savepoint, and the release of the outermost savepoint
    # commits ("SQLite: Serializable isolation / Savepoints / Transactional DDL").
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.connection.driver_connection.execute("BEGIN")

    Base.metadata.create_all(engine)
    with Session(engine) as session:
        fill(session)
        session.commit()
    return engine


def fill(session: Session) -> None:
    """Two slots of one recruiter in a city, and one of each other thing."""
    berlin = City(name="Berlin")
    recruiter = Recruiter(name="Ann", city=berlin)
    slot = Slot(city=berlin, recruiter=recruiter, tags={Tag()})
    slot.notes["ann@example.org"] = Note(author="ann@example.org")
    session.add_all([slot, Slot(recruiter=recruiter)])
    session.add(Doc(title="A", body="B", page="C", x=1, y=2))
    session.add_all([Engineer(name="E", language="Py", machines=[Machine()]), Clerk(desk="d")])
    session.add(Tree(children=[Tree(), Tree()]))


def all_of(session: Session, model: type[Any], *options: Any) -> list[Any]:
    """All rows of a class, in the order of their keys."""
    return list(session.scalars(select(model).order_by(model.id).options(*options)).unique())


def find_broken(instance: Any) -> set[str]:
    """The columns and relationships of an instance whose reading raises, found out by reading.

    Reading may change what is loaded where a session is there, so it comes last in a test.
    """
    mapper = inspect(instance).mapper
    broken = set()
    for prop in (*mapper.column_attrs, *mapper.relationships):
        try:
            getattr(instance, prop.key)
        except (DetachedInstanceError, InvalidRequestError):
            broken.add(prop.key)
    return broken
