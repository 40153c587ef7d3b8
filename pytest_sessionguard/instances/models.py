"""What SQLAlchemy knows of a mapped class and of one instance, asked without loading.

| name | used for | if it is gone |
|---|---|---|
| `expired_attributes`, `committed_state`, `callables` of `InstanceState`, and \
`accepts_scalar_loader`, `load_on_unexpire`, `callable_` of `AttributeImpl` | whether reading an \
attribute loads | an AttributeError names it |
| `DEFAULT_STATE_ATTR`, `DEFAULT_MANAGER_ATTR` of `sqlalchemy.orm.base` | which object is an \
instance | an ImportError names it |

Read in SQLAlchemy 2.0.0, 2.0.58 and 2.1.9 (`AttributeImpl.get` and `_fire_loader_callables` in
`sqlalchemy/orm/attributes.py`). To guess in their place would be to call a result healthy unseen.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from sqlalchemy import Table
from sqlalchemy.orm import ColumnProperty, InstanceState, Mapper, RelationshipProperty
from sqlalchemy.orm.base import DEFAULT_STATE_ATTR, NO_VALUE


class Cause(Enum):
    """Why reading a column would load it."""

    EXPIRED = "it was expired by a commit, a rollback or `expire()`; an expression by a flush, too"
    GENERATED = "the database made it up at a flush, and nobody has fetched it"
    SUBCLASS = "it is in the table of a subclass that the query left out"
    DEFERRED = "the mapping defers it"
    LEFT_OUT = "an option of the query left it out"


class Model:
    """A mapped class.

    Attributes:
        mapper: Its mapper.
        name: Its name.
        names: Every name under which SQLAlchemy keeps something in an instance.
        columns: Its columns and SQL expressions.
        relationships: Its relationships.
    """

    __slots__ = ("_impls", "columns", "mapper", "name", "names", "relationships")

    def __init__(self, mapper: Mapper[Any]) -> None:
        self.mapper = mapper
        self.name: str = mapper.class_.__name__
        self.names = frozenset([*mapper.attrs.keys(), DEFAULT_STATE_ATTR])
        self.columns: dict[str, ColumnProperty[Any]] = dict(mapper.column_attrs.items())
        self.relationships: dict[str, RelationshipProperty[Any]] = dict(
            mapper.relationships.items()
        )
        manager = mapper.class_manager
        self._impls: dict[str, Any] = {
            key: manager[key].impl for key in (*self.columns, *self.relationships)
        }

    def needs_load(self, state: InstanceState[Any], values: dict[str, Any], key: str) -> bool:
        """Tell whether reading an attribute of an instance would load it.

        This is what `AttributeImpl.get` decides. Not every attribute that has no value would: a
        column that nobody has set before the flush, or one that was deleted with `del`, is None.

        Args:
            state: SQLAlchemy's record of the instance.
            values: The dictionary of the instance.
            key: A column or a relationship.

        Returns:
            Whether it would; on a detached instance reading it raises then.
        """
        if key in values or state.committed_state.get(key, NO_VALUE) is not NO_VALUE:
            return False
        if self._is_expired(state, key):
            return True
        is_lazy = key in state.callables or self._impls[key].callable_ is not None
        return is_lazy and state.key is not None

    def is_silent(self, key: str) -> bool:
        """Tell whether an attribute gives None where nobody has asked for it.

        Args:
            key: A column or a relationship.

        Returns:
            True for a `query_expression()`, and for a relationship with `lazy="noload"`.
        """
        if key in self.relationships:
            return self.relationships[key].lazy in ("noload", None)
        return not self._impls[key].accepts_scalar_loader

    def is_expression(self, key: str) -> bool:
        """Tell whether an attribute is an SQL expression: every flush expires those.

        Args:
            key: A column.

        Returns:
            True for `column_property(func.length(...))` and its like.
        """
        return not _is_of_table(self.columns[key])

    def find_cause(self, state: InstanceState[Any], values: dict[str, Any], key: str) -> Cause:
        """Find why reading a column would load it.

        A row without the columns of a subclass's table and a flush that leaves the database's
        values behind mark the column like `expire()` does; they are told apart by the mapping.

        Args:
            state: SQLAlchemy's record of the instance.
            values: The dictionary of the instance.
            key: A column that needs a load.

        Returns:
            The cause.
        """
        prop = self.columns[key]
        if not self._is_expired(state, key):
            return Cause.DEFERRED if prop.deferred else Cause.LEFT_OUT
        if state.expired:
            return Cause.EXPIRED
        siblings = self._find_siblings(key)
        if _is_generated(prop) and all(_is_generated(self.columns[each]) for each in siblings):
            return Cause.GENERATED
        if siblings and not any(each in values for each in siblings):
            return Cause.SUBCLASS
        return Cause.GENERATED if _is_generated(prop) else Cause.EXPIRED

    def _is_expired(self, state: InstanceState[Any], key: str) -> bool:
        impl = self._impls[key]
        return (
            key in state.expired_attributes and impl.accepts_scalar_loader and impl.load_on_unexpire
        )

    def _find_siblings(self, key: str) -> list[str]:
        """Find the columns that came with the same subclass, itself among them; none of a base."""
        having = [each for each in self.mapper.iterate_to_root() if key in each.column_attrs]
        parent = having[-1].inherits
        if parent is None:
            return []
        keys = [prop.key for prop in having[-1].column_attrs]
        return [each for each in keys if each not in parent.column_attrs]


def _is_generated(prop: ColumnProperty[Any]) -> bool:
    if not _is_of_table(prop):
        return False
    column = prop.columns[0]
    defaults = (column.default, column.onupdate)
    return (
        column.server_default is not None
        or column.server_onupdate is not None
        or column.computed is not None
        or any(default is not None and default.is_clause_element for default in defaults)
    )


def _is_of_table(prop: ColumnProperty[Any]) -> bool:
    return isinstance(getattr(prop.columns[0], "table", None), Table)
