"""How often one key may ask, with Redis and without it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url
from structlog.testing import capture_logs

from app.errors import RateLimited
from app.ratelimit import ANSWER_LIMIT, REST, RateLimit
from app.settings import Settings
from tests.conftest import Clock
from tests.worker.proxy import Proxy, open_proxy

PER_MINUTE = 3


@asynccontextmanager
async def opened(settings: Settings, clock: Callable[[], datetime], **changed: object) -> AsyncIterator[RateLimit]:
    limit = RateLimit(settings.model_copy(update={"rate_limit_per_minute": PER_MINUTE, **changed}), clock)
    try:
        yield limit
    finally:
        await limit.aclose()


@asynccontextmanager
async def behind_proxy(settings: Settings, clock: Clock, **changed: object) -> AsyncIterator[tuple[RateLimit, Proxy]]:
    url = make_url(settings.redis_url.get_secret_value())
    assert url.port is not None
    async with open_proxy(url.port) as proxy:
        behind = SecretStr(url.set(port=proxy.port).render_as_string(hide_password=False))
        async with opened(settings, clock, redis_url=behind, **changed) as limit:
            yield limit, proxy


@pytest.fixture
def caller() -> str:
    """Redis is shared by all tests of a process."""
    return uuid4().hex


async def admitted(limit: RateLimit, caller: str, times: int) -> int:
    """How many of so many requests were let in."""
    results = await asyncio.gather(*(limit.admit(caller) for _ in range(times)), return_exceptions=True)
    assert all(result is None or isinstance(result, RateLimited) for result in results), results
    return results.count(None)


async def test_a_minutes_requests_are_counted_by_caller_and_all_processes_together(
    settings: Settings, clock: Clock, caller: str
) -> None:
    async with opened(settings, clock) as one, opened(settings, clock) as other:
        assert await admitted(one, caller, 2) == 2
        assert await admitted(other, caller, 2) == 1
        assert await admitted(one, caller, 1) == 0
        assert await admitted(one, f"{caller}-2", 1) == 1


async def test_the_next_minute_begins_anew_and_until_then_is_said(
    settings: Settings, clock: Clock, caller: str
) -> None:
    async with opened(settings, clock) as limit:
        clock.now += timedelta(seconds=18)
        assert await admitted(limit, caller, PER_MINUTE) == PER_MINUTE
        with pytest.raises(RateLimited) as refused:
            await limit.admit(caller)
        assert refused.value.retry_after == 42
        clock.now += timedelta(seconds=41)
        with pytest.raises(RateLimited, match="Expected available in 1 second\\.") as refused:
            await limit.admit(caller)
        clock.now += timedelta(seconds=refused.value.retry_after)
        assert await admitted(limit, caller, 1) == 1


async def test_without_a_limit_redis_is_not_even_asked(settings: Settings, clock: Clock, caller: str) -> None:
    async with behind_proxy(settings, clock, rate_limit_per_minute=0) as (limit, proxy):
        await proxy.cut()
        with capture_logs() as logs:
            assert await admitted(limit, caller, 100) == 100
        assert logs == []


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_without_redis_requests_go_on_counted_by_the_process(
    settings: Settings, clock: Clock, caller: str, how: str
) -> None:
    async with behind_proxy(settings, clock) as (limit, proxy):
        assert await admitted(limit, caller, 1) == 1
        if how == "gone":
            await proxy.cut()
        else:
            proxy.freeze()
        with capture_logs() as logs:
            assert await admitted(limit, caller, PER_MINUTE + 1) == PER_MINUTE
        assert {entry["event"] for entry in logs} == {"Redis does not answer; requests are counted by each process"}
        # From now on nobody asks it for a while.
        with capture_logs() as logs:
            assert await admitted(limit, f"{caller}-2", 10) == PER_MINUTE
        assert logs == []


async def test_a_silent_redis_is_asked_by_one_request_at_a_time_and_not_for_long(
    settings: Settings, clock: Clock, caller: str
) -> None:
    loop = asyncio.get_running_loop()
    async with behind_proxy(settings, clock) as (limit, proxy):
        assert await admitted(limit, caller, 1) == 1
        proxy.freeze()
        started = loop.time()
        await admitted(limit, caller, 5)
        # All five waited together, and no longer than they may.
        assert ANSWER_LIMIT <= loop.time() - started < 5 * ANSWER_LIMIT
        clock.now += REST
        with capture_logs() as logs:
            await admitted(limit, caller, 5)
        assert len(logs) == 1


async def test_redis_counts_again_when_it_is_back(settings: Settings, clock: Clock, caller: str) -> None:
    async with behind_proxy(settings, clock) as (limit, proxy), opened(settings, clock) as elsewhere:
        await proxy.cut()
        assert await admitted(limit, caller, PER_MINUTE) == PER_MINUTE
        await proxy.mend()
        clock.now += REST
        assert await admitted(elsewhere, caller, 2) == 2
        assert await admitted(limit, caller, 2) == 1
