"""Every way to load that SQLAlchemy's ORM documentation shows, and what the guard says of it.

A way is a generator: what stands before its ``yield`` prepares, what stands behind it is judged.
The line that reads is marked with ``# read``.
"""

# ruff: noqa: B018 (to read an attribute is the point)

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from loads.zoo import (
    AUTHOR_BY,
    VERSION,
    Author,
    Book,
    Box,
    Careful,
    Clerk,
    Crate,
    EagerlyStamped,
    Employee,
    Engineer,
    LiveShelf,
    Manager,
    Node,
    Owner,
    Pet,
    Place,
    Post,
    Profile,
    Shelf,
    Stamped,
    Tag,
    Versioned,
)
from sqlalchemy import delete, event, func, inspect, select, text, update
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    Bundle,
    Session,
    aliased,
    attributes,
    contains_eager,
    defaultload,
    defer,
    immediateload,
    joinedload,
    lazyload,
    load_only,
    make_transient,
    make_transient_to_detached,
    noload,
    raiseload,
    selectin_polymorphic,
    selectinload,
    subqueryload,
    undefer,
    undefer_group,
    with_expression,
    with_loader_criteria,
    with_polymorphic,
)
from sqlalchemy.orm.attributes import flag_modified, set_committed_value

Steps = Callable[[Session], Iterator[None]]


@dataclass(frozen=True)
class Way:
    """One way to load.

    Attributes:
        steps: What is done.
        found: What is found of it: each attribute with its kind; nothing where it was asked for.
        before: How many statements it sends that it asks for, before it reads.
        bare: Whether what is judged can also be done outside of SQLAlchemy's greenlet.
    """

    steps: Steps
    found: tuple[str, ...] = ()
    before: int = 0
    bare: bool = True


WAYS: dict[str, Way] = {}


def way(
    *found: str,
    before: int = 0,
    bare: bool = True,
    since: tuple[int, ...] = (),
    until: tuple[int, ...] = (9,),
) -> Callable[[Steps], Steps]:
    """Enter a way in the table."""

    def enter(steps: Steps) -> Steps:
        assert steps.__name__ not in WAYS
        if since <= VERSION < until:
            WAYS[steps.__name__] = Way(steps, found, before, bare)
        return steps

    return enter


def first(session: Session, model: Any, *options: Any) -> Any:
    return session.scalars(select(model).order_by(model.id).options(*options)).first()


def every(session: Session, model: Any, *options: Any) -> Any:
    return session.scalars(select(model).order_by(model.id).options(*options)).unique().all()


# Relationships that load when they are read.


@way("Author.posts relationship")
def one_to_many(session):
    author = first(session, Author)
    yield
    author.posts  # read


@way("Post.author relationship")
def many_to_one(session):
    post = first(session, Post)
    yield
    post.author  # read


@way("Author.profile relationship")
def one_to_one(session):
    author = first(session, Author)
    yield
    author.profile  # read


@way("Post.tags relationship")
def many_to_many(session):
    post = first(session, Post)
    yield
    post.tags  # read


@way("Node.below relationship")
def self_referential(session):
    node = first(session, Node)
    yield
    node.below  # read


@way()
def many_to_one_in_the_identity_map(session):
    post = first(session, Post)
    authors = every(session, Author)
    yield
    assert post.author is authors[0]


@way()
def many_to_one_of_null(session):
    post = session.get(Post, 5)
    yield
    assert post.author is None


@way("Post.author relationship")
def many_to_one_that_is_expired_in_the_identity_map(session):
    post, author = first(session, Post), first(session, Author)
    session.expire(author)
    yield
    post.author  # read


@way()
def read_twice(session):
    author = first(session, Author)
    author.posts
    yield
    author.posts
    list(author.posts)


@way("Author.posts relationship")
def getattr_of_it(session):
    author = first(session, Author)
    yield
    getattr(author, "posts", None)  # read


@way("Author.posts relationship")
def hasattr_of_it(session):
    author = first(session, Author)
    yield
    hasattr(author, "posts")  # read


@way("Author.posts relationship")
def lazyload_of_an_eager_one(session):
    author = first(session, Author, lazyload(Author.posts))
    yield
    author.posts  # read


