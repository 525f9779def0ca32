"""Group commits: shared, answered only once they are durable, bounded, and stored once however often they are sent."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import REGISTRY
from pydantic import SecretStr
from sqlalchemy import make_url

from app.events.sample import sample_lines
from app.intake.budget import Budget
from app.intake.service import Intake, open_intake
from app.main import create_app
from app.runtime import Runtime
from app.settings import Settings
from tests.http.callers import error, refused
from tests.intake.sending import ROOT, Connection, batch, event, send, stored, until, waiting_for_locks
from tests.worker.proxy import Proxy, open_proxy

SOON = timedelta(seconds=0.5)
FULL = error(
    "server_error",
    "service_unavailable",
    "More events are waiting to be stored than this process keeps. Send them again shortly.",
)
NOT_STORED = error(
    "server_error", "service_unavailable", "The event store does not answer just now. Send the events again shortly."
)


@pytest.fixture
def intake_settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update=getattr(request, "param", {}))


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application that was started as a process starts it."""
    app = create_app(settings)
    transport = httpx.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport, base_url=ROOT) as client:
        yield client


def one_connection(**more: Any) -> pytest.MarkDecorator:
    """One at a time, so that what comes meanwhile waits."""
    return pytest.mark.parametrize("intake_settings", [{"intake_connections": 1, **more}], indirect=True)


class Held:
    """A lock on the events, with which nothing can be stored."""

    def __init__(self, store: Connection) -> None:
        self._store = store
        self._transaction = store.transaction()

    async def __aenter__(self) -> None:
        await self._transaction.start()
        await self._store.execute("LOCK TABLE event_store.events IN SHARE MODE")

    async def __aexit__(self, *_: object) -> None:
        await self._transaction.rollback()


@pytest.fixture
async def watcher(settings: Settings) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(settings.event_store_dsn)
    yield connection
    await connection.close()


def sending(client: httpx.AsyncClient, token: str, *names: str) -> "Sequence[asyncio.Task[None]]":
    return [asyncio.create_task(send(client, token, event(name, distinct_id=name))) for name in names]


@one_connection()
async def test_requests_that_wait_together_share_a_transaction(
    sender: httpx.AsyncClient, store: Connection, watcher: Connection, token: str
) -> None:
    async with Held(store):
        first = sending(sender, token, "first")
        await until(lambda: _is(waiting_for_locks(watcher), 1))
        others = sending(sender, token, *map(str, range(50)))
        # A request that comes before its lease is taken would not have been seen yet.
        await until(lambda: _settled(others))
        assert await stored(watcher) == []
    await asyncio.gather(*first, *others)
    transactions = await watcher.fetch("SELECT count(*) FROM event_store.events GROUP BY xmin ORDER BY 1")
    assert [row["count"] for row in transactions] == [1, 50]


async def _is(found: Any, expected: Any) -> bool:
    return bool(await found == expected)


async def _settled(tasks: "Sequence[asyncio.Task[None]]") -> bool:
    """Every one of them has come as far as it gets by itself."""
    for _ in range(100):
        await asyncio.sleep(0)
    return not any(task.done() for task in tasks)


async def test_the_answer_comes_only_once_the_events_are_committed(
    sender: httpx.AsyncClient, store: Connection, watcher: Connection, token: str
) -> None:
    async with Held(store):
        [waiting] = sending(sender, token, "one")
        await until(lambda: _is(waiting_for_locks(watcher), 1))
        assert not waiting.done()
        assert await stored(watcher) == []
    await waiting
    assert await stored(watcher) == ["one"]


@one_connection()
async def test_what_was_taken_is_stored_before_the_process_ends(
    intake_settings: Settings, runtime: Runtime, store: Connection, watcher: Connection, token: str
) -> None:
    opening = open_intake(replace(runtime, settings=intake_settings))
    app = create_app(intake_settings)
    app.state.runtime, app.state.intake = runtime, await opening.__aenter__()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ROOT) as client:
        async with Held(store):
            tasks = [*sending(client, token, "a")]
            await until(lambda: _is(waiting_for_locks(watcher), 1))
            tasks += sending(client, token, "b")
            await until(lambda: _settled(tasks))
            closing = asyncio.create_task(_close(opening))
            await until(lambda: _settled([*tasks, closing]))
            late = await client.post("/batch/", json=batch(token, event("late")))
            assert refused(late) == (503, NOT_STORED)
        await asyncio.gather(*tasks, closing)
    assert await stored(watcher) == ["a", "b"]


async def _close(opened: AbstractAsyncContextManager[Intake]) -> None:
    await opened.__aexit__(None, None, None)


async def test_while_there_is_no_room_requests_are_turned_away_and_none_is_lost(
    app: FastAPI, intake: Intake, sender: httpx.AsyncClient, store: Connection, watcher: Connection, token: str
) -> None:
    intake.budget = Budget(100_000)
    large = batch(token, *(event(str(place), properties={"a": "x" * 10_000}) for place in range(4)))
    async with Held(store):
        waiting = asyncio.create_task(sender.post("/batch/", json=large))
        await until(lambda: _is(waiting_for_locks(watcher), 1))
        before = turned_away("Full")
        answers = [await sender.post("/batch/", json=large) for _ in range(3)]
        compressed = gzip.compress(b"{" + b" " * 80_000 + b"}")
        answers.append(await sender.post("/batch/", content=compressed))
        assert [refused(answer) for answer in answers] == [(503, FULL)] * 4
        assert {answer.headers["Retry-After"] for answer in answers} == {"1"}
        assert turned_away("Full") - before == 4
        held = intake.budget.taken
        assert 40_000 < held < 100_000
    assert (await waiting).status_code == 200
    assert intake.budget.taken == 0
    assert (await sender.post("/batch/", json=large)).status_code == 200
    assert len(await stored(watcher)) == 4


