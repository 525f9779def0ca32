"""Select lists of exports of events (the contract's sections 9.4 and 9.5)."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.models import Export
from app.query.dialect import MAX_LENGTH
from app.runtime import Runtime
from tests.http.callers import created, invalid, no_op, refused

QUERY = "select toString(uuid) as uuid, 'test' as test, toInt(1+1) as n from events"
SCHEMA = {
    "fields": [
        {"expression": "toString(events.uuid)", "alias": "uuid"},
        {"expression": "%(hogql_val_0)s", "alias": "test"},
        {"expression": "accurateCastOrNull(plus(1, 1), %(hogql_val_1)s)", "alias": "n"},
    ],
    "values": {"hogql_val_0": "test", "hogql_val_1": "Int64"},
    "hogql_query": "SELECT toString(uuid) AS uuid, 'test' AS test, toInt(plus(1, 1)) AS n FROM events",
}


async def test_a_query_is_shown_as_sent_and_compiled(api: httpx.AsyncClient) -> None:
    export = await created(api, no_op(hogql_query=QUERY))
    assert (export["hogql_query"], export["schema"]) == (QUERY, SCHEMA)
    assert (await api.get(f"/batch_exports/{export['id']}/")).json() == export


async def test_a_query_can_be_changed_kept_and_removed(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, no_op())
    assert (export["hogql_query"], export["schema"]) == (None, None)
    url = f"/batch_exports/{export['id']}/"
    assert (await api.patch(url, json={"hogql_query": QUERY})).json()["schema"] == SCHEMA
    assert (await api.patch(url, json={"name": "New"})).json()["schema"] == SCHEMA
    assert (await api.put(url, json=no_op())).json()["hogql_query"] == QUERY
    answer = await api.patch(url, json={"hogql_query": "SELECT event FROM events"})
    assert answer.json()["schema"]["fields"] == [{"expression": "events.event", "alias": "event"}]
    cleared = (await api.patch(url, json={"hogql_query": None})).json()
    assert (cleared["hogql_query"], cleared["schema"]) == (None, None)
    async with runtime.sessions() as session:
        assert (await session.get_one(Export, UUID(export["id"]))).schema is None


REFUSED = [
    ("SELECT", "Failed to parse query"),
    ("SELECT event,, FROM events", "Failed to parse query"),
    ("", "Failed to parse query"),
    ("SELECT unknown_field FROM events", "Invalid HogQL query: Unable to resolve field: unknown_field"),
    ("SELECT event FROM events UNION ALL SELECT event FROM events", "UNIONs are not supported"),
    ("SELECT 1", "Query must SELECT FROM events"),
    ("WITH x AS (SELECT 1) SELECT event FROM events", "CTEs are not supported"),
    ("SELECT event FROM (SELECT event FROM events)", "Subqueries are not supported"),
    ("SELECT event FROM persons", "Query must only SELECT FROM events"),
    ("SELECT event FROM events JOIN persons ON 1 = 1", "JOINs are not supported"),
    ("SELECT lower((SELECT 'x')) FROM events", "Subqueries in SELECT expressions are not supported"),
    (
        "SELECT event, session, $session_id FROM events",
        "Batch exports cannot read these fields: $session_id, session. Supported fields are: created_at, distinct_id, "
        "elements_chain, event, person_id, person_properties, properties, team_id, timestamp, uuid.",
    ),
    ("SELECT DISTINCT event FROM events", "Unsupported HogQL query"),
    (f"SELECT {'event, ' * MAX_LENGTH} FROM events", "Failed to parse query"),
]


@pytest.mark.parametrize(("query", "detail"), REFUSED, ids=[query[:40] for query, _ in REFUSED])
async def test_a_query_that_cannot_be_exported_is_refused_and_nothing_changes(
    api: httpx.AsyncClient, query: str, detail: str
) -> None:
    expected = (400, invalid(detail))
    assert refused(await api.post("/batch_exports/", json=no_op(hogql_query=query))) == expected
    export = await created(api, no_op(hogql_query=QUERY))
    url = f"/batch_exports/{export['id']}/"
    assert refused(await api.patch(url, json={"hogql_query": query, "name": "New"})) == expected
    assert (await api.get(url)).json() == export


@pytest.mark.parametrize("field", [{"name": ""}, {"filters": 5}, {"offset_hour": 24, "interval": "day"}])
async def test_errors_of_fields_come_before_those_of_a_query(api: httpx.AsyncClient, field: dict[str, Any]) -> None:
    answer = await api.post("/batch_exports/", json=no_op(**{**field, "hogql_query": "SELECT"}))
    assert answer.json()["attr"] in field


async def test_a_query_is_checked_where_a_connection_is_tested(api: httpx.AsyncClient) -> None:
    body = {
        "name": "Export",
        "interval": "hour",
        "step": 0,
        "hogql_query": "SELECT",
        "destination": {
            "type": "S3",
            "config": {
                "bucket_name": "b", "region": "us-east-1", "prefix": "p", "aws_access_key_id": "a",
                "aws_secret_access_key": "s",
            },
        },
    }  # fmt: skip
    answer = await api.post("/batch_exports/run_test_step_new/", json=body)
    assert refused(answer) == (400, invalid("Failed to parse query"))