@way("AuthorBy_selectin.posts relationship")
def lazyload_over_the_mapping(session):
    model = AUTHOR_BY["selectin"]
    author = first(session, model, lazyload(model.posts))
    yield
    author.posts  # read


@way("AuthorBy_selectin.posts relationship")
def lazyload_of_all(session):
    author = first(session, AUTHOR_BY["selectin"], lazyload("*"))
    yield
    author.posts  # read


@way("Post.author relationship")
def behind_an_eager_one(session):
    author = first(session, Author, selectinload(Author.posts))
    other = Post(title="strange", author_id=2)
    session.add(other)
    session.flush()
    author.posts
    yield
    other.author  # read


@way("Author.profile relationship")
def chain(session):
    post = first(session, Post, selectinload(Post.author))
    yield
    post.author.profile.motto  # read


@way("Post.tags relationship")
def below_an_eager_load(session):
    author = first(session, Author, selectinload(Author.posts))
    yield
    [tag.word for post in author.posts[:1] for tag in post.tags]  # read


# Eager loads, by the mapping and by options.


@way()
def mapped_immediate(session):
    yield
    first(session, AUTHOR_BY["immediate"]).posts


@way()
def mapped_joined(session):
    yield
    assert [len(author.posts) for author in every(session, AUTHOR_BY["joined"])] == [2, 2, 0]


@way()
def mapped_subquery(session):
    yield
    assert [len(author.posts) for author in every(session, AUTHOR_BY["subquery"])] == [2, 2, 0]


@way()
def mapped_selectin(session):
    yield
    assert [len(author.posts) for author in every(session, AUTHOR_BY["selectin"])] == [2, 2, 0]


@way()
def mapped_noload(session):
    yield
    assert [author.posts for author in every(session, AUTHOR_BY["noload"])] == [[], [], []]


@way()
def mapped_raise(session):
    author = first(session, AUTHOR_BY["raise"])
    yield
    with pytest.raises(InvalidRequestError, match="raise"):
        author.posts


@way()
def mapped_raise_on_sql(session):
    author = first(session, AUTHOR_BY["raise_on_sql"])
    yield
    with pytest.raises(InvalidRequestError, match="raise_on_sql"):
        author.posts


@way()
def mapped_write_only(session):
    shelf = first(session, Shelf)
    yield
    assert len(session.scalars(shelf.written.select()).all()) == 2
    shelf.written.add(Book())
    session.flush()
    session.execute(shelf.written.insert(), [{}])
    session.execute(shelf.written.update().values(id=Book.id))
    session.execute(shelf.written.delete())


@way()
def mapped_dynamic(session):
    shelf = first(session, LiveShelf)
    yield
    assert len(shelf.living.all()) == shelf.living.count() == len(list(shelf.living)) == 2
    assert shelf.living.filter(Book.id > 1).first() is shelf.living[1]


@way()
def option_selectinload(session):
    yield
    assert [len(a.posts) for a in every(session, Author, selectinload(Author.posts))] == [2, 2, 0]


@way()
def option_joinedload(session):
    yield
    assert [len(a.posts) for a in every(session, Author, joinedload(Author.posts))] == [2, 2, 0]


@way()
def option_subqueryload(session):
    yield
    assert [len(a.posts) for a in every(session, Author, subqueryload(Author.posts))] == [2, 2, 0]


@way()
def option_immediateload(session):
    yield
    assert [len(a.posts) for a in every(session, Author, immediateload(Author.posts))] == [2, 2, 0]


@way()
def option_immediateload_of_many_to_one(session):
    yield
    assert every(session, Post, immediateload(Post.author))[3].author.name == "bob"


@way()
def option_selectinload_of_many_to_one(session):
    yield
    assert every(session, Post, selectinload(Post.author))[3].author.name == "bob"


@way()
def option_joinedload_of_many_to_one(session):
    yield
    assert every(session, Post, joinedload(Post.author, innerjoin=True))[3].author.name == "bob"


@way()
def option_selectinload_of_many_to_many(session):
    yield
    assert len(every(session, Post, selectinload(Post.tags))[0].tags) == 2


