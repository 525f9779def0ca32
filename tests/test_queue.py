"""Hints: sent when they can be, and never waited for."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from redis.exceptions import RedisError

from app.embedded import Stack
from app.errors import SetupError
from app.queue import ADVANCE, CONTROL, RUNS, WAKE, Queue, deserialize, open_redis, serialize
from app.settings import RedisSettings
from tests.worker.proxy import open_proxy


def redis_settings(url: str) -> RedisSettings:
    return RedisSettings(_env_file=None, redis_url=url, redis_connect_timeout=timedelta(milliseconds=300))


@pytest.fixture
async def url(stack: Stack) -> AsyncIterator[str]:
    """A database of Redis that is empty."""
    url = f"{stack.redis_url}/15"
    redis = open_redis(redis_settings(url))
    await redis.flushdb()
    yield url
    await redis.flushdb()
    await redis.aclose()


async def hints(url: str, queue: str = RUNS) -> list[tuple[str, list[Any]]]:
    redis = open_redis(redis_settings(url))
    jobs = [json.loads(await redis.get(f"arq:job:{name.decode()}")) for name in await redis.zrange(queue, 0, -1)]
    await redis.aclose()
    return [(job["f"], job["a"]) for job in jobs]


async def test_hints_carry_an_id_as_json(url: str) -> None:
    queue, run_id, backfill_id = Queue(redis_settings(url)), uuid4(), uuid4()
    await queue.wake(run_id)
    await queue.advance(backfill_id)
    await queue.aclose()
    assert await hints(url, RUNS) == [(WAKE, [str(run_id)])]
    assert await hints(url, CONTROL) == [(ADVANCE, [str(backfill_id)])]


async def test_the_same_hint_may_be_sent_again(url: str) -> None:
    queue, run_id = Queue(redis_settings(url)), uuid4()
    await asyncio.gather(*(queue.wake(run_id) for _ in range(3)))
    await queue.aclose()
    assert await hints(url) == [(WAKE, [str(run_id)])] * 3


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_a_hint_that_cannot_be_sent_is_not_waited_for(stack: Stack, url: str, how: str) -> None:
    port = int(stack.redis_url.rsplit(":", 1)[1])
    async with open_proxy(port) as proxy:
        queue = Queue(redis_settings(url.replace(f":{port}", f":{proxy.port}")))
        await queue.ping()
        if how == "gone":
            await proxy.cut()
        else:
            proxy.freeze()
        begun = time.monotonic()
        await queue.wake(uuid4())
        assert time.monotonic() - begun < 5
        with pytest.raises(RedisError):
            await queue.ping()
        assert await hints(url) == []
        await proxy.mend()
        await queue.wake(uuid4())
        await queue.aclose()
    assert len(await hints(url)) >= 1


async def test_a_password_in_a_url_is_decoded() -> None:
    redis = open_redis(redis_settings("redis://us%65r:p%40ss@cache.example:6380/3"))
    kwargs = redis.connection_pool.connection_kwargs
    assert (kwargs["username"], kwargs["password"], kwargs["db"]) == ("user", "p@ss", 3)
    queue = Queue(redis_settings("redis://:p%40ss@cache.example:6380/3"))
    assert queue.address == "cache.example:6380"


@pytest.mark.parametrize("url", ["sesame", "http://:sesame@host", "redis://:sesame@host:port"])
async def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SetupError, match="BATCH_EXPORTS_REDIS_URL") as refused:
        Queue(redis_settings(url))
    assert "sesame" not in str(refused.value)


def test_jobs_are_json_objects() -> None:
    assert deserialize(serialize({"f": "wake", "a": [uuid4()]}))["f"] == "wake"
    with pytest.raises(AssertionError):
        deserialize(b"[]")
