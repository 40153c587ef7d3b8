"""The walk through a result: where instances are found, what is refused, what is left alone."""

from __future__ import annotations

import collections
import dataclasses
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from unittest import mock

import pytest
from instances.world import Recruiter, Slot, Tree, all_of
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session, selectinload

from pytest_sessionguard.instances import find_troubles

LONG = 100_000


class Pair(NamedTuple):
    first: Any
    second: Any


class Plain:
    def __init__(self, value: Any) -> None:
        self.value = value


@dataclasses.dataclass(slots=True)
class Slotted:
    value: Any
    unset: Any = dataclasses.field(init=False)


@dataclasses.dataclass(slots=True)
class SlottedChild(Slotted):
    own: Any = None


class Items(list[Any]):
    """A list that may not be iterated over."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("iterated over")


class Mapping(dict[Any, Any]):
    """A dictionary that may not be asked."""

    def items(self) -> Any:
        raise AssertionError("asked")

    __getitem__ = __iter__ = keys = values = __len__ = items  # type: ignore[assignment]


def paths(result: object) -> list[str]:
    """Where attached instances are found."""
    return [trouble.path for trouble in find_troubles(result)]


@pytest.fixture
def slot(session: Session) -> Slot:
    """An attached instance, which is found wherever it is."""
    return all_of(session, Slot)[0]


WRAPPED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "bare": (lambda slot: slot, "result"),
    "list": (lambda slot: [None, slot], "result[1]"),
    "tuple": (lambda slot: (1, slot), "result[1]"),
    "set": (lambda slot: {slot}, "result{0}"),
    "frozenset": (lambda slot: frozenset([slot]), "result{0}"),
    "deque": (lambda slot: collections.deque([0, slot]), "result[1]"),
    "dict-value": (lambda slot: {"a": 1, "b": slot}, "result['b']"),
    "dict-key": (lambda slot: {slot: 1}, "result<key 0>"),
    "dict-secret": (lambda slot: {"ann@example.org": slot}, "result[<key 0>]"),
    "dict-number": (lambda slot: {7: slot}, "result[7]"),
    "defaultdict": (lambda slot: collections.defaultdict(list, a=[slot]), "result['a'][0]"),
    "dict-values": (lambda slot: {"a": slot}.values(), "result[0]"),
    "dict-keys": (lambda slot: {slot: 1}.keys(), "result[0]"),
    "dict-items": (lambda slot: {"a": slot}.items(), "result[0][1]"),
    "proxy": (lambda slot: types.MappingProxyType({"a": slot}), "result['a']"),
    "namedtuple": (lambda slot: Pair(1, slot), "result.second"),
    "plain": (lambda slot: Plain(slot), "result.value"),
    "namespace": (lambda slot: types.SimpleNamespace(a=slot), "result.a"),
    "slots": (lambda slot: Slotted(slot), "result.value"),
    "slots-inherited": (lambda slot: SlottedChild(1, slot), "result.own"),
    "list-subclass": (lambda slot: Items([slot]), "result[0]"),
    "dict-subclass": (lambda slot: Mapping(a=slot), "result['a']"),
    "user-dict": (lambda slot: collections.UserDict(a=slot), "result.data['a']"),
    "nested": (lambda slot: {"a": [(Plain({"b": Slotted(slot)}),)]}, "result['a'][0][0].value"),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_containers(slot: Slot, name: str) -> None:
    """An instance is found in every sort of holder, and its path can be pasted."""
    wrap, path = WRAPPED[name]
    (found,) = paths(wrap(slot))
    assert found == path + ("['b'].value" if name == "nested" else "")


def test_attrs(slot: Slot) -> None:
    """An attrs class keeps its fields in slots."""
    attrs = pytest.importorskip("attrs")
    thing = attrs.make_class("Thing", ["first", "second"], slots=True)
    assert paths(thing(1, slot)) == ["result.second"]


def test_pydantic(slot: Slot) -> None:
    """A pydantic model keeps undeclared and private fields in slots."""
    pydantic = pytest.importorskip("pydantic")
    config = pydantic.ConfigDict(arbitrary_types_allowed=True, extra="allow")
    model = pydantic.create_model("Out", __config__=config, declared=(Any, ...))
    assert paths(model(declared=slot)) == ["result.declared"]
    assert paths(model(declared=1, more=[slot])) == ["result.more[0]"]


def test_pydantic_from_attributes(session: Session) -> None:
    """A model made of an instance's values holds no instance."""
    pydantic = pytest.importorskip("pydantic")
    config = pydantic.ConfigDict(from_attributes=True)
    model = pydantic.create_model("Out", __config__=config, id=(int, ...))
    assert paths([model.model_validate(slot) for slot in all_of(session, Slot)]) == []