@way()
def option_chained(session):
    yield
    options = selectinload(Author.posts).joinedload(Post.tags)
    assert len(every(session, Author, options)[0].posts[1].tags) == 2


@way()
def option_raiseload(session):
    author = first(session, Author, raiseload("*"))
    yield
    with pytest.raises(InvalidRequestError):
        author.posts


@way()
def option_raiseload_sql_only(session):
    post = first(session, Post, raiseload(Post.author, sql_only=True))
    author = first(session, Author)
    yield
    assert post.author is author


@way(until=(2, 1))
def option_noload(session):
    yield
    assert first(session, Author, noload(Author.posts)).posts == []


@way()
def option_contains_eager(session):
    yield
    query = select(Author).join(Author.posts).options(contains_eager(Author.posts))
    assert [len(a.posts) for a in session.scalars(query).unique()] == [2, 2]


@way()
def option_contains_eager_of_an_alias(session):
    yield
    post = aliased(Post)
    query = (
        select(Author)
        .join(Author.posts.of_type(post))
        .where(post.title > "p")
        .options(contains_eager(Author.posts.of_type(post)))
        .execution_options(populate_existing=True)
    )
    assert [len(a.posts) for a in session.scalars(query).unique()] == [1, 1]


@way()
def option_and(session):
    yield
    author = first(session, Author, selectinload(Author.posts.and_(Post.title == "one")))
    assert [post.title for post in author.posts] == ["one"]


@way()
def option_with_loader_criteria(session):
    yield
    author = first(
        session,
        Author,
        selectinload(Author.posts),
        with_loader_criteria(Post, Post.title == "one"),
    )
    assert [post.title for post in author.posts] == ["one"]


@way("Author.posts relationship")
def option_with_loader_criteria_on_a_lazy_one(session):
    author = first(session, Author, with_loader_criteria(Post, Post.title == "one"))
    yield
    author.posts  # read


@way("Author.bio deferred")
def option_defaultload(session):
    options = selectinload(Post.author), defaultload(Post.author).load_only(Author.name)
    post = first(session, Post, *options)
    yield
    post.author.name
    post.author.bio  # read


@way()
def option_join_depth(session):
    yield
    node = first(session, Node, selectinload(Node.below).selectinload(Node.below))
    assert [len(below.below) for below in node.below] == [2, 1]


@way()
def option_recursion_depth(session):
    yield
    node = first(session, Node, selectinload(Node.below, recursion_depth=-1))
    assert [leaf.below for below in node.below for leaf in below.below] == [[], [], []]


# Columns.


@way("Author.bio deferred")
def deferred_column(session):
    author = first(session, Author)
    yield
    author.bio  # read


@way("Author.letters deferred")
def deferred_group(session):
    author = first(session, Author)
    yield
    author.letters  # read
    author.diaries


@way("Author.last_title deferred")
def deferred_column_property(session):
    author = first(session, Author)
    yield
    author.last_title  # read


@way()
def column_property(session):
    author = first(session, Author)
    yield
    assert author.post_count == 2


@way("Author.post_count column")
def column_property_left_out(session):
    author = first(session, Author, load_only(Author.name))
    yield
    author.post_count  # read


@way()
def deferred_column_that_raises(session):
    author = first(session, Author)
    yield
    with pytest.raises(InvalidRequestError, match="raiseload"):
        author.secret


@way("Author.born column")
def option_load_only(session):
    author = first(session, Author, load_only(Author.name))
    yield
    author.name
    author.born  # read


@way("Author.born column")
def option_defer(session):
    author = first(session, Author, defer(Author.born))
    yield
    author.born  # read


@way()
def option_defer_raiseload(session):
    author = first(session, Author, defer(Author.born, raiseload=True))
    yield
    with pytest.raises(InvalidRequestError):
        author.born


@way()
def option_undefer(session):
    yield
    assert first(session, Author, undefer(Author.bio)).bio == "long"


@way()
def option_undefer_all(session):
    yield
    assert first(session, Author, undefer("*")).letters == "many"


@way()
def option_undefer_group(session):
    yield
    author = first(session, Author, undefer_group("papers"))
    assert (author.letters, author.diaries) == ("many", None)


