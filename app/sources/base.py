"""The seam towards event stores: one frozen query in, Arrow record batches out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol

import pyarrow as pa

from app.fingerprint import Fingerprint
from app.query.tree import Expression, Field
from app.streams import Batches


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which rows and columns. The window is half-open, ``[start, end)``, UTC; no ``start`` means from the beginning."""

    project_id: int
    model: str
    start: datetime | None
    end: datetime
    select_by: Literal["ingested_at", "timestamp"]
    columns: Sequence[str]
    """Of :data:`app.sources.columns.COLUMNS`, in order."""
    include_events: Sequence[str] = ()
    exclude_events: Sequence[str] = ()
    filters: Sequence[Expression] = ()
    """Conditions on events that must all hold. One that is null does not."""
    fields: Sequence[Field] | None = None
    """Columns that are computed, in place of ``columns``."""
    order: Sequence[str] = ()
    """The model's columns by which the rows are to come sorted, whether they are read or not: texts by their bytes,
    times from the earliest. Empty: in any order."""
    whole: bool = True
    """Whether it is an error (:class:`app.errors.NoLongerKept`) that rows which belong to it have been pruned."""


class Source(Protocol):
    """An event store. All methods raise :class:`app.errors.RunError`; nothing of the driver leaks out."""

    def schema(self, query: EventQuery) -> pa.Schema:
        """The columns ``read`` yields, in order; JSON text is marked by ``app.streams.json_field``."""
        ...

    async def settle(self, query: EventQuery, longest: timedelta) -> None:
        """Return once no open transaction can commit rows into the window any more: what is read from then on is all.

        Matters to windows of ingestion time alone; others are open for good.

        :raises app.errors.Unsettled: when that takes longer than ``longest``.
        """
        ...

    def read(self, query: EventQuery) -> Batches:
        """The rows, in batches of any size and in the query's order. Closing the iterator ends the query at the
        server."""
        ...

    async def count(self, query: EventQuery) -> int: ...

    async def fingerprint(self, query: EventQuery) -> Fingerprint:
        """Of the rows that ``read`` would yield."""
        ...

    async def earliest(self, query: EventQuery) -> datetime | None:
        """The least value of the selecting time column, or None when the window is empty."""
        ...

    async def aclose(self) -> None: ...
