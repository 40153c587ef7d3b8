"""The ORM instances of a result, found without loading anything and without recursion."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import InstanceState
from sqlalchemy.orm.base import DEFAULT_STATE_ATTR

from pytest_sessionguard.instances.anatomy import Anatomy, name_part
from pytest_sessionguard.instances.classes import is_a
from pytest_sessionguard.instances.containers import ATOMS
from pytest_sessionguard.instances.models import Cause, Model

_HEAD = 8
_TAIL = 4


class Node:
    """One object of the result, and the way to it.

    Attributes:
        value: The object.
        step: How the path goes on from the parent.
        parent: What holds it.
        relationship: The relationship that led to it, as "Slot.recruiter".
        is_inner: Whether a private name or a library's object lies on the way.
        is_related: Whether a relationship lies on the way.
    """

    __slots__ = (
        "anchor",
        "depth",
        "is_inner",
        "is_related",
        "parent",
        "relationship",
        "step",
        "value",
    )

    def __init__(
        self,
        value: Any,
        step: str,
        parent: Node | None = None,
        *,
        relationship: str = "",
        is_inner: bool = False,
    ) -> None:
        self.value = value
        self.step = step
        self.parent = parent
        self.relationship = relationship
        self.is_inner: bool = is_inner or (parent is not None and parent.is_inner)
        self.is_related: bool = bool(relationship) or (parent is not None and parent.is_related)
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.anchor: Node = self if parent is None or self.depth <= _HEAD else parent.anchor

    @property
    def path(self) -> str:
        """Write how to get to it, the middle of a very long way left out."""
        if self.depth <= _HEAD + _TAIL + 1:
            return "".join(self._climb(self.depth + 1))
        left_out = self.depth - _HEAD - _TAIL
        tail = "".join(self._climb(_TAIL))
        return f"{self.anchor.path}.<{left_out} steps>{tail}"

    @property
    def trail(self) -> tuple[str, ...]:
        """Return the last relationships that led to it, the first of them first."""
        names: list[str] = []
        node: Node | None = self
        while node is not None and len(names) < _TAIL and node.is_related:
            names += [node.relationship] if node.relationship else []
            node = node.parent
        return tuple(reversed(names))

    def _climb(self, count: int) -> list[str]:
        steps: list[str] = []
        node: Node | None = self
        while node is not None and len(steps) < count:
            steps.append(node.step)
            node = node.parent
        return steps[::-1]


class Found:
    """An ORM instance of the result.

    Attributes:
        node: The way to it.
        state: SQLAlchemy's record of it.
        values: Its own dictionary. That of the state is another's where the instance is a copy
            that `copy.copy` made: both share one state.
        model: What is known of its class.
    """

    __slots__ = ("model", "node", "state", "values")

    def __init__(
        self, node: Node, state: InstanceState[Any], values: dict[str, Any], model: Model
    ) -> None:
        self.node = node
        self.state = state
        self.values = values
        self.model = model

    def needs_load(self, key: str) -> bool:
        """Tell whether reading an attribute would load it.

        Args:
            key: A column or a relationship of its class.

        Returns:
            Whether it would.
        """
        return self.model.needs_load(self.state, self.values, key)

    def list_columns(self) -> dict[str, Cause]:
        """List the columns whose reading would load them.

        Returns:
            The cause of each, in the order of the mapping.
        """
        return {
            key: self.model.find_cause(self.state, self.values, key)
            for key in self.model.columns
            if key not in self.values and self.needs_load(key)
        }


class Walk:
    """A way through a result, the nearest objects first; those behind a relationship come last."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self._anatomies: dict[int, Anatomy] = {}
        self._models: dict[int, Model] = {}
        self._seen: dict[int, Any] = {}
        # Public, inner, related, related and inner: what an object is counted as where two ways
        # lead to it is the first of these.
        self._queues: tuple[deque[Node], ...] = (deque(), deque(), deque(), deque())

    def go(self, result: object, name: str) -> list[Found]:
        """Find every ORM instance of a result.

        Args:
            result: Anything.
            name: What paths call it.

        Returns:
            Each instance once, with the shortest way to it.

        Raises:
            TypeError: The result is, or holds, something that looking into it would use up.
        """
        self._add(Node(result, name))
        for queue in self._queues:
            while queue:
                self._visit(queue.popleft())
        return self.found

    def find_members(self, value: object) -> Iterator[Found]:
        """Find the instances in a collection, and go no further than them.

        Args:
            value: The value of a relationship, None too.

        Yields:
            Each instance.
        """
        waiting = deque([value])
        seen: dict[int, Any] = {}
        while waiting:
            thing = waiting.popleft()
            if id(type(thing)) in ATOMS or id(thing) in seen:
                continue
            seen[id(thing)] = thing
            anatomy = self._know(type(thing))
            found = self.recognise(Node(thing, ""))
            if found is not None:
                yield found
            elif anatomy.substitute is None:
                waiting += [part.value for part in anatomy.find_parts(thing)]

    def recognise(self, node: Node) -> Found | None:
        """Tell whether an object is an ORM instance.

        Args:
            node: The object.

        Returns:
            What there is to know of it, or None.
        """
        anatomy = self._know(type(node.value))
        if not anatomy.is_mapped:
            return None
        values = anatomy.read_dict(node.value)
        # Of a subclass of `dict` in its place only what is stored counts.
        values = values if type(values) is dict else dict.copy(values)
        state: Any = dict.get(values, DEFAULT_STATE_ATTR)
        if not is_a(type(state), [InstanceState]) or not state.manager.is_mapped:
            return None
        mapper = state.manager.mapper
        if id(mapper) not in self._models:
            self._models[id(mapper)] = Model(mapper)
        return Found(node, state, values, self._models[id(mapper)])

    def _know(self, cls: type) -> Anatomy:
        anatomy = self._anatomies.get(id(cls))
        if anatomy is None:
            anatomy = self._anatomies[id(cls)] = Anatomy(cls)
        return anatomy

    def _add(self, node: Node) -> None:
        if id(type(node.value)) not in ATOMS:
            self._queues[2 * node.is_related + node.is_inner].append(node)

    def _visit(self, node: Node) -> None:
        value = node.value
        if id(value) in self._seen:
            return
        anatomy = self._know(type(value))
        if anatomy.substitute is not None and not node.is_inner:
            path = node.path
            raise TypeError(
                f"{path} is of type {anatomy.name!r}: to look into it would use it up. "
                f"Pass `{anatomy.substitute.format(path)}`."
            )
        if anatomy.is_leaf or (anatomy.is_library and node.is_inner):
            return
        self._seen[id(value)] = value
        found = self.recognise(node)
        if found is not None:
            self.found.append(found)
            self._open_instance(found)
            return
        for part in anatomy.find_parts(value):
            step = part.step if node.is_related else part.open_step or part.step
            is_inner = part.is_inner or anatomy.is_library
            self._add(Node(part.value, step, node, is_inner=is_inner))

    def _open_instance(self, found: Found) -> None:
        # A mapped attribute is a value or a relationship; what else stands in the dictionary was
        # put there by the user's code, or is private.
        model = found.model
        for key, value in list(found.values.items()):
            part = name_part(key, value)
            if type(key) is str and key in model.relationships:
                name = f"{model.name}.{key}"
                self._add(Node(value, part.step, found.node, relationship=name))
            elif type(key) is not str or key not in model.names:
                self._add(Node(value, part.step, found.node, is_inner=part.is_inner))