def turned_away(reason: str) -> float:
    name = "batch_exports_intake_requests_turned_away_total"
    return REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


async def test_every_answer_gives_its_room_back(
    intake: Intake, sender: httpx.AsyncClient, token: str, intake_settings: Settings
) -> None:
    bodies = [b"", b"{", batch("phc_none", event()), batch(token, event()), batch(token, {}), batch(token)]
    for body in bodies:
        sent: dict[str, Any] = {"content": body} if isinstance(body, bytes) else {"json": body}
        await sender.post("/batch/", **sent)
        assert intake.budget.taken == 0


@one_connection()
async def test_a_request_larger_than_the_limit_is_refused_compressed_or_not(
    sender: httpx.AsyncClient, intake_settings: Settings, token: str, intake: Intake
) -> None:
    limit = intake_settings.intake_max_body_bytes
    plain = await sender.post("/batch/", content=b" " * (limit + 1))
    assert (plain.status_code, plain.json()["code"]) == (413, "request_too_large")
    # A thousandth of what it becomes.
    bomb = gzip.compress(b"[" + b" " * 200 * 1024 * 1024, compresslevel=9)
    assert len(bomb) < limit / 50
    exploding = await sender.post("/batch/", content=bomb)
    assert (exploding.status_code, exploding.json()["code"]) == (413, "request_too_large")
    values = await sender.post("/batch/", content=b"[" + b"1," * 2_000_001 + b"1]")
    assert values.status_code == 413
    many = await sender.post("/batch/", json=batch(token, *[{}] * (intake_settings.intake_max_events + 1)))
    assert many.status_code == 413
    assert intake.budget.taken == 0


async def test_a_request_of_twenty_megabytes_is_taken(
    sender: httpx.AsyncClient, store: Connection, intake_settings: Settings, token: str
) -> None:
    events = [event(properties={"a": "x" * 1_000_000}) for _ in range(20)]
    body = gzip.compress(httpx.Request("POST", ROOT, json=batch(token, *events)).content, compresslevel=1)
    assert (await sender.post("/batch/", content=body)).status_code == 200
    assert await store.fetchval("SELECT sum(length(properties::text)) FROM event_store.events") > 20_000_000


@one_connection(intake_commit_timeout=SOON)
async def test_a_store_that_is_locked_for_too_long_is_answered_with_503_and_leaves_nothing_behind(
    intake_settings: Settings, runtime: Runtime, store: Connection, watcher: Connection, token: str
) -> None:
    async with served(intake_settings) as client:
        one = event("one")
        async with Held(store):
            answer = await client.post("/batch/", json=batch(token, one))
            assert refused(answer) == (503, NOT_STORED)
            assert answer.headers["Retry-After"] == "3"
            await until(lambda: _is(waiting_for_locks(watcher), 0))
        await send(client, token, one)
    assert await stored(watcher) == ["one"]


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_while_the_store_is_down_clients_are_told_to_come_back_and_nothing_is_lost_or_doubled(
    settings: Settings, store: Connection, token: str, how: str
) -> None:
    port = make_url(settings.database_url.get_secret_value()).port
    assert port is not None
    async with open_proxy(port) as proxy:
        url = make_url(settings.database_url.get_secret_value()).set(port=proxy.port)
        behind = {
            "event_store_url": SecretStr(url.render_as_string(hide_password=False)),
            "database_connect_timeout": SOON,
            "intake_commit_timeout": SOON,
        }
        async with served(settings.model_copy(update=behind)) as client:
            await _through_an_outage(client, proxy, token, how)
    assert await stored(store) == ["a", "b", "c", "d"]


async def _through_an_outage(client: httpx.AsyncClient, proxy: Proxy, token: str, how: str) -> None:
    events = [event(name, distinct_id=name) for name in "abcd"]
    await send(client, token, events[0])
    if how == "gone":
        await proxy.cut()
    else:
        proxy.freeze()
    answers = await asyncio.gather(*(client.post("/batch/", json=batch(token, one)) for one in events))
    assert [refused(answer) for answer in answers] == [(503, NOT_STORED)] * 4
    await proxy.mend()
    for one in events:
        await send(client, token, one)


async def test_a_connection_that_was_ended_while_idle_costs_no_answer(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    await send(sender, token, event("a"))
    ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'batch-exports intake'"
    await store.execute(f"{ended} AND datname = current_database()")
    await send(sender, token, event("b"))
    assert await stored(store) == ["a", "b"]


async def test_an_event_that_is_sent_again_changes_its_person_only_once(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    """A commit whose answer was lost: the client sends again what is stored already, perhaps much later."""
    change = event("a", properties={"$set": {"n": 1}})
    await send(sender, token, change)
    await send(sender, token, event("b", properties={"$set": {"n": 2}}))
    await send(sender, token, change, change)
    assert await stored(store) == ["a", "b"]
    assert await store.fetchval("SELECT properties FROM event_store.persons ORDER BY version DESC LIMIT 1") == '{"n":2}'


async def test_thousands_of_events_of_many_clients_at_once_all_arrive(
    sender: httpx.AsyncClient, store: Connection, token: str, clock: Any
) -> None:
    events = [json.loads(line) for line in sample_lines(5_000, clock.now.replace(day=1), clock.now)]
    groups = [events[start : start + 50] for start in range(0, len(events), 50)]
    await asyncio.gather(*(send(sender, token, *group) for group in groups))
    found = {str(uuid) for uuid in await stored(store, "uuid")}
    assert found == {one["uuid"] for one in events}
    people = {one["distinct_id"] for one in events}
    assert await store.fetchval("SELECT count(*) FROM event_store.persons WHERE version = 0") == len(people)
