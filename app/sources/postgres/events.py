"""The ``events`` model (the contract's section 9.1)."""

from collections.abc import Mapping
from typing import Final

from app.sources.base import EventQuery
from app.sources.postgres.models import ModelSql, literal
from app.sources.postgres.values import Values, storable

EXPRESSIONS: Final[Mapping[str, str]] = {
    "uuid": "uuid::text",
    "person_id": "person_id::text",
    "_inserted_at": "inserted_at",
    "team_id": "team_id::bigint",
}
"""What SQL a column is, where it is not simply its name."""

TIME_COLUMNS: Final[Mapping[str, str]] = {"ingested_at": "inserted_at", "timestamp": "timestamp"}


class Events(ModelSql):
    tables = ("event_store.events",)
    identity = "uuid::text"

    def columns(self, query: EventQuery, values: Values) -> str:
        return ", ".join(f'{EXPRESSIONS.get(name, name)} AS "{name}"' for name in query.columns)

    def rows(self, query: EventQuery, values: Values) -> str:
        time = self.time(query)
        conditions = [f"team_id = {int(query.project_id)}", f"{time} < {literal(query.end)}"]
        if query.start is not None:
            conditions.append(f"{time} >= {literal(query.start)}")
        if query.include_events:
            conditions.append(f"event IN ({values.rows([*filter(storable, query.include_events)])})")
        if query.exclude_events:
            conditions.append(f"event NOT IN ({values.rows([*filter(storable, query.exclude_events)])})")
        return f"FROM event_store.events WHERE {' AND '.join(conditions)}"

    def time(self, query: EventQuery) -> str:
        return TIME_COLUMNS[query.select_by]
