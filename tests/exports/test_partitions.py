"""Keys partitioned by the rows are refused for rows that do not have what they are made of, whatever is changed."""

from typing import Any

import httpx
import pytest

from tests.http.callers import created, invalid, s3

HIVE: dict[str, Any] = {"prefix": "exports/event={event}/date={date}", "partition_rows": True}
QUERY = "SELECT event AS name, timestamp FROM events"
NO_TIME = "SELECT event, toDate(timestamp) AS timestamp FROM events"
NEEDED = invalid(
    "'prefix' names {date}, which is made of the column 'timestamp', and 'hogql_query' leaves that out; select it, "
    "under any name",
    "destination",
)


async def test_a_create_is_held_to_the_model_and_its_query(api: httpx.AsyncClient) -> None:
    assert (await created(api, s3(HIVE, hogql_query=QUERY)))["destination"]["config"]["partition_rows"] is True
    assert (await api.post("/batch_exports/", json=s3(HIVE, hogql_query=NO_TIME))).json() == NEEDED
    refused = await api.post("/batch_exports/", json=s3(HIVE, model="persons"))
    detail = "'prefix' names {event}, which persons do not have; set 'partition_rows' to false"
    assert (refused.status_code, refused.json()) == (400, invalid(detail, "destination"))


@pytest.mark.parametrize(
    ("before", "change"),
    [
        (s3(HIVE), {"hogql_query": NO_TIME}),
        (s3(hogql_query=NO_TIME), {"destination": {"type": "S3", "config": HIVE}}),
        (s3(HIVE, hogql_query=QUERY), {"hogql_query": "SELECT event FROM events"}),
    ],
)
async def test_an_update_is_held_to_what_is_stored_too(
    api: httpx.AsyncClient, before: dict[str, Any], change: dict[str, Any]
) -> None:
    export = await created(api, before)
    path = f"/batch_exports/{export['id']}/"
    assert (await api.patch(path, json=change)).json() == NEEDED
    assert (await api.get(path)).json() == export
    assert (await api.patch(path, json={"name": "Another"})).status_code == 200
