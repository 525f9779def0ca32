"""Reading one page of an ordered list, from a place in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from sqlalchemy import Select, SQLColumnExpression, literal, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

T = TypeVar("T")

EARLIEST = datetime.min.replace(tzinfo=UTC)
"""What a missing moment counts as, in an order."""


class Place(Protocol):
    """Right after the row with this value and id, in the list's order; right before it when ``back``."""

    @property
    def value(self) -> datetime | None: ...
    @property
    def id(self) -> UUID: ...
    @property
    def back(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Order:
    """By ``column``, ties by ``id`` in the same direction; rows without a value count as the earliest."""

    column: SQLColumnExpression[Any]
    id: SQLColumnExpression[Any]
    descending: bool

    async def page(
        self, session: AsyncSession, query: Select[T], place: Place | None, size: int
    ) -> tuple[Sequence[T], bool]:
        """At most ``size`` rows from ``place`` on, always in the list's order, and whether more follow that way."""
        downwards = self.descending != (place is not None and place.back)
        keys = (self.column, self.id)
        if place is not None:
            here = tuple_(literal(place.value if place.value is not None else EARLIEST), literal(place.id))
            query = query.where(tuple_(*keys) < here if downwards else tuple_(*keys) > here)
        ordered = query.order_by(*(key.desc() if downwards else key.asc() for key in keys)).limit(size + 1)
        rows = list((await session.scalars(ordered)).all())
        more = len(rows) > size
        rows = rows[:size]
        if place is not None and place.back:
            rows.reverse()
        return rows, more