@way()
def option_with_expression(session):
    yield
    query = select(Author).options(with_expression(Author.rating, Author.id * 2))
    assert session.scalars(query.order_by(Author.id)).first().rating == 2


@way()
def query_expression_without_one(session):
    author = first(session, Author)
    yield
    assert author.rating is None


@way("Manager.cv deferred")
def deferred_column_of_the_base(session):
    manager = first(session, Manager)
    yield
    manager.cv  # read


@way()
def only_columns(session):
    yield
    assert session.execute(select(Author.name, Author.bio)).first() == ("ada", "long")
    query = select(Bundle("author", Author.name, Author.bio))
    assert session.scalars(query).first() == ("ada", "long")


# Polymorphic loading.


@way("Manager.budget subclass")
def joined_subclass(session):
    manager = session.scalars(select(Employee).where(Employee.name == "max")).one()
    yield
    manager.budget  # read


@way("Engineer.language subclass")
def single_table_subclass(session):
    engineer = session.scalars(select(Employee).where(Employee.name == "eve")).one()
    yield
    engineer.language  # read


@way("Manager.plan deferred")
def deferred_column_of_a_subclass(session):
    manager = first(session, Manager)
    yield
    manager.budget
    manager.plan  # read


@way("Manager.reports relationship")
def relationship_of_a_subclass(session):
    manager = first(session, Manager)
    yield
    manager.reports  # read


@way()
def subclass_queried_itself(session):
    yield
    assert first(session, Manager).budget == 1
    assert first(session, Engineer).language == "C"


@way()
def option_selectin_polymorphic(session):
    yield
    people = every(session, Employee, selectin_polymorphic(Employee, [Manager, Engineer]))
    assert (people[0].budget, people[2].language) == (1, "C")


@way()
def option_selectin_polymorphic_with_relationship(session):
    yield
    options = selectin_polymorphic(Employee, [Manager]), selectinload(Manager.reports)
    assert len(every(session, Employee, *options)[0].reports) == 2


@way()
def polymorphic_load_selectin(session):
    yield
    assert first(session, Employee) and [
        person.desk for person in every(session, Employee) if isinstance(person, Clerk)
    ] == ["d", "e"]


@way()
def entity_with_polymorphic(session):
    yield
    anyone = with_polymorphic(Employee, "*")
    people = session.scalars(select(anyone).order_by(anyone.id)).all()
    assert (people[0].budget, people[2].language, people[4].desk) == (1, "C", "d")


@way("Manager.budget subclass", before=1, bare=False)
def get_of_the_base(session):
    yield
    session.get(Employee, 1).budget  # read


# Expired attributes.


@way("Author.name expired")
def expired_by_commit(session):
    author = first(session, Author)
    session.commit()
    yield
    author.name  # read


@way("Author.name expired")
def expired_by_rollback(session):
    author = first(session, Author)
    session.rollback()
    yield
    author.name  # read


@way("Author.name expired")
def expired_by_expire_all(session):
    author = first(session, Author)
    session.expire_all()
    yield
    author.name  # read


@way("Author.name expired")
def one_expired_attribute(session):
    author = first(session, Author)
    session.expire(author, ["name"])
    yield
    author.id
    author.name  # read


@way("Author.posts relationship")
def one_expired_relationship(session):
    author = first(session, Author, selectinload(Author.posts))
    session.expire(author, ["posts"])
    yield
    author.posts  # read


@way("Author.posts expired")
def relationship_of_an_expired_object(session):
    author = first(session, Author, selectinload(Author.posts))
    session.commit()
    yield
    author.posts  # read


@way("Manager.budget expired")
def expired_subclass(session):
    manager = first(session, Manager)
    session.commit()
    yield
    manager.budget  # read


@way("Manager.budget expired")
def expired_subclass_that_the_base_was_asked_for(session):
    manager = first(session, Employee)
    manager.budget
    session.commit()
    yield
    manager.budget  # read


@way()
def primary_key_of_an_unexpired_object(session):
    session.expire_on_commit = False
    author = first(session, Author)
    session.commit()
    yield
    assert (author.id, author.name) == (1, "ada")


@way()
def identity_of_an_expired_object(session):
    author = first(session, Author)
    session.commit()
    yield
    assert inspect(author).identity == (1,)
    assert author in session


