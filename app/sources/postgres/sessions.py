"""The ``sessions`` model (the contract's section 9.3), computed from events by their ``$session_id``.

Sessions are told as they were at the window's end, of the events that had been ingested by then, so a window that is
read again gives the same rows. A session belongs to the window in which it changed last: when its last event was
ingested or, should its clock be ahead of the store's, when it ended. Backfills select alike (section 6.3).

An event counts in the three days before the session's end. Clients end sessions after a day; an id that goes on being
used is a mistake, and must not make every run read all events there ever were.
"""

# ruff: noqa: S608  nothing but constants, numbers and typed literals

from collections.abc import Mapping
from typing import ClassVar, Final

from app.sources.base import EventQuery
from app.sources.columns import REACH
from app.sources.postgres.facts import FACTS, facts
from app.sources.postgres.models import ModelSql, literal
from app.sources.postgres.values import Values

SPAN: Final = f"interval '{REACH['sessions'].days} days'"
"""How far events reach back from their session's end, and how far a session's end may be ahead of its ingestion. One
that is further ahead comes from a clock that is wrong, and is not waited for."""

SANE: Final = f"least(timestamp, inserted_at + {SPAN})"
CHANGED_AT: Final = (
    f"CASE WHEN timestamp <= inserted_at + {SPAN} THEN greatest(timestamp, inserted_at) ELSE inserted_at END"
)

EXPRESSIONS: Final[Mapping[str, str]] = {
    "session_id": "session.session_id",
    "_inserted_at": "greatest(session.inserted_at, facts.end_timestamp)",
    **FACTS,
}


class Sessions(ModelSql):
    tables = ("event_store.events",)
    identity = "session.session_id"
    sortable: ClassVar[Mapping[str, str]] = {"start_timestamp": "facts.start_timestamp"}

    def columns(self, query: EventQuery, values: Values) -> str:
        expressions = {"team_id": f"{int(query.project_id)}::bigint", **EXPRESSIONS}
        return ", ".join(f'{expressions[name]} AS "{name}"' for name in query.columns)

    def rows(self, query: EventQuery, values: Values) -> str:
        """The sessions of the window, by what is known of events without their properties."""
        time = self.time(query)
        since = f" AND {time} >= {literal(query.start)}" if query.start is not None else ""
        return f"""
            FROM (
                SELECT candidate.session_id, known.* FROM ({_candidates(query)}) AS candidate
                CROSS JOIN LATERAL (
                    SELECT max(inserted_at) AS inserted_at, max(changed_at) AS changed_at, min(last) AS last,
                           min(timestamp) FILTER (WHERE last - timestamp <= {SPAN}) AS start_timestamp
                    FROM (
                        SELECT inserted_at, timestamp, {CHANGED_AT} AS changed_at, max({SANE}) OVER () AS last
                        FROM event_store.events
                        WHERE {_known(query)} AND session_id = candidate.session_id
                    ) AS event
                ) AS known
            ) AS session
            WHERE {time} < {literal(query.end)}{since}
        """

    def select(self, query: EventQuery, values: Values) -> str:
        of_session = f"{_known(query)} AND session_id = session.session_id AND session.last - timestamp <= {SPAN}"
        # The sessions first, cut off from what follows: properties are read of their events alone.
        sessions = f"SELECT session.* {self.rows(query, values)}"
        return f"""
            SELECT {self.columns(query, values)}
            FROM ({sessions}) AS session CROSS JOIN LATERAL ({facts(of_session)}) AS facts
            {self.order(query)}
        """

    def time(self, query: EventQuery) -> str:
        return "session.changed_at"

    def earliest(self, query: EventQuery, values: Values) -> str:
        """Of the events that may be a row's reason to be there: no window before it has a row."""
        ahead = _ahead(query)
        # Without an order that an index has: three days' events are fewer than a year's.
        first_ahead = (
            f"UNION ALL SELECT min(timestamp) FROM (SELECT timestamp {ahead} OFFSET 0) AS ahead" if ahead else ""
        )
        return f"""
            SELECT moment FROM (({_first(query)}) {first_ahead}) AS first
            WHERE moment IS NOT NULL ORDER BY moment LIMIT 1
        """


def _candidates(query: EventQuery) -> str:
    """The ids of all sessions of the window, and of some more."""
    if query.start is None:
        return f"SELECT DISTINCT session_id FROM event_store.events WHERE {_known(query)}"
    changed = f"SELECT session_id FROM event_store.events WHERE {_known(query)} AND {_window(query, 'inserted_at')}"
    ahead = _ahead(query)
    return (
        f"{changed} UNION SELECT session_id {ahead}"
        if ahead
        else f"SELECT DISTINCT session_id FROM ({changed}) AS changed"
    )


def _known(query: EventQuery) -> str:
    """The events with a session there are, of those that had been ingested when the window ended."""
    return (
        f"team_id = {int(query.project_id)} AND session_id IS NOT NULL AND isfinite(timestamp) "
        f"AND inserted_at < {literal(query.end)}"
    )


def _ahead(query: EventQuery) -> str | None:
    """FROM and WHERE: events ingested before the window that happened in it, by their clock."""
    if query.start is None:
        return None
    start = literal(query.start)
    return f"""
        FROM event_store.events
        WHERE {_known(query)} AND {_window(query, "timestamp")} AND timestamp < {start} + {SPAN}
          AND inserted_at < {start} AND inserted_at >= {start} - {SPAN}
    """


def _first(query: EventQuery) -> str:
    return f"""
        SELECT inserted_at AS moment FROM event_store.events WHERE {_known(query)} AND {_window(query, "inserted_at")}
        ORDER BY inserted_at LIMIT 1
    """


def _window(query: EventQuery, time: str) -> str:
    start = f" AND {time} >= {literal(query.start)}" if query.start is not None else ""
    return f"{time} < {literal(query.end)}{start}"
