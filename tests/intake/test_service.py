"""What comes before events are stored: who sends them, and how much of them there is room for."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.errors import SetupError
from app.intake import tokens as tokens_module
from app.intake.budget import Budget
from app.intake.errors import Full, TooSlow, UnknownToken
from app.intake.service import Intake, Sent
from app.intake.tokens import Tokens
from app.runtime import Runtime
from app.settings import Settings, load_settings
from tests.http.callers import Tenant, error, refused
from tests.http.statements import counting
from tests.intake.sending import Connection, batch, event, send, stored


class Seconds:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_token_is_looked_up_once_in_a_while(runtime: Runtime, tenant: Tenant, token: str) -> None:
    clock = Seconds()
    tokens = Tokens(runtime.sessions, timedelta(seconds=30), clock)
    with counting(runtime) as made:
        for _ in range(3):
            assert await tokens.project_id(token) == tenant.project_id
        assert len(made) == 1
        clock.now = 30
        assert await tokens.project_id(token) == tenant.project_id
        assert len(made) == 2


async def test_a_project_that_was_just_made_is_not_refused_for_long(
    runtime: Runtime, tenant: Tenant, token: str
) -> None:
    clock = Seconds()
    tokens = Tokens(runtime.sessions, timedelta(seconds=30), clock)
    with pytest.raises(UnknownToken):
        await tokens.project_id("phc_new")
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE projects SET token = 'phc_new'"))
    with pytest.raises(UnknownToken):
        await tokens.project_id("phc_new")
    clock.now = 2
    assert await tokens.project_id("phc_new") == tenant.project_id


async def test_made_up_tokens_fill_no_memory(runtime: Runtime, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "REMEMBERED", 3)
    tokens = Tokens(runtime.sessions, timedelta(seconds=30), Seconds())
    for number in range(10):
        with pytest.raises(UnknownToken):
            await tokens.project_id(f"phc_{number}")
    assert list(tokens._known) == ["phc_7", "phc_8", "phc_9"]
    with counting(runtime) as made:
        for impossible in ("x" * 201, "é", "a\x00b"):
            with pytest.raises(UnknownToken):
                await tokens.project_id(impossible)
    assert made == []


def test_a_budget_gives_no_more_than_it_has() -> None:
    budget = Budget(100)
    with budget.lease() as one:
        one.take(60)
        with budget.lease() as two, pytest.raises(Full):
            two.take(41)
        one.hold(20)
        assert budget.taken == 20
        with pytest.raises(Full):
            one.hold(101)
        assert budget.taken == 20
        one.hold(100)
    assert budget.taken == 0


@pytest.fixture
def intake_settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    return settings.model_copy(update=getattr(request, "param", {}))


async def never() -> AsyncIterator[bytes]:
    yield b"{"
    await asyncio.Event().wait()


@pytest.mark.parametrize("intake_settings", [{"intake_receive_timeout": timedelta(seconds=0.05)}], indirect=True)
async def test_a_request_that_does_not_end_is_given_up(intake: Intake) -> None:
    with pytest.raises(TooSlow) as slow:
        await intake.take(Sent(never(), ""))
    assert slow.value.status == 408
    assert intake.budget.taken == 0


async def test_without_room_the_whole_request_is_heard_before_it_is_turned_away(intake: Intake) -> None:
    intake.budget = Budget(20_000)
    heard = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal heard
        for _ in range(10):
            heard += 1
            yield b" " * 1000
            assert intake.budget.taken <= 20_000

    with pytest.raises(Full):
        await intake.take(Sent(pieces(), ""))
    assert heard == 10


async def test_without_its_database_a_token_nobody_knows_yet_is_to_be_sent_again(
    app: FastAPI, runtime: Runtime, sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    await send(sender, token, event("known"))
    await store.execute("ALTER TABLE projects RENAME TO elsewhere")
    answer = await sender.post("/batch/", json=batch("phc_other", event()))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "3")
    await send(sender, token, event("still known"))
    assert await stored(store) == ["known", "still known"]


async def test_an_intake_that_is_not_open_is_to_be_asked_again(app: FastAPI, sender: httpx.AsyncClient) -> None:
    del app.state.intake
    expected = error(
        "server_error",
        "service_unavailable",
        "The event store does not answer just now. Send the events again shortly.",
    )
    assert refused(await sender.post("/batch/", json={})) == (503, expected)


def test_the_largest_request_must_have_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_EXPORTS_INTAKE_QUEUE_BYTES", "1000000")
    with pytest.raises(SetupError, match="INTAKE_QUEUE_BYTES must be at least 67543040"):
        load_settings()
    monkeypatch.setenv("BATCH_EXPORTS_INTAKE_MAX_BODY_BYTES", "200000")
    monkeypatch.setenv("BATCH_EXPORTS_INTAKE_MAX_EVENTS", "1000")
    assert load_settings().intake_queue_bytes == 1_000_000
