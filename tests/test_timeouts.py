"""Limits that hold whatever is limited does when it is cancelled."""

import asyncio

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app import timeouts
from app.db.engine import create_engine, create_sessions
from app.settings import Settings
from app.timeouts import insisting
from tests.worker.processes import DEADLINE
from tests.worker.proxy import Watch, open_proxy
from tests.worker.test_outages import port_of, through

SOON = 0.05


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "AGAIN", SOON)


async def stubborn(times: int) -> None:
    for _ in range(times + 1):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if times == 0:
                raise
            times -= 1


async def test_what_ends_in_time_is_left_alone() -> None:
    async with insisting(DEADLINE):
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@pytest.mark.parametrize("times", [0, 1, 3])
async def test_what_does_not_heed_being_cancelled_is_cancelled_again(times: int) -> None:
    with pytest.raises(TimeoutError):
        async with insisting(SOON):
            await stubborn(times)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(3 * SOON)  # nobody is cancelled afterwards


async def test_who_is_cancelled_from_outside_is_cancelled() -> None:
    async def work() -> None:
        async with insisting(DEADLINE):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_connection_that_falls_silent_while_it_is_looked_at_is_given_up(settings: Settings) -> None:
    """In the middle of the pool's own transaction, which is rolled back when it is cancelled: that waits for ever."""
    url = settings.database_url.get_secret_value()
    armed = False

    def watch() -> Watch:
        def see(data: bytes) -> bool:
            if armed and b"BEGIN" not in data:
                proxy.freeze()
            return False

        return see

    async with open_proxy(port_of(url), watch) as proxy:
        changed = settings.model_copy(update={"database_url": SecretStr(through(proxy, url))})
        engine = create_engine(changed, application_name="tests")
        sessions = create_sessions(engine)
        try:
            async with sessions.begin() as session:
                await session.execute(text("SELECT 1"))
            armed = True
            async with asyncio.timeout(DEADLINE):
                with pytest.raises(TimeoutError):
                    async with insisting(0.3), sessions.begin() as session:
                        await session.execute(text("SELECT 1"))
            armed = False
            await proxy.mend()
            async with sessions.begin() as session:
                assert (await session.scalars(text("SELECT 1"))).one() == 1
        finally:
            await engine.dispose()