def test_rows(session: Session) -> None:
    """Rows and their mappings hold instances; a row's columns have names."""
    query = select(Slot.id, Slot).order_by(Slot.id)
    assert paths(session.execute(query).all()) == ["result[0][1]", "result[1][1]"]
    assert paths(session.execute(query).mappings().all()) == [
        "result[0]['Slot']",
        "result[1]['Slot']",
    ]


def test_rows_of_one_name(session: Session) -> None:
    """Two columns of one name are two values."""
    query = select(Slot.id.label("x"), Slot.city_id.label("x"), Slot).limit(1)
    assert len(paths(session.execute(query).mappings().all())) == 1


def test_frozen_result(session: Session) -> None:
    """A frozen result has fetched its rows."""
    frozen = session.execute(select(Slot).order_by(Slot.id)).freeze()
    assert len(paths(frozen)) == 2


def test_relationships(session: Session) -> None:
    """What is loaded behind a relationship belongs to the result; what is not is not loaded."""
    slots = all_of(session, Slot, selectinload(Slot.recruiter))
    (first, second, recruiter) = find_troubles(slots)
    assert (first.path, second.path) == ("result[0]", "result[1]")
    assert (recruiter.path, recruiter.trail) == ("result[0].recruiter", ("Slot.recruiter",))


def test_path_of_the_fourth(session: Session) -> None:
    """The path of the brief."""
    slot = all_of(session, Slot, selectinload(Slot.recruiter))[0]
    assert paths([1, 2, 3, slot])[-1] == "result[3].recruiter"


def test_keys_of_a_relationship(session: Session) -> None:
    """The keys of a keyed collection are values of the database: no path tells them."""
    slot = all_of(session, Slot, selectinload(Slot.notes))[0]
    assert paths(slot) == ["result", "result.notes[<key 0>]"]


def test_shortest_way(slot: Slot) -> None:
    """An instance is told once, with the shortest way to it."""
    assert paths([[[slot]], slot, {"a": slot}]) == ["result[1]"]


def test_cycles(slot: Slot) -> None:
    """Holders that hold themselves."""
    ring: list[Any] = []
    ring += [ring, Plain(ring), {"ring": ring, "slot": slot}]
    assert paths(ring) == ["result[2]['slot']"]
    parent, child = Tree(), Tree()
    parent.children.append(child)
    assert paths([parent, child.children]) == []


def test_long_chain_of_lists(slot: Slot) -> None:
    """The depth of the interpreter's stack is no limit, and a long path is cut."""
    chain: Any = slot
    for _ in range(LONG):
        chain = [chain]
    (path,) = paths(chain)
    assert path == f"result{'[0]' * 8}.<{LONG - 12} steps>[0][0][0][0]"
    while type(chain) is list:
        chain = chain.pop()


def test_long_chain_of_nodes(session: Session) -> None:
    """A linked list of instances: the last is found."""
    first = node = Tree()
    for _ in range(LONG // 10):
        following = Tree()
        following.__dict__["parent"] = node
        node = following
    session.add(first)
    (path,) = paths(node)
    assert path == f"result{'.parent' * 8}.<{LONG // 10 - 12} steps>" + ".parent" * 4
    while "parent" in node.__dict__:
        node = node.__dict__.pop("parent")


def refuse(result: object) -> str:
    """The message with which a result is refused."""
    with pytest.raises(TypeError) as caught:
        find_troubles(result)
    return str(caught.value)


def test_generator() -> None:
    """A generator is refused, and still has all its items."""
    made = (number for number in range(3))
    assert refuse(made) == (
        "result is of type 'generator': to look into it would use it up. Pass `list(result)`."
    )
    assert list(made) == [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [iter, lambda items: map(str, items), zip, enumerate, reversed],
    ids=["iter", "map", "zip", "enumerate", "reversed"],
)
def test_iterators(make: Callable[[list[int]], Iterator[Any]]) -> None:
    """Iterators are refused wherever they are, and nothing of them is used up."""
    made = make([1, 2])
    assert "Pass `list(result['a'].value)`" in refuse({"a": Plain(made)})
    assert len(list(made)) == 2


def test_coroutine() -> None:
    """A coroutine is refused, with the word that is missing."""

    async def get() -> int:
        return 1

    made = get()
    assert "Pass `await result`" in refuse(made)
    assert made.cr_frame is not None
    made.close()


def test_async_generator() -> None:
    """So is an asynchronous generator."""

    async def get() -> Any:
        yield 1

    assert "Pass `[item async for item in result[0]]`" in refuse([get()])


@pytest.mark.parametrize(
    "make",
    [
        lambda session: session.execute(select(Slot)),
        lambda session: session.scalars(select(Slot)),
        lambda session: session.execute(select(Slot)).mappings(),
        lambda session: session.execute(select(Slot)).columns(0),
        lambda session: session.execute(select(Slot)).unique(),
    ],
    ids=["Result", "ScalarResult", "MappingResult", "columns", "unique"],
)
def test_open_result(session: Session, make: Callable[[Session], Any]) -> None:
    """An open result is refused, and none of its rows is fetched."""
    made = make(session)
    assert "Pass `result.all()`" in refuse(made)
    assert len(made.all()) == 2


def test_query(session: Session, sql: list[str]) -> None:
    """A query is refused, and does not run."""
    assert "Pass `result.all()`" in refuse(session.query(Slot))
    assert sql == []


def test_live_relationships(session: Session, sql: list[str]) -> None:
    """A dynamic or write-only relationship is a query that nobody has asked to run."""
    recruiter, slot = all_of(session, Recruiter)[0], all_of(session, Slot)[0]
    sql.clear()
    assert paths([recruiter, slot]) == ["result[0]", "result[1]"]
    assert sql == []


class Angry:
    """Raises whatever is done with it."""

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "value", value)

    @property
    def loaded(self) -> Any:
        raise AssertionError("property")

    def _raise(self, *args: Any) -> Any:
        raise AssertionError("used")

    __eq__ = __ne__ = __bool__ = __len__ = __iter__ = __contains__ = __getitem__ = _raise
    __getattr__ = __repr__ = __str__ = __dir__ = __format__ = __call__ = __reduce__ = _raise
    __hash__ = _raise


