"""Creating exports: what is stored, what is shown, and what is refused (the contract's sections 3 and 4)."""

import json
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.http.text import MAX_DEPTH
from app.models import Export
from app.runtime import Runtime
from tests.factories import utc
from tests.http.callers import SECRETS, Tenant, add_tenant, created, error, invalid, no_op, open_client, refused, s3

REQUIRED = "This field is required."
NULL = "This field may not be null."
CONFIG = "destination__non_field_errors"


def without(body: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in keys}


async def test_a_created_export_is_answered_whole(api: httpx.AsyncClient, tenant: Tenant) -> None:
    answer = await api.post("/batch_exports/", json=s3({"file_format": "Parquet", "compression": "zstd"}))
    assert answer.status_code == 201, answer.text
    document = answer.json()
    assert document == {
        "id": document["id"],
        "team_id": tenant.project_id,
        "name": "Export",
        "model": "events",
        "destination": {
            "type": "S3",
            "config": {
                "bucket_name": "bucket",
                "region": "us-east-1",
                "prefix": "events",
                "file_format": "Parquet",
                "compression": "zstd",
                "legacy_parquet_extension": False,
            },
            "integration": None,
        },
        "interval": "hour",
        "paused": False,
        "created_at": "2026-06-01T12:00:00Z",
        "last_updated_at": "2026-06-01T12:00:00Z",
        "last_paused_at": None,
        "start_at": None,
        "end_at": None,
        "latest_runs": [],
        "hogql_query": None,
        "hogql_modifiers": None,
        "primary_key": None,
        "version_key": None,
        "incremental_mode": "APPEND",
        "schema": None,
        "filters": None,
        "timezone": "UTC",
        "offset_day": None,
        "offset_hour": None,
    }
    assert (await api.get(f"/batch_exports/{document['id']}/")).json() == document


async def test_unknown_and_read_only_keys_of_a_body_are_ignored(api: httpx.AsyncClient, tenant: Tenant) -> None:
    sent = {"id": "x", "team_id": "x", "last_modified_by": 1, "latest_runs": 5, "schema": [], "\x00": "\ud800"}
    answer = await api.post("/batch_exports/", content=json.dumps(no_op(**sent)))
    assert answer.status_code == 201, answer.text
    export = answer.json()
    assert (export["team_id"], export["latest_runs"], export["schema"]) == (tenant.project_id, [], None)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2022-07-19T00:00:00Z", "2022-07-19T00:00:00Z"),
        ("2022-07-19 00:00:00", "2022-07-19T00:00:00Z"),
        ("2022-07-19T02:30:00.678901+02:30", "2022-07-19T00:00:00.678901Z"),
        ("2022-07-19", "2022-07-19T00:00:00Z"),
        (None, None),
    ],
)
async def test_dates_are_shown_in_utc(api: httpx.AsyncClient, sent: str | None, shown: str | None) -> None:
    export = await created(api, no_op(start_at=sent, end_at=sent, last_paused_at=sent))
    assert (export["start_at"], export["end_at"], export["last_paused_at"]) == (shown, shown, shown)
    assert (await api.get(f"/batch_exports/{export['id']}/")).json()["start_at"] == shown


@pytest.mark.parametrize(
    ("fields", "day", "hour", "offset"),
    [
        ({"interval": "hour"}, None, None, None),
        ({"interval": "day"}, None, 0, 0),
        ({"interval": "day", "offset_hour": 5}, None, 5, 5 * 3600),
        ({"interval": "week"}, 0, 0, 0),
        ({"interval": "week", "offset_day": 6, "offset_hour": 23}, 6, 23, (6 * 24 + 23) * 3600),
    ],
)
async def test_offsets_are_read_back(
    api: httpx.AsyncClient, runtime: Runtime, fields: dict[str, Any], day: int | None, hour: int | None, offset: int
) -> None:
    export = await created(api, no_op(**fields))
    assert (export["offset_day"], export["offset_hour"]) == (day, hour)
    async with runtime.sessions() as session:
        assert (await session.get_one(Export, UUID(export["id"]))).interval_offset == offset


async def test_the_first_run_covers_the_current_period_from_its_start(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, no_op(interval="day", timezone="Asia/Kathmandu", offset_hour=3))
    async with runtime.sessions() as session:
        row = await session.get_one(Export, UUID(export["id"]))
    assert row.next_start == utc(2026, 5, 31, 21, 15)


async def test_secrets_are_kept_encrypted_and_never_shown(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, s3())
    async with runtime.sessions() as session:
        sealed = (await session.get_one(Export, UUID(export["id"]))).destination_config
    assert all(secret.encode() not in sealed for secret in (*SECRETS, "bucket_name"))
    assert runtime.cipher.open(sealed)["aws_secret_access_key"] == "the-secret-key"
    for path in (f"/batch_exports/{export['id']}/", "/batch_exports/"):
        text = (await api.get(path)).text
        assert not any(secret in text or "aws_" in text for secret in SECRETS)


