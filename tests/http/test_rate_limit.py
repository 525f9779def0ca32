"""A key that asks too often is turned away for the rest of the minute."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from tests.conftest import Clock
from tests.http.callers import Tenant, add_tenant, error, open_client, refused
from tests.http.statements import counting


@pytest.fixture
async def limited(settings: Settings, clock: Clock) -> AsyncIterator[Runtime]:
    """Two requests per minute and key."""
    changed = settings.model_copy(update={"rate_limit_per_minute": 2})
    async with open_runtime(changed, application_name="tests", clock=clock) as opened:
        yield opened


@pytest.fixture
def limited_app(limited: Runtime) -> FastAPI:
    app = create_app(limited.settings)
    app.state.runtime = limited
    return app


async def test_one_request_too_many_is_told_when_to_come_back(
    limited_app: FastAPI, limited: Runtime, tenant: Tenant, clock: Clock
) -> None:
    clock.now += timedelta(seconds=20)
    other = await add_tenant(limited, organization_id=tenant.organization_id)
    async with open_client(limited_app, tenant) as client, open_client(limited_app, other) as unhurried:
        for _ in range(2):
            assert (await client.get("/batch_exports/")).status_code == 200
        with counting(limited) as statements:
            answer = await client.post("/batch_exports/", content=b"{")
        expected = error("throttled_error", "throttled", "Request was throttled. Expected available in 40 seconds.")
        assert refused(answer) == (429, expected)
        assert answer.headers["Retry-After"] == "40"
        assert statements == []
        assert (await unhurried.get("/batch_exports/")).status_code == 200
        clock.now += timedelta(seconds=40)
        assert (await client.get("/batch_exports/")).status_code == 200


async def test_whoever_sends_no_key_is_not_counted(limited_app: FastAPI, tenant: Tenant) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(limited_app), base_url=tenant.base_url) as client:
        for _ in range(5):
            assert (await client.get("/batch_exports/")).status_code == 401
