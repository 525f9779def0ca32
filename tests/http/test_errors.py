"""One error body, whatever went wrong (the contract's section 1.3)."""

import asyncio
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import make_url
from structlog.testing import capture_logs

from app.exports.service import ExportService
from app.main import create_app
from app.settings import Settings
from tests.http.callers import NOT_FOUND, Tenant, created, error, no_op, open_client, refused
from tests.worker.proxy import Proxy, open_proxy

UNAVAILABLE = error(
    "server_error",
    "service_unavailable",
    "The service cannot reach its database just now. Try again shortly.",
)
BROKEN = error("server_error", "error", "A server error occurred.")
LIMIT = 1024 * 1024
TOO_LARGE = error("invalid_request", "request_too_large", f"The request body is larger than {LIMIT} bytes.")


@pytest.mark.parametrize("path", ["/", "/api/", "/api/projects/", "/api/projects/1/", "/batch_exports/x"])
async def test_a_path_that_is_none_is_not_found(api: httpx.AsyncClient, path: str) -> None:
    assert refused(await api.get(f"http://service.test{path}")) == (404, NOT_FOUND)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/batch_exports/"),
        ("POST", "/batch_exports/{id}/"),
        ("GET", "/batch_exports/{id}/pause/"),
        ("POST", "/batch_exports/{id}/runs/"),
        ("DELETE", "/batch_exports/{id}/runs/{id}/"),
        ("PUT", "/batch_exports/{id}/backfills/{id}/"),
        ("PATCH", "/batch_exports/{id}/backfills/{id}"),
        ("DELETE", "/batch_exports/{id}/backfills/{id}/"),
    ],
)
async def test_a_wrong_method_is_named(api: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await api.request(method, path.format(id="0190a5a8-0000-7000-8000-000000000000"))
    expected = error("invalid_request", "method_not_allowed", f'Method "{method}" not allowed.')
    assert refused(answer) == (405, expected)
    assert answer.headers["Allow"]


async def test_the_trailing_slash_may_be_left_out_everywhere(api: httpx.AsyncClient) -> None:
    answer = await api.post("/batch_exports", json=no_op())
    assert answer.status_code == 201
    export = answer.json()
    url = f"/batch_exports/{export['id']}"
    assert (await api.get(url)).json() == export
    assert (await api.put(url, json=no_op())).status_code == 200
    assert (await api.patch(url, json={})).status_code == 200
    assert refused(await api.post(f"{url}/pause")) == (200, {"paused": True})
    assert refused(await api.post(f"{url}/unpause")) == (200, {"paused": False})
    assert (await api.get(f"{url}/runs?status=Failed")).status_code == 200
    assert (await api.post(f"{url}/backfills", json={"start_at": "2026-01-01T00:00:00Z"})).status_code == 201
    assert (await api.delete(url)).status_code == 204


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 65536 + 1):
        yield b" " * 65536


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data", None])
async def test_a_body_over_the_limit_is_refused(api: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    announced = await api.post("/batch_exports/", content=b" " * (LIMIT + 1), headers=headers)
    assert refused(announced) == (413, TOO_LARGE)
    unannounced = await api.post("/batch_exports/", content=chunks(LIMIT), headers=headers)
    assert "Transfer-Encoding" in unannounced.request.headers
    assert refused(unannounced) == (413, TOO_LARGE)


async def test_a_body_of_the_limit_is_read(api: httpx.AsyncClient) -> None:
    answer = await api.post("/batch_exports/", content=b"{}".ljust(LIMIT))
    assert (answer.status_code, answer.json()["code"]) == (400, "required")


async def test_a_bug_of_ours_is_a_plain_500(app: FastAPI, tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a secret of the implementation")

    monkeypatch.setattr(ExportService, "page", broken)
    async with open_client(app, tenant, raises=False) as client:
        with capture_logs() as logs:
            assert refused(await client.get("/batch_exports/")) == (500, BROKEN)
    [logged] = logs
    assert (logged["event"], logged["log_level"]) == ("unexpected error in a request", "error")
    assert isinstance(logged["exc_info"], RuntimeError)


def database_through(settings: Settings, proxy: Proxy) -> SecretStr:
    url = make_url(settings.database_url.get_secret_value()).set(port=proxy.port)
    return SecretStr(url.render_as_string(hide_password=False))


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_without_its_database_the_service_is_unavailable_until_it_is_back(
    settings: Settings, tenant: Tenant, how: str
) -> None:
    port = make_url(settings.database_url.get_secret_value()).port
    assert port is not None
    async with open_proxy(port) as proxy:
        timeout = settings.database_connect_timeout / 10
        behind = {"database_url": database_through(settings, proxy), "database_connect_timeout": timeout}
        app = create_app(settings.model_copy(update=behind))
        async with app.router.lifespan_context(app), open_client(app, tenant) as client:
            export = await created(client, no_op())
            if how == "gone":
                await proxy.cut()
            else:
                proxy.freeze()
            for _ in range(2):
                answers = await asyncio.gather(
                    client.get("/batch_exports/"),
                    client.post("/batch_exports/", json=no_op()),
                    client.get(f"/batch_exports/{export['id']}/"),
                )
                assert [refused(answer) for answer in answers] == [(503, UNAVAILABLE)] * 3
            await proxy.mend()
            assert (await client.get(f"/batch_exports/{export['id']}/")).json() == export


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_without_redis_a_backfill_is_made_all_the_same(settings: Settings, tenant: Tenant, how: str) -> None:
    port = make_url(settings.redis_url.get_secret_value()).port
    assert port is not None
    async with open_proxy(port) as proxy:
        behind = settings.model_copy(update={"redis_url": SecretStr(f"redis://127.0.0.1:{proxy.port}")})
        app = create_app(behind)
        async with app.router.lifespan_context(app), open_client(app, tenant) as client:
            export = await created(client, no_op())
            url = f"/batch_exports/{export['id']}/backfills/"
            body = {"start_at": "2026-01-01T00:00:00Z", "end_at": "2026-01-01T01:00:00Z"}
            assert (await client.post(url, json=body)).status_code == 201
            if how == "gone":
                await proxy.cut()
            else:
                proxy.freeze()
            began = time.monotonic()
            assert (await client.post(url, json=body)).status_code == 201
            assert time.monotonic() - began < 4
            assert len((await client.get(url)).json()["results"]) == 2
