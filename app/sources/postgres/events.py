"""The ``events`` model (the contract's section 9.1)."""

from collections.abc import Mapping
from typing import ClassVar, Final

from app.sources.base import EventQuery
from app.sources.postgres.expressions import condition, output
from app.sources.postgres.models import ModelSql, literal
from app.sources.postgres.values import Values, storable

READABLE: Final = "event_store.readable(properties)"
EXPRESSIONS: Final[Mapping[str, str]] = {
    "uuid": "uuid::text",
    "person_id": "person_id::text",
    "_inserted_at": "inserted_at",
    "team_id": "team_id::bigint",
    "elements": "elements_chain",
    "set": f"{READABLE} -> '$set'",
    "set_once": f"{READABLE} -> '$set_once'",
    "people_set": f"{READABLE} -> '$set'",
    "people_set_once": f"{READABLE} -> '$set_once'",
    "ip": f"{READABLE} ->> '$ip'",
    "site_url": "''::text",
    "azure_blob_ingested_timestamp": "statement_timestamp()",
    "bq_ingested_timestamp": "statement_timestamp()",
    "databricks_ingested_timestamp": "statement_timestamp()",
}
"""What SQL a column is, where it is not simply its name."""

TIME_COLUMNS: Final[Mapping[str, str]] = {"ingested_at": "inserted_at", "timestamp": "timestamp"}


class Events(ModelSql):
    tables = ("event_store.events",)
    identity = "uuid::text"
    # By bytes: fast, and the same whatever the database's language.
    sortable: ClassVar[Mapping[str, str]] = {"event": 'events.event COLLATE "C"', "timestamp": "events.timestamp"}

    def columns(self, query: EventQuery, values: Values) -> str:
        if query.fields is not None:
            # Their names are whatever people have written, and stay out of the statement: columns go by their place.
            return ", ".join(output(field.expression, values) for field in query.fields)
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
        conditions += [condition(one, values) for one in query.filters]
        return f"FROM event_store.events WHERE {' AND '.join(conditions)}"

    def time(self, query: EventQuery) -> str:
        return TIME_COLUMNS[query.select_by]