async def test_json_types_of_a_config_survive(api: httpx.AsyncClient) -> None:
    config = {"max_file_size_mb": "10", "use_virtual_style_addressing": "True", "include_events": ["a", "b"]}
    export = await created(api, s3({**config, "endpoint_url": ""}))
    shown = (await api.get(f"/batch_exports/{export['id']}/")).json()["destination"]["config"]
    assert shown["max_file_size_mb"] == 10
    assert shown["use_virtual_style_addressing"] is True
    assert shown["include_events"] == ["a", "b"]
    assert shown["endpoint_url"] is None


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, invalid(REQUIRED, "name", "required")),
        ([], invalid("Invalid data. Expected a dictionary, but got list.")),
        (None, invalid(NULL, None, "null")),
        (no_op(name=None), invalid(NULL, "name", "null")),
        (no_op(name="  "), invalid("This field may not be blank.", "name", "blank")),
        (no_op(name=[]), invalid("Not a valid string.", "name")),
        (
            no_op(name="a\x00b"),
            invalid("Null characters are not allowed.", "name", "null_characters_not_allowed"),
        ),
        (
            no_op(name="a\ud800"),
            invalid("Surrogate characters are not allowed: U+D800.", "name", "surrogate_characters_not_allowed"),
        ),
        (no_op(model="people"), invalid('"people" is not a valid choice.', "model", "invalid_choice")),
        (without(no_op(), "destination"), invalid(REQUIRED, "destination", "required")),
        (no_op(destination=None), invalid(NULL, "destination", "null")),
        (no_op(destination="S3"), invalid("Invalid data. Expected a dictionary, but got str.", "destination")),
        (no_op(destination={"config": {}}), invalid(REQUIRED, "destination__type", "required")),
        (no_op(destination={"type": None, "config": {}}), invalid(NULL, "destination__type", "null")),
        (
            no_op(destination={"type": "Kafka", "config": {}}),
            invalid('"Kafka" is not a valid choice.', "destination__type", "invalid_choice"),
        ),
        (
            no_op(destination={"type": "\ud800", "config": {}}),
            invalid('"?" is not a valid choice.', "destination__type", "invalid_choice"),
        ),
        (no_op(destination={"type": "NoOp"}), invalid(REQUIRED, "destination__config", "required")),
        (no_op(destination={"type": "NoOp", "config": None}), invalid(NULL, "destination__config", "null")),
        (
            no_op(destination={"type": "NoOp", "config": ["arg"]}),
            invalid("Invalid data. Expected a dictionary, but got list.", "destination__config"),
        ),
        (
            no_op(destination={"type": "NoOp", "config": {"arg": "\x00"}}),
            invalid("Null characters are not allowed.", "destination__config", "null_characters_not_allowed"),
        ),
        (
            no_op(destination={"type": "NoOp", "config": {}, "integration": 999}),
            invalid('Invalid pk "999" - object does not exist.', "destination__integration", "does_not_exist"),
        ),
        (
            no_op(destination={"type": "NoOp", "config": {}, "integration_id": "9"}),
            invalid('Invalid pk "9" - object does not exist.', "destination__integration_id", "does_not_exist"),
        ),
        (
            no_op(destination={"type": "NoOp", "config": {}, "integration": True}),
            invalid("Incorrect type. Expected pk value, received bool.", "destination__integration", "incorrect_type"),
        ),
        (s3({"z": 1, "a'": 2}), invalid("Configuration has unknown field/s: 'a'', 'z'", CONFIG)),
        (s3({"bucket_name": None}), invalid("Configuration missing required field: 'bucket_name'", CONFIG)),
        (s3({"prefix": 5}), invalid("Configuration has invalid type: got 'int', expected 'str'", CONFIG)),
        (s3({"region": " "}), invalid("The following inputs are empty: ['region']", "destination")),
        (
            s3({"compression": "zstd"}),
            invalid(
                "Compression zstd is not supported for file format JSONLines. "
                "Supported compressions are ['gzip', 'brotli']",
                "destination",
            ),
        ),
        (without(no_op(), "interval"), invalid(REQUIRED, "interval", "required")),
        (no_op(interval=None), invalid(NULL, "interval", "null")),
        (no_op(interval="month"), invalid('"month" is not a valid choice.', "interval", "invalid_choice")),
        (no_op(interval=""), invalid('"" is not a valid choice.', "interval", "invalid_choice")),
        (no_op(paused="maybe"), invalid("Must be a valid boolean.", "paused")),
        (no_op(paused=None), invalid(NULL, "paused", "null")),
        (
            no_op(timezone="Mars/Olympus"),
            invalid('"Mars/Olympus" is not a valid choice.', "timezone", "invalid_choice"),
        ),
        (
            no_op(interval="day", offset_hour=24),
            invalid("Ensure this value is less than or equal to 23.", "offset_hour", "max_value"),
        ),
        (
            no_op(interval="week", offset_day=-1),
            invalid("Ensure this value is greater than or equal to 0.", "offset_day", "min_value"),
        ),
        (no_op(interval="day", offset_hour="x"), invalid("A valid integer is required.", "offset_hour")),
        (no_op(offset_day=1), invalid("offset_day is not applicable for non-weekly intervals", "offset_day")),
        (no_op(offset_hour=1), invalid("offset_hour is not applicable for non-daily/weekly intervals", "offset_hour")),
        (
            no_op(model="persons", filters=[]),
            invalid("'filters' is only supported for 'events' not 'persons' model", "filters"),
        ),
    ],
)
async def test_a_wrong_body_is_refused_naming_its_field(api: httpx.AsyncClient, body: Any, expected: Any) -> None:
    assert refused(await api.post("/batch_exports/", content=json.dumps(body))) == (400, expected)
    assert (await api.get("/batch_exports/")).json()["count"] == 0


