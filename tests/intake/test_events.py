"""Bad events: each has its outcome, and none spoils the others of its batch."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from app.intake.problems import Code
from app.settings import Settings
from tests.conftest import Clock
from tests.http.callers import EMPTY_PAGE, Tenant, add_tenant, open_client
from tests.intake.sending import Connection, batch, event, send, stored, wrong

UUID_TEXT = "0190a5f0-7a2e-7c9b-8d1e-3f4a5b6c7d8e"

REFUSED: dict[str, tuple[Any, Code]] = {
    "no event": (event("bad", event=...), Code.MISSING_EVENT),
    "null event": (event("bad", event=None), Code.MISSING_EVENT),
    "empty event": (event(""), Code.MISSING_EVENT),
    "event no text": (event("bad", event=["e"]), Code.MISSING_EVENT),
    "event too long": (event("n" * 201), Code.EVENT_TOO_LONG),
    "no distinct_id": (event("bad", distinct_id=...), Code.MISSING_DISTINCT_ID),
    "null distinct_id": (event("bad", distinct_id=None), Code.MISSING_DISTINCT_ID),
    "blank distinct_id": (event("bad", " \t"), Code.MISSING_DISTINCT_ID),
    "distinct_id an object": (event("bad", distinct_id={"a": 1}), Code.MISSING_DISTINCT_ID),
    "distinct_id true": (event("bad", distinct_id=True), Code.MISSING_DISTINCT_ID),
    "distinct_id too long": (event("bad", "d" * 201), Code.DISTINCT_ID_TOO_LONG),
    "uuid no uuid": (event("bad", uuid="seven"), Code.INVALID_UUID),
    "uuid a number": (event("bad", uuid=7), Code.INVALID_UUID),
    "properties a list": (event("bad", properties=[1]), Code.INVALID_PROPERTIES),
    "properties a text": (event("bad", properties="a=1"), Code.INVALID_PROPERTIES),
    "a number": (7, Code.INVALID_EVENT),
    "null": (None, Code.INVALID_EVENT),
    "a list": ([event()], Code.INVALID_EVENT),
    "another token": (event("bad", properties={"token": "phc_other"}), Code.OTHER_TOKEN),
    "too large": (event("bad", properties={"a": "x" * 1024 * 1024}), Code.TOO_LARGE),
}


@pytest.mark.parametrize(("bad", "code"), REFUSED.values(), ids=REFUSED)
async def test_a_bad_event_is_told_and_the_others_are_stored(
    sender: httpx.AsyncClient, store: Connection, token: str, bad: Any, code: Code
) -> None:
    await send(sender, token, event("before"), bad, event("after"))
    assert await stored(store) == ["after", "before"]
    [(found, is_stored, _)] = await wrong(store)
    assert (found, is_stored) == (code.value, False)


STORED: dict[str, tuple[dict[str, Any], Any]] = {
    "a number": (event(distinct_id=12345678901234567890123), "12345678901234567890123"),
    "a fraction": (event(distinct_id=-1.50), "-1.5"),
    "among the properties": (event(distinct_id=..., properties={"distinct_id": "inner"}), "inner"),
    "with a dollar": (event(distinct_id=..., **{"$distinct_id": "dollar"}), "dollar"),
    "as long as may be": (event(distinct_id="😀" * 200), "😀" * 200),
    "NUL removed": (event(distinct_id="a\x00b\ud800"), "ab"),
}


@pytest.mark.parametrize(("sent", "distinct_id"), STORED.values(), ids=STORED)
async def test_odd_distinct_ids_are_taken(
    sender: httpx.AsyncClient, store: Connection, token: str, sent: dict[str, Any], distinct_id: str
) -> None:
    answer = await sender.post("/batch/", content=json.dumps(batch(token, sent)))
    assert answer.status_code == 200
    assert await stored(store, "distinct_id") == [distinct_id]
    assert await wrong(store) == []


NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("timestamp", "moment", "code"),
    [
        (..., NOW, None),
        (None, NOW, None),
        ("", NOW, None),
        ("2026-06-01T11:00:00+02:00", datetime(2026, 6, 1, 9, tzinfo=UTC), None),
        ("0001-01-01T00:00:00.000001Z", datetime(1, 1, 1, 0, 0, 0, 1, tzinfo=UTC), None),
        ("0001-01-01T00:00:00Z", NOW, Code.INVALID_TIMESTAMP),
        ("1970-01-01", datetime(1970, 1, 1, tzinfo=UTC), None),
        ("2026-06-02T11:00:00Z", datetime(2026, 6, 2, 11, tzinfo=UTC), None),
        ("2026-06-02T11:00:01Z", NOW, Code.FUTURE_TIMESTAMP),
        ("9999-12-31T23:59:59Z", NOW, Code.FUTURE_TIMESTAMP),
        ("+010000-01-01T00:00:00.000Z", NOW, Code.INVALID_TIMESTAMP),
        ("0001-01-01T00:00:00+01:00", NOW, Code.INVALID_TIMESTAMP),
        ("yesterday", NOW, Code.INVALID_TIMESTAMP),
        (1780311599, NOW, Code.INVALID_TIMESTAMP),
        ({"a": 1}, NOW, Code.INVALID_TIMESTAMP),
    ],
)
async def test_every_timestamp_has_its_outcome(
    sender: httpx.AsyncClient, store: Connection, token: str, timestamp: Any, moment: datetime, code: Code | None
) -> None:
    await send(sender, token, event(timestamp=timestamp))
    [found] = await store.fetch("SELECT timestamp FROM event_store.events")
    assert found["timestamp"] == moment
    assert await wrong(store) == ([(code.value, True, "e")] if code else [])


async def test_properties_stay_as_they_came_to_the_last_digit(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    texts = [
        '{"n":1e400,"i":18446744073709551616,"z":-0,"f":0.10000000000000000000001}',
        '{"e":"\\u00e9\\\\u0000 \\ud83d\\ude00" ,\t"a" : [ 1 ]}',
        f'{{"{"k" * 1000}":"{"x" * 900_000}"}}',
        "{}",
    ]
    events = [json.dumps(event(str(place), properties=0)) for place in range(len(texts))]
    body = ",".join(
        one.replace('"properties": 0', f'"properties":{text}') for one, text in zip(events, texts, strict=True)
    )
    answer = await sender.post("/batch/", content=f'{{"api_key":"{token}","batch":[{body}]}}')
    assert answer.status_code == 200, answer.text
    assert await stored(store, "properties::text", "event") == texts


async def test_what_stands_beside_the_properties_is_stored_among_them(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    both = {"$set": {"a": 1, "b": 1}, "properties": {"c": 1.0, "$set": {"b": 2}}}
    await send(sender, token, event("1", **{"$set": {"a": 1}}), event("2", **both))
    alone, merged = (json.loads(text) for text in await stored(store, "properties"))
    assert alone == {"$set": {"a": 1}}
    assert merged == {"c": 1.0, "$set": {"a": 1, "b": 2}}
    assert {json.loads(text).get("b") for text in await stored(store, "person_properties")} == {None, 2}


async def test_elements_are_stored_where_exports_look_for_them(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    await send(sender, token, event(properties={"$elements_chain": "a:nth-child"}))
    assert await stored(store, "elements_chain") == ["a:nth-child"]


async def test_what_only_postgres_refuses_is_found_and_the_rest_is_stored(
    sender: httpx.AsyncClient, store: Connection, token: str, settings: Settings
) -> None:
    # Valid JSON, but deeper than Postgres' own stack lets it look.
    database = settings.event_store_dsn.rsplit("/", 1)[1]
    await store.execute(f"ALTER DATABASE {database} SET max_stack_depth = '100kB'")
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    events = [event(f"good {number:02}", f"d{number}") for number in range(9)]
    bad_person = event("bad person", properties={"$set": {"a": deep}})
    await send(
        sender, token, *events[:5], event("bad", properties={"a": deep}), *events[5:], bad_person, event("", "x")
    )
    assert await stored(store) == [one["event"] for one in events]
    found = await wrong(store)
    assert sorted(found) == [
        *(("missing_event_name", False, None), ("unstorable", False, "bad"), ("unstorable", False, "bad person")),
    ]
    assert await store.fetchval("SELECT count(*) FROM event_store.persons") == 9


async def test_of_a_thousand_bad_events_a_hundred_are_told_and_the_others_counted(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    with capture_logs() as logs:
        await send(sender, token, *[{}] * 1000, event("good"))
    assert await stored(store) == ["good"]
    found = await store.fetch("SELECT code, detail FROM event_store.ingestion_errors ORDER BY id")
    assert len(found) == 101
    assert tuple(found[-1]) == ("more_errors", "900 more events of the same request.")
    assert [one["event"] for one in logs] == ["events with something wrong"]


async def test_what_is_kept_of_a_bad_event_is_short_and_no_property(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    await send(sender, token, event("n" * 5000, "d" * 5000, uuid="u" * 5000, properties={"card": "4111-1111"}))
    [row] = await store.fetch("SELECT * FROM event_store.ingestion_errors")
    assert [len(row[name]) for name in ("event", "distinct_id", "event_uuid")] == [200, 200, 200]
    assert "4111" not in repr(dict(row))


async def test_projects_read_their_own_errors_newest_first(
    sender: httpx.AsyncClient, app: Any, runtime: Any, tenant: Tenant, token: str, clock: Clock
) -> None:
    await send(sender, token, event("bad", uuid="7"), event("late", timestamp="then"))
    reader = await add_tenant(runtime, organization_id=tenant.organization_id, scopes=["batch_export:read"])
    other = await add_tenant(runtime)
    async with open_client(app, tenant) as client:
        first = (await client.get("/ingestion_errors/?limit=1")).json()
        rest = (await client.get(first["next"])).json()
    assert first["count"] == 2
    [late], [bad] = first["results"], rest["results"]
    assert rest["next"] is None
    assert (late["code"], late["stored"], late["event"]) == ("ignored_invalid_timestamp", True, "late")
    assert (bad["code"], bad["stored"], bad["event"], bad["event_uuid"]) == ("invalid_event_uuid", False, "bad", "7")
    assert bad["detail"] == "'uuid' is no UUID; leave it out to have one made."
    async with open_client(app, reader) as client:
        assert (await client.get("/ingestion_errors")).json() == {**EMPTY_PAGE, "count": 0}
    async with open_client(app, other) as client:
        url = f"http://service.test/api/projects/{tenant.project_id}/ingestion_errors/"
        assert (await client.get(url)).status_code == 403