@way("Author.id expired")
def primary_key_of_an_expired_object(session):
    author = first(session, Author)
    session.commit()
    yield
    author.id  # read


@way()
def set_of_an_expired_attribute(session):
    author = first(session, Author)
    session.commit()
    yield
    author.name = "eva"
    session.flush()


@way("Stamped.made expired")
def server_default(session):
    stamped = Stamped(text="c")
    session.add(stamped)
    session.flush()
    yield
    stamped.text
    stamped.made  # read


@way("Stamped.changed expired")
def onupdate(session):
    stamped = first(session, Stamped)
    stamped.text = "other"
    session.flush()
    yield
    stamped.changed  # read


@way()
def eager_defaults(session):
    stamped = EagerlyStamped(text="c")
    session.add(stamped)
    session.flush()
    stamped.text = "d"
    session.flush()
    yield
    assert stamped.made and stamped.changed


@way()
def version_id(session):
    versioned = first(session, Versioned)
    yield
    versioned.text = "z"
    session.flush()
    assert versioned.version == 2


# Loads that are asked for by name.


@way()
def refresh(session):
    author = first(session, Author)
    session.commit()
    yield
    session.refresh(author)
    assert author.name == "ada"


# Before, `refresh` left relationships alone that are loaded late.
@way(since=(2, 0, 4))
def refresh_of_names(session):
    author = first(session, Author)
    yield
    session.refresh(author, ["bio", "posts", "profile"])
    assert (author.bio, len(author.posts), author.profile.motto) == ("long", 2, "more")


@way()
def refresh_of_an_eager_one(session):
    author = first(session, AUTHOR_BY["selectin"])
    session.commit()
    yield
    session.refresh(author)
    author.posts


@way()
def get(session):
    yield
    assert session.get(Author, 1).name == "ada"
    assert session.get(
        Author, 1, options=[selectinload(Author.posts)], populate_existing=True
    ).posts
    assert session.get(Author, 99) is None


@way()
def get_of_an_expired_object(session):
    author = first(session, Author)
    session.commit()
    yield
    assert session.get(Author, 1) is author
    assert author.name == "ada"


@way(since=(2, 0, 22))
def get_one(session):
    yield
    assert session.get_one(Author, 1).name == "ada"


@way()
def populate_existing(session):
    author = first(session, Author)
    session.commit()
    yield
    query = select(Author).execution_options(populate_existing=True)
    session.scalars(query.options(selectinload(Author.posts))).all()
    assert (author.name, len(author.posts)) == ("ada", 2)


@way()
def select_again_of_an_expired_object(session):
    author = first(session, Author)
    session.commit()
    yield
    every(session, Author)
    assert author.name == "ada"


@way()
def merge_of_a_detached_object(session):
    author = first(session, Author, selectinload(Author.posts))
    session.expunge_all()
    author.posts[0].title = "changed"
    yield
    merged = session.merge(author)
    assert (merged is author, merged.posts[0].title) == (False, "changed")


@way()
def merge_of_a_new_object(session):
    yield
    merged = session.merge(Author(id=1, name="eva", posts=[Post(id=1, title="x")]))
    assert merged.name == "eva"
    session.flush()


@way()
def merge_without_load(session):
    author = first(session, Author)
    session.expunge_all()
    yield
    assert session.merge(author, load=False).name == "ada"


@way()
def merge_with_options(session):
    author = first(session, Author)
    session.expunge_all()
    yield
    assert len(session.merge(author, options=[selectinload(Author.posts)]).posts) == 2


@way()
def load_history(session):
    author = first(session, Author)
    yield
    assert len(inspect(author).attrs.posts.load_history().unchanged) == 2


@way()
def inspection(session):
    author = first(session, Author)
    yield
    state = inspect(author)
    assert "posts" in state.unloaded
    assert state.attrs.posts.loaded_value is attributes.NO_VALUE
    assert state.attrs.posts.history.empty()
    assert not session.is_modified(author)
    repr(state.dict)
    vars(author)


@way("Author.posts relationship")
def inspected_value(session):
    author = first(session, Author)
    yield
    inspect(author).attrs.posts.value  # read