@pytest.mark.parametrize("sent", ["yesterday", "", 5, "123", "2026-13-01", "0001-01-01T00:00:00+14:00", True])
async def test_what_is_no_date_is_refused(api: httpx.AsyncClient, sent: Any) -> None:
    expected = invalid(
        "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].",
        "start_at",
    )
    assert refused(await api.post("/batch_exports/", json=no_op(start_at=sent))) == (400, expected)


async def test_the_first_error_is_told_in_the_order_of_fields(api: httpx.AsyncClient) -> None:
    """Each mended field brings out the next one's error: the config's among them, in its destination's place."""
    config = {"arg": 5}
    wrong: dict[str, Any] = {
        "offset_hour": 99,
        "offset_day": 99,
        "timezone": "?",
        "hogql_query": 5,
        "end_at": "?",
        "start_at": "?",
        "last_paused_at": "?",
        "paused": "?",
        "interval": "?",
        "destination": {"type": "NoOp", "config": config},
        "model": "?",
        "name": "",
    }
    told = []
    mended = {**no_op(), "interval": "week"}
    body = dict(wrong)
    for name in reversed(wrong):
        told.append((await api.post("/batch_exports/", json=body)).json()["attr"])
        if name in mended:
            body[name] = mended[name]
        else:
            del body[name]
    assert told == [CONFIG if name == "destination" else name for name in reversed(wrong)]
    assert (await api.post("/batch_exports/", json=body)).status_code == 201


@pytest.mark.parametrize(
    "config",
    [
        {"aws_secret_access_key": {"nested": "the-secret-key"}},
        {"aws_secret_access_key": ["the-secret-key"]},
        {"unknown": "the-secret-key"},
        {"aws_secret_access_key": "the-secret-key\x00"},
    ],
)
async def test_a_refusal_repeats_no_secret(api: httpx.AsyncClient, config: dict[str, Any]) -> None:
    answer = await api.post("/batch_exports/", json=s3(config))
    assert answer.status_code == 400
    assert "the-secret-key" not in answer.text
    assert "the-access-key" not in answer.text


@pytest.mark.parametrize(
    "document",
    [b"{", b"nonsense", b"\xff\xfe\x00", b'{"a": NaN}', b"[" * 100_000, b"9" * 5000],
    ids=["cut off", "no JSON", "no text", "NaN", "deep", "huge number"],
)
async def test_malformed_json_is_a_parse_error(api: httpx.AsyncClient, document: bytes) -> None:
    answer = await api.post("/batch_exports/", content=document, headers={"Content-Type": "application/json"})
    detail = answer.json()["detail"]
    assert detail.startswith("JSON parse error - ")
    assert refused(answer) == (400, error("invalid_request", "parse_error", detail))


async def test_a_body_is_json_whatever_it_is_called(api: httpx.AsyncClient) -> None:
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8"):
        answer = await api.post("/batch_exports/", content=b"{}", headers={"Content-Type": content_type})
        assert refused(answer) == (400, invalid(REQUIRED, "name", "required"))
    assert refused(await api.post("/batch_exports/")) == (400, invalid(REQUIRED, "name", "required"))


async def test_deep_and_infinite_values_are_refused(api: httpx.AsyncClient) -> None:
    deep = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
    for value in (deep, "1e999"):
        document = (
            f'{{"name": "x", "interval": "hour", "destination": {{"type": "NoOp", "config": {{"arg": {value}}}}}}}'
        )
        answer = await api.post("/batch_exports/", content=document)
        assert (answer.status_code, answer.json()["attr"]) == (400, "destination__config")


async def test_under_an_organization_a_new_export_goes_where_the_body_says(
    app: FastAPI, runtime: Runtime, tenant: Tenant
) -> None:
    other = await add_tenant(runtime, organization_id=tenant.organization_id)
    stranger = await add_tenant(runtime)
    base_url = f"http://service.test/api/organizations/{tenant.organization_id}"
    async with open_client(app, tenant, base_url=base_url) as client:
        assert (await created(client, no_op()))["team_id"] == tenant.project_id
        assert (await created(client, no_op(team_id=other.project_id)))["team_id"] == other.project_id
        assert refused(await client.post("/batch_exports/", json=no_op(team_id=stranger.project_id))) == (
            403,
            error("authentication_error", "permission_denied", "You don't have access to the project."),
        )
        answer = await client.post("/batch_exports/", json=no_op(team_id="x"))
        assert refused(answer) == (400, invalid("A valid integer is required.", "team_id"))
