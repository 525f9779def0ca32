"""What every model needs to say of itself in SQL; the statements made of it are the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

from app.sources.base import EventQuery
from app.sources.postgres.values import Values


class ModelSql(ABC):
    """One model. Whatever is not typed by itself goes into a statement by way of :class:`Values`."""

    tables: ClassVar[Sequence[str]]
    """Those whose rows make up the model: late commits to them are waited for."""
    identity: ClassVar[str]
    """An expression of type ``text`` that tells its rows apart (:data:`app.sources.columns.IDENTITY`)."""
    sortable: ClassVar[Mapping[str, str]] = {}
    """The columns that rows can be sorted by, each with its expression. A name of the table's alone would be taken for
    that of an output column, which may be something else."""

    @abstractmethod
    def columns(self, query: EventQuery, values: Values) -> str:
        """The select list."""

    @abstractmethod
    def rows(self, query: EventQuery, values: Values) -> str:
        """FROM and WHERE."""

    @abstractmethod
    def time(self, query: EventQuery) -> str:
        """The expression that selects."""

    def select(self, query: EventQuery, values: Values) -> str:
        return f"SELECT {self.columns(query, values)} {self.rows(query, values)} {self.order(query)}"

    def order(self, query: EventQuery) -> str:
        """ORDER BY, or nothing."""
        return f"ORDER BY {', '.join(self.sortable[name] for name in query.order)}" if query.order else ""

    def count(self, query: EventQuery, values: Values) -> str:
        """One row, ``rows``."""
        return f"SELECT count(*) AS rows {self.rows(query, values)}"

    def fingerprint(self, query: EventQuery, values: Values) -> str:
        """One row: ``rows``, and ``hash`` as text, for its digits are more than a bigint's. Each number is signed:
        modulo 2^64 that is the same."""
        hashed = f"sum(('x' || left(md5({self.identity}), 16))::bit(64)::bigint)::text"
        return f"SELECT count(*) AS rows, {hashed} AS hash {self.rows(query, values)}"

    def earliest(self, query: EventQuery, values: Values) -> str:
        """At most one row, ``moment``."""
        time = self.time(query)
        # Ordered and cut rather than min(): the time index then gives the answer at its first matching entry.
        return f"SELECT {time} AS moment {self.rows(query, values)} ORDER BY {time} LIMIT 1"


def literal(moment: datetime) -> str:
    """A typed constant: it holds nothing but digits and separators."""
    return f"timestamptz '{moment.astimezone(UTC).isoformat()}'"