class Furious(Angry):
    """Does so for attributes that it has, too."""

    __getattribute__ = Angry._raise  # type: ignore[assignment]


class Meta(type):
    """A metaclass that tells nothing of its classes."""

    def __getattribute__(cls, name: str) -> Any:
        raise AssertionError(name)

    def __instancecheck__(cls, instance: Any) -> bool:
        raise AssertionError("asked")


def mask(value: Any) -> Any:
    """An object of such a class, which pytest must not meet in the module."""

    class Masked(metaclass=Meta):
        pass

    thing: Any = type.__call__(Masked)
    thing.value = value
    return thing


@pytest.mark.parametrize("make", [Angry, Furious, mask], ids=["angry", "furious", "masked"])
def test_hostile_holders(slot: Slot, make: Callable[[Any], Any]) -> None:
    """What an object's class does is never run; what it holds is found nevertheless."""
    thing = make(slot)
    assert paths([thing]) == ["result[0].value"]
    assert paths({"a": (thing, thing)}) == ["result['a'][0].value"]


def test_property_is_not_read(slot: Slot) -> None:
    """A property, a cached one too, is code."""
    read = []

    class Lazy:
        value = property(lambda self: read.append(1))

    assert paths([Lazy(), slot]) == ["result[1]"]
    assert read == []


@pytest.mark.parametrize(
    "make", [mock.Mock, mock.MagicMock, mock.AsyncMock], ids=["Mock", "MagicMock", "AsyncMock"]
)
def test_mocks(slot: Slot, make: Callable[[], Any]) -> None:
    """A mock answers to every name: it holds nothing, is refused for nothing, and is not called."""
    made = make()
    assert paths([made, Plain(made), slot]) == ["result[2]"]
    assert made.mock_calls == []


def test_false_class(slot: Slot) -> None:
    """An object that claims another class is what its type is."""

    class Claims:
        __class__ = Slot  # type: ignore[assignment]

    assert paths([Claims(), mock.Mock(spec=Slot), slot]) == ["result[2]"]


def test_what_is_no_data(session: Session, filled: Engine) -> None:
    """Sessions, engines, modules, functions and classes hold no results."""
    slots = all_of(session, Slot)
    assert paths([session, filled, dataclasses, Slot, Slot.city, len, lambda: slots]) == []


def test_library(slot: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a package's plain object its own attributes are looked at, not all it leads to."""
    module = types.ModuleType("a_client")
    module.__file__ = "/x/site-packages/a_client.py"
    monkeypatch.setitem(sys.modules, "a_client", module)
    client = type("Client", (), {"__module__": "a_client"})
    outer, inner = client(), client()
    outer.body, outer.inner, inner.slot = slot, inner, slot
    assert paths(outer) == ["result.body"]
    del outer.body
    assert paths(outer) == []


def test_instance_without_state() -> None:
    """An instance that was made around `__init__` is none yet."""
    assert paths([object.__new__(Slot)]) == []


def test_nothing_is_sent(session: Session, sql: list[str]) -> None:
    """Neither a walk through expired instances nor one through pending ones sends anything."""
    slots = all_of(session, Slot)
    session.expire_all()
    session.add(Slot())
    sql.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(paths([*slots, *session.new])) == 3
    assert sql == []
    assert len(session.new) == 1


def test_no_events(session: Session) -> None:
    """No event of the ORM fires."""
    fired: list[object] = []

    def on_event(*args: object) -> None:
        fired.append(args)

    slots = all_of(session, Slot)
    session.expire(slots[0])
    event.listen(Slot, "refresh", on_event)
    event.listen(Slot, "load", on_event)
    try:
        assert paths(slots) == ["result[0]", "result[1]"]
    finally:
        event.remove(Slot, "refresh", on_event)
        event.remove(Slot, "load", on_event)
    assert fired == []
