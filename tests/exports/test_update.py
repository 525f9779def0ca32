"""Changing exports: PUT, PATCH, pause, unpause, delete (the contract's sections 4.2 to 4.7)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.models import Backfill, Export, Run, RunStatus
from app.runtime import Runtime
from tests.conftest import Clock
from tests.factories import make_backfill, utc
from tests.http.callers import NOT_FOUND, Tenant, created, invalid, no_op, refused, s3

HOUR = timedelta(hours=1)


async def stored(runtime: Runtime, export: dict[str, Any]) -> Export:
    async with runtime.sessions() as session:
        return await session.get_one(Export, UUID(export["id"]))


async def config_of(runtime: Runtime, export: dict[str, Any]) -> dict[str, Any]:
    return runtime.cipher.open((await stored(runtime, export)).destination_config)


async def test_a_patch_changes_what_was_sent_and_nothing_else(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock
) -> None:
    export = await created(api, s3(end_at="2027-01-01T00:00:00Z"))
    clock.now += HOUR
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"name": "New", "team_id": 99})
    assert answer.json() == {**export, "name": "New", "last_updated_at": "2026-06-01T13:00:00Z"}
    assert (await stored(runtime, export)).last_modified_by == tenant.key_id


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_configs_are_merged_and_omitted_secrets_stay(
    api: httpx.AsyncClient, runtime: Runtime, method: str
) -> None:
    export = await created(api, s3({"compression": "gzip"}, start_at="2026-01-01T00:00:00Z"))
    config = {"prefix": "other", "compression": None}
    if method == "PUT":
        config = {**s3({"aws_secret_access_key": "newer"})["destination"]["config"], **config}
    body = no_op(destination={"type": "S3", "config": config})
    answer = await api.request(method, f"/batch_exports/{export['id']}/", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["start_at"] == "2026-01-01T00:00:00Z"
    assert "aws_secret_access_key" not in answer.text
    merged = await config_of(runtime, export)
    assert (merged["prefix"], merged["compression"], merged["bucket_name"]) == ("other", None, "bucket")
    assert merged["aws_secret_access_key"] == ("newer" if method == "PUT" else "the-secret-key")


async def test_a_patched_destination_may_leave_out_type_and_config(api: httpx.AsyncClient) -> None:
    export = await created(api, s3())
    destinations: list[dict[str, Any]] = [{}, {"type": "S3"}, {"config": {}}]
    for destination in destinations:
        answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": destination})
        assert (answer.status_code, answer.json()["destination"]) == (200, export["destination"])


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"destination": {"type": "NoOp", "config": {}}},
            invalid(
                "Cannot change destination type from 'S3' to 'NoOp'. Delete this batch export and create a new one "
                "with the new destination type.",
                "destination",
            ),
        ),
        (
            {"model": "persons"},
            invalid("Changing models is not supported. Create a new batch export instead.", "model"),
        ),
        (
            {"destination": {"config": {"compression": "zstd"}}},
            invalid(
                "Compression zstd is not supported for file format JSONLines. "
                "Supported compressions are ['gzip', 'brotli']",
                "destination",
            ),
        ),
        (
            {"destination": {"config": {"bucket": "x"}}},
            invalid("Configuration has unknown field/s: 'bucket'", "destination__non_field_errors"),
        ),
        ({"interval": None}, invalid("This field may not be null.", "interval", "null")),
        ({"name": ""}, invalid("This field may not be blank.", "name", "blank")),
        ({"offset_hour": 1}, invalid("offset_hour is not applicable for non-daily/weekly intervals", "offset_hour")),
    ],
)
async def test_a_patch_that_breaks_a_rule_changes_nothing(api: httpx.AsyncClient, body: Any, expected: Any) -> None:
    export = await created(api, s3())
    assert refused(await api.patch(f"/batch_exports/{export['id']}/", json=body)) == (400, expected)
    assert (await api.get(f"/batch_exports/{export['id']}/")).json() == export


async def test_a_put_wants_the_required_fields_again(api: httpx.AsyncClient) -> None:
    export = await created(api, s3())
    url = f"/batch_exports/{export['id']}/"
    required = "This field is required."
    assert refused(await api.put(url, json={"name": "x"})) == (400, invalid(required, "destination", "required"))
    missing = invalid("Configuration missing required field: 'bucket_name'", "destination__non_field_errors")
    assert refused(await api.put(url, json=s3({"bucket_name": None}))) == (400, missing)
    assert (await api.patch(url, json={"model": "events"})).status_code == 200


@pytest.mark.parametrize(
    ("method", "body", "day", "hour"),
    [
        ("PATCH", {"name": "x"}, 3, 5),
        ("PATCH", {"offset_hour": 7}, 3, 7),
        ("PATCH", {"offset_day": None}, 0, 5),
        ("PATCH", {"interval": "day"}, None, 5),
        ("PATCH", {"interval": "hour"}, None, None),
        ("PUT", no_op(interval="week"), 0, 0),
        ("PUT", no_op(interval="week", offset_day=1), 1, 0),
    ],
)
async def test_offsets_of_an_update(
    api: httpx.AsyncClient, method: str, body: Any, day: int | None, hour: int | None
) -> None:
    export = await created(api, no_op(interval="week", offset_day=3, offset_hour=5, timezone="US/Pacific"))
    answer = await api.request(method, f"/batch_exports/{export['id']}/", json=body)
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert (changed["offset_day"], changed["offset_hour"], changed["timezone"]) == (day, hour, "US/Pacific")


async def test_no_event_is_left_out_when_the_schedule_changes(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock
) -> None:
    clock.now = utc(2026, 6, 1, 12, 20)
    export = await created(api, no_op(interval="every 15 minutes"))
    await api.patch(f"/batch_exports/{export['id']}/", json={"interval": "day"})
    assert (await stored(runtime, export)).next_start == utc(2026, 6, 1)


async def test_pausing_twice_changes_nothing_more(api: httpx.AsyncClient, clock: Clock) -> None:
    export = await created(api, no_op())
    url = f"/batch_exports/{export['id']}/"
    clock.now += HOUR
    assert refused(await api.post(f"{url}pause/")) == (200, {"paused": True})
    paused = (await api.get(url)).json()
    assert paused == {
        **export,
        "latest_runs": paused["latest_runs"],
        "paused": True,
        "last_paused_at": "2026-06-01T13:00:00Z",
        "last_updated_at": "2026-06-01T13:00:00Z",
    }
    clock.now += HOUR
    assert refused(await api.post(f"{url}pause/", content=b"ignored")) == (200, {"paused": True})
    assert (await api.get(url)).json() == paused


@pytest.mark.parametrize("by_patch", [False, True])
async def test_a_window_that_closed_before_the_pause_has_its_run(
    api: httpx.AsyncClient, clock: Clock, by_patch: bool
) -> None:
    export = await created(api, no_op())
    url = f"/batch_exports/{export['id']}/"
    clock.now += HOUR
    # No tick has come by since the window closed.
    await (api.patch(url, json={"paused": True}) if by_patch else api.post(f"{url}pause/"))
    clock.now += HOUR
    await api.post(f"{url}unpause/")
    [run] = (await api.get(url)).json()["latest_runs"]
    assert (run["data_interval_start"], run["data_interval_end"]) == ("2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z")


async def test_an_export_that_had_ended_goes_on_from_now(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock
) -> None:
    export = await created(api, no_op(end_at="2026-06-01T13:00:00Z"))
    clock.now += 5 * HOUR
    await api.patch(f"/batch_exports/{export['id']}/", json={"end_at": None})
    assert (await stored(runtime, export)).next_start == utc(2026, 6, 1, 17)


async def test_unpausing_runs_nothing_that_was_missed(api: httpx.AsyncClient, runtime: Runtime, clock: Clock) -> None:
    export = await created(api, no_op())
    url = f"/batch_exports/{export['id']}/"
    await api.post(f"{url}pause/")
    clock.now += timedelta(hours=5, minutes=10)
    assert refused(await api.post(f"{url}unpause/")) == (200, {"paused": False})
    unpaused = (await api.get(url)).json()
    assert unpaused == {
        **export,
        "last_paused_at": "2026-06-01T12:00:00Z",
        "last_updated_at": "2026-06-01T17:10:00Z",
    }
    assert (await stored(runtime, export)).next_start == utc(2026, 6, 1, 17)
    clock.now += HOUR
    assert refused(await api.post(f"{url}unpause/", json={"backfill": True})) == (200, {"paused": False})
    assert (await api.get(url)).json() == unpaused
    assert (await api.get(f"{url}backfills/")).json()["results"] == []


@pytest.mark.parametrize("created_paused", [False, True])
async def test_unpausing_with_a_backfill_covers_the_pause(
    api: httpx.AsyncClient, clock: Clock, created_paused: bool
) -> None:
    export = await created(api, no_op(paused=created_paused))
    url = f"/batch_exports/{export['id']}/"
    if not created_paused:
        await api.post(f"{url}pause/")
    clock.now += 3 * HOUR
    assert refused(await api.post(f"{url}unpause/", json={"backfill": True})) == (200, {"paused": False})
    [backfill] = (await api.get(f"{url}backfills/")).json()["results"]
    assert (backfill["start_at"], backfill["end_at"]) == ("2026-06-01T12:00:00Z", "2026-06-01T15:00:00Z")


async def test_unpause_wants_a_boolean(api: httpx.AsyncClient) -> None:
    export = await created(api, no_op(paused=True))
    wrong: list[Any] = ["yes", 1, None, []]
    for sent in wrong:
        answer = await api.post(f"/batch_exports/{export['id']}/unpause/", json={"backfill": sent})
        assert (answer.status_code, answer.json()["attr"]) == (400, "backfill")
    assert (await api.get(f"/batch_exports/{export['id']}/")).json()["paused"] is True


async def test_patching_paused_keeps_when_it_was_last_paused(api: httpx.AsyncClient) -> None:
    export = await created(api, no_op())
    for paused in (True, False):
        answer = await api.patch(f"/batch_exports/{export['id']}/", json={"paused": paused})
        assert answer.json() == {**export, "paused": paused}


async def test_a_deleted_export_is_gone_and_its_work_is_cancelled(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, no_op())
    url = f"/batch_exports/{export['id']}/"
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        backfill = await make_backfill(session, row, start_at=utc(2026, 1, 1), end_at=utc(2026, 1, 2))
        runs = [
            Run(export_id=row.id, project_id=row.project_id, data_interval_end=utc(2026, 1, hour), status=status)
            for hour, status in ((1, RunStatus.RUNNING), (2, RunStatus.STARTING), (3, RunStatus.FAILED))
        ]
        session.add_all(runs)
    answer = await api.delete(url)
    assert (answer.status_code, answer.content) == (204, b"")
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("PUT", ""),
        ("DELETE", ""),
        ("POST", "pause/"),
        ("POST", "unpause/"),
    ):
        body = no_op() if method in ("PATCH", "PUT") else None
        assert refused(await api.request(method, f"{url}{path}", json=body)) == (404, NOT_FOUND)
    assert (await api.get("/batch_exports/")).json()["count"] == 0
    async with runtime.sessions() as session:
        after = await session.get_one(Backfill, backfill.id)
        statuses = [(await session.get_one(Run, run.id)).status for run in runs]
    assert (after.status, after.finished_at) == ("Cancelled", utc(2026, 6, 1, 12))
    assert statuses == ["Cancelled", "Cancelled", "Failed"]


async def test_ten_identical_requests_at_once_are_answered_alike(api: httpx.AsyncClient, clock: Clock) -> None:
    exports = await asyncio.gather(*(created(api, no_op()) for _ in range(10)))
    assert len({export["id"] for export in exports}) == 10
    url = f"/batch_exports/{exports[0]['id']}/"
    clock.now += HOUR
    for action, paused in (("pause", True), ("unpause", False)):
        answers = await asyncio.gather(*(api.post(f"{url}{action}/") for _ in range(10)))
        assert [refused(answer) for answer in answers] == [(200, {"paused": paused})] * 10
    patched = await asyncio.gather(*(api.patch(url, json={"name": f"Name {n}"}) for n in range(10)))
    assert [answer.json()["name"] for answer in patched] == [f"Name {n}" for n in range(10)]
    deleted = await asyncio.gather(*(api.delete(url) for _ in range(10)))
    assert sorted(answer.status_code for answer in deleted) == [204] + [404] * 9


async def test_unpausing_ten_times_at_once_starts_one_backfill(api: httpx.AsyncClient, clock: Clock) -> None:
    export = await created(api, no_op(paused=True))
    clock.now += HOUR
    url = f"/batch_exports/{export['id']}/"
    answers = await asyncio.gather(*(api.post(f"{url}unpause/", json={"backfill": True}) for _ in range(10)))
    assert {answer.status_code for answer in answers} == {200}
    assert len((await api.get(f"{url}backfills/")).json()["results"]) == 1


async def test_concurrent_patches_of_a_config_are_all_kept(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, s3())
    changes = [{"prefix": "other"}, {"region": "eu-west-1"}, {"bucket_name": "b"}, {"compression": "gzip"}]
    url = f"/batch_exports/{export['id']}/"
    await asyncio.gather(*(api.patch(url, json={"destination": {"config": change}}) for change in changes))
    merged = await config_of(runtime, export)
    assert [merged[key] for key in ("prefix", "region", "bucket_name", "compression")] == [
        "other",
        "eu-west-1",
        "b",
        "gzip",
    ]
