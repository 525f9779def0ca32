"""The ``persons`` model (the contract's section 9.2): whose a distinct id is, and what is known of that person.

Rows are what held at the window's end, by the newest versions there were then: a window that is read again, after a
year and a thousand changes, gives the same rows. A row is in the window in which its newest version arrived, that of
the person or that of the mapping. Persons have no time of their own, so that is how they are always selected.
"""

# ruff: noqa: S608  nothing but constants, numbers and typed literals

from collections.abc import Mapping
from typing import Final

from app.sources.base import EventQuery
from app.sources.postgres.models import ModelSql, literal
from app.sources.postgres.values import Values

INSERTED_AT: Final = "greatest(mapping.inserted_at, person.inserted_at)"

EXPRESSIONS: Final[Mapping[str, str]] = {
    "team_id": "mapping.team_id::bigint",
    "distinct_id": "mapping.distinct_id",
    "person_id": "person.id::text",
    "properties": "person.properties",
    "person_distinct_id_version": "mapping.version",
    "person_version": "person.version",
    "created_at": "person.created_at",
    # Either is the end of the row. The distinct ids of a person that was merged into another are that one's by then.
    "is_deleted": "mapping.is_deleted OR person.is_deleted",
    "_inserted_at": INSERTED_AT,
}


class Persons(ModelSql):
    tables = ("event_store.persons", "event_store.person_distinct_ids")
    identity = "mapping.distinct_id"

    def columns(self, query: EventQuery, values: Values) -> str:
        return ", ".join(f'{EXPRESSIONS[name]} AS "{name}"' for name in query.columns)

    def rows(self, query: EventQuery, values: Values) -> str:
        """A distinct id whose person has no version yet is no row: what was exported of it before stays, until the
        person comes."""
        before_end = f"team_id = {int(query.project_id)} AND inserted_at < {literal(query.end)}"
        since = f"WHERE {INSERTED_AT} >= {literal(query.start)}" if query.start is not None else ""
        return f"""
            FROM ({_changed(query)}) AS changed
            CROSS JOIN LATERAL (
                SELECT * FROM event_store.person_distinct_ids
                WHERE {before_end} AND distinct_id = changed.distinct_id
                ORDER BY version DESC LIMIT 1
            ) AS mapping
            CROSS JOIN LATERAL (
                SELECT * FROM event_store.persons
                WHERE {before_end} AND id = mapping.person_id
                ORDER BY version DESC LIMIT 1
            ) AS person
            {since}
        """

    def time(self, query: EventQuery) -> str:
        return INSERTED_AT

    def earliest(self, query: EventQuery, values: Values) -> str:
        """When the first version arrived. Later windows may show newer ones: no window before it has a row."""
        first = " UNION ALL ".join(
            f"(SELECT inserted_at AS moment FROM {table} WHERE {_window(query)} ORDER BY inserted_at LIMIT 1)"
            for table in self.tables
        )
        return f"SELECT moment FROM ({first}) AS first ORDER BY moment LIMIT 1"


def _changed(query: EventQuery) -> str:
    """The distinct ids of all rows of the window, and some more: a version may be older than another that came
    before it."""
    project = f"team_id = {int(query.project_id)}"
    if query.start is None:
        return f"SELECT DISTINCT distinct_id FROM event_store.person_distinct_ids WHERE {project}"
    # Person by person: what that takes depends on how many have changed, and not on how many there are.
    return f"""
        SELECT distinct_id FROM event_store.person_distinct_ids WHERE {_window(query)}
        UNION
        SELECT theirs.distinct_id
        FROM (SELECT DISTINCT id FROM event_store.persons WHERE {_window(query)}) AS person
        CROSS JOIN LATERAL (
            SELECT distinct_id FROM event_store.person_distinct_ids WHERE {project} AND person_id = person.id OFFSET 0
        ) AS theirs
    """


def _window(query: EventQuery) -> str:
    conditions = [f"team_id = {int(query.project_id)}", f"inserted_at < {literal(query.end)}"]
    if query.start is not None:
        conditions.append(f"inserted_at >= {literal(query.start)}")
    return " AND ".join(conditions)
