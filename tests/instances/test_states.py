"""The state of an instance: which are wrong in a result, and what they are called."""

from __future__ import annotations

import copy
import gc
import pickle

import pytest
from instances.world import Doc, Slot, all_of, find_broken
from sqlalchemy import Engine
from sqlalchemy.orm import Session, make_transient, make_transient_to_detached

from pytest_sessionguard.instances import Kind, Status, find_session, find_troubles, read_status


def kinds(result: object) -> list[Kind]:
    """What is wrong with a result, in the order in which it is found."""
    return [trouble.kind for trouble in find_troubles(result)]


def test_transient() -> None:
    """An instance that was never in a session is fine."""
    slot = Slot()
    assert read_status(slot) == Status("transient")
    assert find_troubles(slot) == []


def test_pending(session: Session) -> None:
    """An instance that waits for its flush is nothing to return."""
    slot = Slot()
    session.add(slot)
    assert read_status(slot).state == "pending"
    assert kinds(slot) == [Kind.PENDING]


def test_persistent(session: Session) -> None:
    """An instance belongs to the session that loaded it."""
    slot = all_of(session, Slot)[0]
    assert read_status(slot).state == "persistent"
    assert kinds(slot) == [Kind.ATTACHED]


def test_persistent_and_expired(session: Session) -> None:
    """What an attached instance would load is its session's business."""
    slot = all_of(session, Slot)[0]
    session.expire(slot)
    assert read_status(slot).expired == ("id", "city_id", "recruiter_id")
    assert kinds(slot) == [Kind.ATTACHED]


def test_deleted_and_not_committed(session: Session) -> None:
    """A deletion may still be rolled back."""
    slot = all_of(session, Slot)[1]
    session.delete(slot)
    assert kinds(slot) == [Kind.ATTACHED]
    session.flush()
    assert read_status(slot).state == "deleted"
    assert kinds(slot) == [Kind.DELETED]


def test_deleted_for_good(session: Session) -> None:
    """A deleted instance leaves its session with what it has loaded."""
    slot = all_of(session, Slot)[1]
    session.delete(slot)
    session.commit()
    assert read_status(slot).state == "detached"
    assert kinds(slot) == []
    assert find_broken(slot).isdisjoint({"id", "city_id", "recruiter_id"})


def test_detached_by_close(session: Session) -> None:
    """`close()` lets go of instances as they are."""
    slot = all_of(session, Slot)[0]
    session.close()
    status = read_status(slot)
    assert status == Status("detached", relationships=("city", "recruiter", "notes", "tags"))
    assert kinds(slot) == []


def test_expunged(session: Session) -> None:
    """`expunge()` lets go of an instance as it is."""
    slot = all_of(session, Slot)[0]
    session.expunge(slot)
    assert kinds(slot) == []


def test_commit_then_expunge(session: Session) -> None:
    """What a commit has expired stays expired when it is expunged."""
    slot = all_of(session, Slot)[0]
    session.commit()
    session.expunge(slot)
    (trouble,) = find_troubles(slot)
    assert (trouble.kind, trouble.attributes) == (Kind.EXPIRED, ("id", "city_id", "recruiter_id"))
    assert trouble.instance is slot
    assert find_broken(slot) >= set(trouble.attributes)


def test_commit_then_refresh_then_expunge(session: Session) -> None:
    """The mend, in the order in which it mends."""
    slot = all_of(session, Slot)[0]
    session.commit()
    session.refresh(slot)
    session.expunge(slot)
    assert kinds(slot) == []


def test_refresh_then_commit_then_expunge(session: Session) -> None:
    """The mend in the wrong order mends nothing."""
    slot = all_of(session, Slot)[0]
    session.refresh(slot)
    session.commit()
    session.expunge(slot)
    assert kinds(slot) == [Kind.EXPIRED]


def test_rollback(session: Session) -> None:
    """A rollback expires as a commit does."""
    slot = all_of(session, Slot)[0]
    session.rollback()
    session.expunge(slot)
    assert kinds(slot) == [Kind.EXPIRED]


def test_session_that_was_collected(filled: Engine) -> None:
    """A session that is gone holds nothing any more."""
    session = Session(filled)
    slot = all_of(session, Slot)[0]
    session.connection().close()
    del session
    gc.collect()
    assert read_status(slot).state == "detached"


def test_made_transient(session: Session) -> None:
    """`make_transient` forgets what was expired."""
    slot = all_of(session, Slot)[0]
    session.expire(slot)
    make_transient(slot)
    assert read_status(slot) == Status("transient")


def test_made_detached() -> None:
    """`make_transient_to_detached` expires what has no value."""
    slot = Slot(id=1)
    make_transient_to_detached(slot)
    (trouble,) = find_troubles(slot)
    assert trouble.attributes == ("city_id", "recruiter_id")
    assert find_broken(slot) >= set(trouble.attributes)


def test_rolled_back_before_it_was_fetched(session: Session) -> None:
    """A transient instance can be broken too: SQLAlchemy forgets its key, not what is expired."""
    doc = Doc()
    session.add(doc)
    session.flush()
    session.rollback()
    assert read_status(doc).state == "transient"
    found = [(trouble.kind, trouble.attributes) for trouble in find_troubles(doc)]
    # A flush expires SQL expressions, and leaves the server's defaults to be fetched.
    assert found == [(Kind.EXPIRED, ("size",)), (Kind.UNLOADED, ("made_at",))]
    assert find_broken(doc) == {"size", "made_at"}


def test_copied_before_the_commit(session: Session) -> None:
    """`copy.copy` gives a second object with the same state, and values of its own."""
    slot = all_of(session, Slot)[0]
    twin = copy.copy(slot)
    session.commit()
    session.expunge(slot)
    assert [trouble.path for trouble in find_troubles([slot, twin])] == ["result[0]"]
    assert find_broken(twin).isdisjoint({"id", "city_id", "recruiter_id"})


def test_unpickled(session: Session) -> None:
    """What was not loaded is not loaded after pickling."""
    slot = all_of(session, Slot)[0]
    doc = all_of(session, Doc)[0]
    slot, doc = pickle.loads(pickle.dumps((slot, doc)))
    assert kinds(slot) == []
    assert find_troubles(doc)[0].attributes == ("body", "page", "cover", "sealed")


def test_merged(session: Session) -> None:
    """The copy that `merge` returns belongs to the session, what was merged does not."""
    given = Slot(id=1)
    assert kinds(given) == []
    assert kinds(session.merge(given)) == [Kind.ATTACHED]
    assert kinds(given) == []


@pytest.mark.parametrize(
    "thing",
    [None, 1, "slot", object(), Slot, [Slot()]],
    ids=["None", "int", "str", "object", "class", "list"],
)
def test_status_of_something_else(thing: object) -> None:
    """Only an instance has a status."""
    with pytest.raises(TypeError, match="is no mapped class"):
        read_status(thing)


def test_session_of_an_instance(session: Session) -> None:
    """The session is found as long as it holds the instance."""
    slot = all_of(session, Slot)[0]
    assert find_session(slot) is session
    session.close()
    assert find_session(slot) is None
    assert find_session(object()) is None
