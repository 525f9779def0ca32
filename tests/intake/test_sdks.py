"""The clients that people have: PostHog's own packages, sending to a real server, and everything coming out again."""

import asyncio
import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from posthog import Posthog
from posthog.request import reset_sessions

from app.embedded import Stack
from app.intake.budget import Budget
from app.intake.service import Intake
from app.runtime import Runtime
from tests.clients.service import serve
from tests.clients.test_typescript import needs_node, run
from tests.conftest import Clock
from tests.http.callers import Tenant
from tests.intake.exporting import exported
from tests.intake.sending import Connection, until, wrong

NODE = Path(__file__).parent / "node"
EVENTS = 2_500


@pytest.fixture
def clock() -> Clock:
    """Clients have the real time, and correct theirs by it."""
    found = Clock()
    found.now = datetime.now(UTC)
    return found


def send_from_python(host: str, token: str, gzip: bool) -> tuple[list[str], list[str], Any]:
    """The uuids of all events, what went wrong, and the flags."""
    failures: list[str] = []
    client = Posthog(
        token,
        host=host,
        gzip=gzip,
        thread=3,
        flush_at=100,
        flush_interval=0.2,
        max_queue_size=2 * EVENTS,
        on_error=lambda error, _: failures.append(str(error)),
    )
    try:
        uuids = [
            client.capture(
                "python event",
                distinct_id=f"python-{number % 50}",
                timestamp=datetime.now(UTC) - timedelta(minutes=1),
                properties={"number": number, "text": "Łódź 東京 😀", "$set": {"last": number}},
            )
            for number in range(EVENTS)
        ]
        uuids.append(client.set(distinct_id="python-ada", properties={"name": "Ada"}))
        uuids.append(client.set_once(distinct_id="python-ada", properties={"name": "Eve", "plan": "team"}))
        # Its threads send at once, in any order; the person is to be there before the last event.
        client.flush()
        uuids.append(client.alias("python-ada", "python-alias"))
        flags = client.get_all_flags("python-ada")
    finally:
        client.shutdown()
        reset_sessions()
    assert None not in uuids
    return [str(uuid) for uuid in uuids], failures, flags


@pytest.mark.parametrize("gzip", [False, True], ids=["plain", "gzip"])
async def test_every_event_of_the_python_package_comes_out_of_an_export(
    app: FastAPI, runtime: Runtime, stack: Stack, store: Connection, tenant: Tenant, token: str, gzip: bool
) -> None:
    start = await store.fetchval("SELECT clock_timestamp()")
    async with serve(app, runtime) as served:
        uuids, failures, flags = await asyncio.to_thread(send_from_python, served.url, token, gzip)
    assert (failures, flags) == ([], {})
    found = await exported(runtime, stack, store, tenant.project_id, start)
    assert Counter(one["uuid"] for one in found) == Counter(uuids)
    by_uuid = {one["uuid"]: one for one in found}
    assert [by_uuid[uuid]["properties"]["number"] for uuid in uuids[:EVENTS]] == list(range(EVENTS))
    assert {by_uuid[uuid]["properties"]["text"] for uuid in uuids[:EVENTS]} == {"Łódź 東京 😀"}
    assert by_uuid[uuids[-1]]["person_properties"] == {"name": "Ada", "plan": "team"}
    assert await wrong(store) == []


async def test_what_was_turned_away_the_python_package_sends_again(
    app: FastAPI, runtime: Runtime, intake: Intake, stack: Stack, store: Connection, tenant: Tenant, token: str
) -> None:
    start = await store.fetchval("SELECT clock_timestamp()")
    room, intake.budget = intake.budget, _Refusing(3)
    async with serve(app, runtime) as served:
        sending = asyncio.create_task(asyncio.to_thread(send_from_python, served.url, token, True))
        refusing = intake.budget
        await until(lambda: _has_refused(refusing))
        intake.budget = room
        uuids, failures, _ = await sending
    assert failures == []
    found = await exported(runtime, stack, store, tenant.project_id, start)
    assert Counter(one["uuid"] for one in found) == Counter(uuids)


class _Refusing(Budget):
    """No room at all, until so many have been told."""

    def __init__(self, times: int) -> None:
        super().__init__(0)
        self.left = times

    def take(self, count: int) -> None:
        self.left -= 1
        super().take(count)


async def _has_refused(budget: Any) -> bool:
    return bool(budget.left <= 0)


@needs_node
async def test_every_event_of_the_node_package_comes_out_of_an_export(
    app: FastAPI, runtime: Runtime, stack: Stack, store: Connection, tenant: Tenant, token: str, tmp_path: Path
) -> None:
    directory = tmp_path / "node"
    shutil.copytree(NODE, directory, ignore=shutil.ignore_patterns("node_modules"))
    await run(directory, "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefer-offline")
    start = await store.fetchval("SELECT clock_timestamp()")
    async with serve(app, runtime) as served:
        said = json.loads(await run(directory, "node", "send.js", served.url, token, str(EVENTS)))
    assert (said["failures"], said["flags"]) == ([], {})
    found = await exported(runtime, stack, store, tenant.project_id, start)
    counted = Counter(one["uuid"] for one in found if one["event"] == "node event")
    assert counted == Counter(said["uuids"])
    others = {one["event"]: one for one in found if one["event"] != "node event"}
    assert set(others) == {"$identify", "$create_alias"}
    assert others["$identify"]["person_properties"] == {"last": EVENTS - 50, "name": "Ada"}
    assert {one["text"] for one in (one["properties"] for one in found) if "text" in one} == {"Łódź 東京 😀"}
    assert await wrong(store) == []


async def test_an_unknown_token_is_given_up_by_the_python_package(app: FastAPI, runtime: Runtime) -> None:
    async with serve(app, runtime) as served:
        _, failures, _ = await asyncio.to_thread(send_from_python, served.url, "phc_unknown", True)
        async with httpx.AsyncClient(base_url=served.url) as client:
            assert (await client.get("/health/live")).status_code == 200
    assert failures
    assert all("401" in failure and "There is no project with this token" in failure for failure in failures)