# Changes of what is not loaded.


@way("Author.posts relationship")
def append_to_an_unloaded_collection(session):
    author = first(session, Author)
    yield
    author.posts.append(Post(title="new"))  # read


@way()
def backref_appends_to_an_unloaded_collection(session):
    author = first(session, Author)
    yield
    post = Post(title="new", author=author)
    session.add(post)
    session.flush()


@way()
def set_of_an_unloaded_many_to_one(session):
    post, author = first(session, Post), session.get(Author, 2)
    yield
    post.author = author
    session.flush()


@way()
def set_of_an_unloaded_many_to_one_to_none(session):
    post = first(session, Post)
    yield
    post.author = None
    session.flush()


@way("Author.posts relationship")
def set_of_an_unloaded_collection(session):
    author = first(session, Author)
    yield
    author.posts = []  # read


@way()
def set_of_an_unloaded_one_to_one(session):
    author = first(session, Author)
    yield
    author.profile = Profile(motto="new")
    session.flush()  # the old one is loaded here, since 2.0


@way()
def deletion_of_an_unloaded_many_to_one(session):
    post = first(session, Post)
    yield
    del post.author
    session.flush()


@way("Careful.post relationship")
def set_of_a_many_to_one_with_active_history(session):
    careful = first(session, Careful)
    yield
    careful.post = None  # read


@way("Careful.mood expired")
def set_of_a_column_with_active_history(session):
    careful = first(session, Careful)
    session.commit()
    yield
    careful.mood = "cross"  # read


@way("Careful.mood expired")
def deletion_of_a_column_with_active_history(session):
    careful = first(session, Careful)
    session.commit()
    yield
    del careful.mood  # read
    session.expire(careful)  # SQLAlchemy cannot flush it


@way("Careful.mood column")
def set_of_a_column_with_active_history_left_out(session):
    careful = first(session, Careful, load_only(Careful.post_id))
    yield
    careful.mood = "cross"  # read


@way()
def set_of_a_deferred_column(session):
    author = first(session, Author)
    yield
    author.bio = "new"
    assert author.bio == "new"
    session.flush()


@way()
def set_committed(session):
    author = first(session, Author)
    yield
    set_committed_value(author, "posts", [])
    assert author.posts == []


@way()
def flag_of_a_modified_attribute(session):
    author = first(session, Author)
    yield
    flag_modified(author, "name")
    session.flush()


# What a flush loads for its own sake.


@way()
def deletion_with_cascade(session):
    box = first(session, Box)
    yield
    session.delete(box)
    session.flush()


@way()
def deletion_with_passive_deletes(session):
    crate = first(session, Crate)
    yield
    session.delete(crate)
    session.flush()


@way()
def deletion_that_nulls_foreign_keys(session):
    author = first(session, Author)
    yield
    session.delete(author)
    session.flush()


@way()
def deletion_of_an_expired_object(session):
    author = first(session, Author)
    session.commit()
    yield
    session.delete(author)
    session.commit()


@way()
def deletion_of_a_member_of_many_to_many(session):
    post = first(session, Post)
    yield
    session.delete(post)
    session.flush()


@way()
def change_of_an_expired_object_at_flush(session):
    post = first(session, Post)
    session.commit()
    yield
    post.author_id = 2
    session.commit()


@way()
def autoflush(session):
    yield
    session.add(Author(name="new", posts=[Post(title="p")]))
    assert len(every(session, Author)) == 4


@way("Author.posts relationship", bare=False)
def read_that_flushes_first(session):
    author = first(session, Author)
    session.add(Post(title="p", author_id=1))
    yield
    author.posts  # read


@way()
def expunge_with_cascade(session):
    author = first(session, Author)
    yield
    session.expunge(author)


@way()
def bulk(session):
    yield
    session.bulk_save_objects([Author(name="x"), Author(name="y")])
    session.bulk_insert_mappings(Post, [{"title": "x"}])
    session.bulk_update_mappings(Post, [{"id": 1, "title": "y"}])
    session.execute(update(Author).values(born=1))
    session.execute(update(Author), [{"id": 1, "born": 2}])
    session.execute(delete(Profile).where(Profile.id == 1))


