"""How much may be asked for at once, and how long it may take."""

import asyncio
from datetime import timedelta

import httpx
from sqlalchemy import text

from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from tests.conftest import Clock
from tests.downloads.asking import PATH, Downloads, body, set_flag
from tests.http.callers import Tenant, error, invalid, open_client, refused
from tests.worker.processes import held_events


async def test_counting(
    api: httpx.AsyncClient, runtime: Runtime, settings: Settings, tenant: Tenant, clock: Clock
) -> None:
    await set_flag(runtime, "hogql-batch-exports", True)
    path = f"{PATH}count_rows/"
    expected = invalid('"events" is not a valid choice.', "model", "invalid_choice")
    assert refused(await api.post(path, json={"model": "events"})) == (400, expected)
    document = {"model": "hogql", "hogql_query": "SELECT event FROM events"}
    assert (await api.post(path, json=document)).json() == {"count": 0}
    hasty = settings.model_copy(update={"count_rows_time_limit": timedelta(seconds=0.3), "count_rows_per_minute": 2})
    async with open_runtime(hasty, application_name="tests", clock=clock) as other:
        app = create_app(hasty)
        app.state.runtime = other
        async with open_client(app, tenant) as client, held_events(runtime):
            detail = (
                "Counting the rows took longer than 0.3 seconds. Ask for fewer of them, by conditions on timestamp."
            )
            for _ in range(2):
                answer = await client.post(path, json=document)
                assert refused(answer) == (400, invalid(detail, code="timeout_exceeded"))
            # Nothing goes on at the event store for whoever has stopped waiting.
            async with runtime.sessions() as session:
                running = text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
                    "AND application_name = 'batch-exports source'"
                )
                assert (await session.scalars(running)).one() == 0
            throttled = await client.post(path, json=document)
            expected = error("throttled_error", "throttled", "Request was throttled. Expected available in 60 seconds.")
            assert refused(throttled) == (429, expected)
            # Other requests have a limit of their own.
            assert (await client.get(PATH)).status_code == 200


async def test_a_project_has_as_many_unfinished_downloads_as_it_may(
    api: httpx.AsyncClient, runtime: Runtime, downloads: Downloads
) -> None:
    answers = await asyncio.gather(*(api.post(PATH, json=body()) for _ in range(20)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [202] * 5 + [429] * 15
    expected = error(
        "server_error",
        "too_many_concurrent_file_downloads",
        "Too many concurrent file download batch exports for this team.",
    )
    assert all(answer.json() == expected for answer in answers if answer.status_code == 429)
    async with runtime.sessions() as session:
        counts = [
            (await session.scalars(text(f"SELECT count(*) FROM {table}"))).one()
            for table in ("downloads", "runs", "exports")
        ]
    assert counts == [5, 5, 5]
    # Those that have ended do not count.
    await downloads.make()
    assert sorted([(await api.post(PATH, json=body())).status_code for _ in range(2)]) == [202, 429]