@way()
def update_that_evaluates(session):
    authors = every(session, Author)
    yield
    session.execute(update(Author).where(Author.name == "ada").values(born=7))
    assert authors[0].born == 7


@way("Author.born expired")
def update_that_expires(session):
    author = first(session, Author)
    session.execute(
        update(Author).values(born=func.abs(-7)),
        execution_options={"synchronize_session": "fetch"},
    )
    yield
    author.name
    author.born  # read


# New objects.


@way()
def transient(session):
    author = Author(name="new")
    yield
    assert (author.posts, author.profile, author.bio, author.born) == ([], None, None, None)


@way()
def pending(session):
    author = Author(name="new")
    session.add(author)
    yield
    with session.no_autoflush:
        assert (author.posts, author.profile, author.bio, author.born) == ([], None, None, None)


@way()
def pending_with_a_foreign_key(session):
    post = Post(title="new", author_id=1)
    session.add(post)
    yield
    with session.no_autoflush:
        assert post.author is None


@way("Post.eager_author relationship")
def load_on_pending(session):
    post = Post(title="new", author_id=1)
    session.autoflush = False
    session.add(post)
    yield
    post.eager_author  # read


@way("Post.author relationship")
def enable_relationship_loading(session):
    post = Post(title="new", author_id=1)
    session.autoflush = False
    session.enable_relationship_loading(post)
    yield
    post.author  # read


@way("Post.author relationship")
def flushed_with_a_foreign_key(session):
    post = Post(title="new", author_id=1)
    session.add(post)
    session.flush()
    yield
    post.author  # read


@way("Author.posts relationship")
def flushed_and_never_set(session):
    author = Author(name="new")
    session.add(author)
    session.flush()
    yield
    author.posts  # read


@way()
def flushed_and_set(session):
    author = Author(name="new", posts=[Post(title="p")])
    session.add(author)
    session.flush()
    yield
    assert len(author.posts) == 1
    assert author.posts[0].author is author


@way()
def made_transient(session):
    author = first(session, Author)
    make_transient(author)
    yield
    assert author.posts == []


@way("Author.name expired")
def made_detached_and_added(session):
    author = Author(id=1)
    make_transient_to_detached(author)
    session.add(author)
    yield
    author.name  # read


# Attributes in front of attributes.


@way("Author.posts relationship")
def association_proxy(session):
    author = first(session, Author)
    yield
    list(author.titles)  # read


@way()
def hybrid(session):
    author = first(session, Author)
    yield
    assert author.shout == "ADA"
    assert session.scalars(select(Author.name).where(Author.name == "ada")).all()


@way("Author.bio deferred")
def hybrid_of_a_deferred_column(session):
    author = first(session, Author)
    yield
    author.length_of_bio


@way("Author.bio deferred")
def synonym(session):
    author = first(session, Author)
    yield
    assert author.nick == "ada"
    author.about  # read


@way()
def composite(session):
    author = first(session, Author)
    yield
    assert author.place == Place("London", "UK")


@way("Author.city expired")
def expired_composite(session):
    author = first(session, Author)
    session.commit()
    yield
    author.place  # read


@way("Author.posts relationship")
def plain_property(session):
    author = first(session, Author)
    yield
    author.first_title


# Ways to fetch.


@way()
def yield_per(session):
    yield
    query = select(Author).options(selectinload(Author.posts)).execution_options(yield_per=1)
    assert [len(author.posts) for author in session.scalars(query)] == [2, 2, 0]


@way()
def partitions(session):
    yield
    result = session.scalars(select(Author).execution_options(yield_per=2))
    assert [len(part) for part in result.partitions()] == [2, 1]


@way()
def legacy_query_all(session):
    yield
    query = session.query(Author).options(joinedload(Author.posts)).order_by(Author.id)
    assert len(query.all()[0].posts) == len(query.first().posts) == 2
    assert (query.count(), query.filter_by(id=1).one().name) == (3, "ada")
    session.query(Author).filter_by(id=3).update({"born": 1})
    session.query(Author).filter_by(id=3).delete()


@way("Author.posts relationship")
def legacy_query_and_a_lazy_one(session):
    author = session.query(Author).order_by(Author.id).first()
    yield
    author.posts  # read


@way("Author.posts relationship")
def rows(session):
    (author, _), *_ = session.execute(select(Author, Post).join(Author.posts)).all()
    yield
    author.posts  # read


@way()
def returning(session):
    yield
    session.execute(
        text("INSERT INTO authors (name) VALUES ('raw')"),
    )
    query = select(Author).from_statement(text("SELECT * FROM authors ORDER BY id"))
    assert session.scalars(query).first().name == "ada"


# SQLAlchemy marks what such a statement lacks as it marks what expired.
@way("Author.born expired")
def from_statement_with_few_columns(session):
    query = select(Author).from_statement(text("SELECT id, name FROM authors ORDER BY id"))
    author = session.scalars(query).first()
    yield
    author.born  # read


# Code of the user's that SQLAlchemy calls.


@way("Author.posts relationship")
def event_that_reads(session):
    author = first(session, Author)

    def on_set(target, value, old, initiator):
        target.posts  # read

    event.listen(Author.name, "set", on_set)
    try:
        yield
        author.name = "eva"
    finally:
        event.remove(Author.name, "set", on_set)


@way("Author.posts relationship", before=1, bare=False)
def load_event_that_reads(session):
    def on_refresh(target, context, attrs):
        if "bio" in attrs:
            target.posts  # read

    author = first(session, Author)
    event.listen(Author, "refresh", on_refresh)
    try:
        yield
        session.refresh(author, ["bio"])
    finally:
        event.remove(Author, "refresh", on_refresh)


@way()
def load_event_that_queries(session):
    def on_load(target, context):
        context.session.execute(select(Tag.word)).all()

    event.listen(Author, "load", on_load)
    try:
        yield
        every(session, Author)
    finally:
        event.remove(Author, "load", on_load)


@way("Author.posts relationship")
def load_event_that_queries_while_it_loads(session):
    def on_load(target, context):
        context.session.execute(select(Tag.word)).all()  # not where it was read

    author = first(session, Author)
    event.listen(Post, "load", on_load)
    try:
        yield
        author.posts  # read
    finally:
        event.remove(Post, "load", on_load)


@way("Author.posts relationship")
def flush_event_that_reads(session):
    author = first(session, Author)

    def before_flush(session, context, instances):
        author.posts  # read

    event.listen(session, "before_flush", before_flush)
    author.name = "eva"
    yield
    session.flush()


@way()
def statement_event_that_queries(session):
    def on_execute(state):
        if state.is_orm_statement and not state.is_relationship_load:
            state.session.execute(text("SELECT 1"))

    event.listen(session, "do_orm_execute", on_execute)
    yield
    every(session, Author, selectinload(Author.posts))
    event.remove(session, "do_orm_execute", on_execute)


# Copies.


@way()
def shallow_copy(session):
    author = first(session, Author)
    yield
    assert copy.copy(author).name == "ada"


@way()
def deep_copy(session):
    author = first(session, Author)
    yield
    assert copy.deepcopy(author).name == "ada"


@way()
def pickled_and_merged(session):
    author = first(session, Author, selectinload(Author.posts))
    yield
    twin = pickle.loads(pickle.dumps(author))
    session.expunge_all()
    assert session.merge(twin).posts[0].title == "one"


@way("Author.bio deferred")
def pickled_and_added(session):
    author = pickle.loads(pickle.dumps(first(session, Author)))
    session.expunge_all()
    session.add(author)
    yield
    author.bio  # read


@way("Author.posts relationship")
def expunged_and_added(session):
    author = first(session, Author)
    session.expunge(author)
    session.add(author)
    yield
    author.posts  # read


# Dataclasses.


@way()
def dataclass_model(session):
    yield
    owner = Owner(name="new", pets=[Pet(name="p")])
    session.add(owner)
    session.flush()
    assert "Pet(id=" in repr(owner)


@way("Owner.pets relationship")
def dataclass_repr(session):
    owner = first(session, Owner)
    yield
    repr(owner)  # read


@way("Owner.pets relationship")
def dataclass_equality(session):
    one, two = first(session, Owner), Owner(name="olaf")
    two.id = 1
    yield
    one == two  # read
