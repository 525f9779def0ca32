"""``services``, ``dev`` and ``demo``: the embedded stack as people start it."""

import asyncio
import os
import signal
from pathlib import Path

import asyncpg
import httpx

from app.embedded.state import free_port
from app.settings import ENV_PREFIX
from tests.cli.commands import run, serving

ENV = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}


async def test_services_print_what_others_need_and_keep_their_state(data_dir: Path) -> None:
    arguments = ("services", "--data-dir", str(data_dir), "--json")
    async with serving(ENV, *arguments, stop=signal.SIGTERM) as (first, _):
        assert set(first) == {"s3", "env"}
        assert (await run({**ENV, **first["env"]}, "migrate", "--json")).document["revision"]
    async with serving(ENV, *arguments, stop=signal.SIGINT) as (second, _):
        assert second == first
        url = second["env"]["BATCH_EXPORTS_DATABASE_URL"].replace("+asyncpg", "")
        connection = await asyncpg.connect(url, ssl=False)
        assert await connection.fetchval("SELECT count(*) FROM exports") == 0
        await connection.close()


async def test_dev_serves_everything_and_is_found_again(data_dir: Path) -> None:
    port = free_port()
    arguments = ("dev", "--data-dir", str(data_dir), "--json")
    async with serving(ENV, *arguments, "--port", str(port), stop=signal.SIGINT) as (first, _):
        assert first["api_url"] == f"http://127.0.0.1:{port}"
        assert set(first["s3"]) == {
            *("endpoint_url", "bucket_name", "region", "aws_access_key_id", "aws_secret_access_key")
        }
        headers = {"Authorization": f"Bearer {first['personal_api_key']}"}
        async with httpx.AsyncClient(base_url=first["api_url"], headers=headers) as client:
            exports = f"/api/projects/{first['project_id']}/batch_exports/"
            body = {"name": "x", "interval": "hour", "destination": {"type": "NoOp", "config": {}}}
            assert (await client.post(exports, json=body)).status_code == 201
            docs = await client.get("/docs")
            assert "swagger-ui" in docs.text
            assert "http://cdn" not in docs.text
            assert "https://cdn" not in docs.text
        refused = await run(ENV, "dev", "--data-dir", str(data_dir))
        assert f"{data_dir} is in use by process" in refused.reason
        # Other verbs join the stack through its env.
        keys = await run({**ENV, **first["env"]}, "keys", "list", "--json")
        assert len(keys.document["keys"]) == 1
    async with serving(ENV, *arguments, stop=signal.SIGTERM) as (second, _):
        assert second == first
        async with httpx.AsyncClient(base_url=second["api_url"], headers=headers) as client:
            assert (await client.get(exports)).json()["count"] == 1


async def test_dev_refuses_a_port_that_is_taken(data_dir: Path) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        done = await run(ENV, "dev", "--data-dir", str(data_dir), "--port", str(port))
    assert f"Port {port} is in use" in done.reason


async def test_demo_lands_every_event(tmp_path: Path) -> None:
    done = await run(ENV, "demo", "--events", "500", "--json", cwd=tmp_path)
    landed = done.document
    assert (landed["rows"], len(landed["objects"])) == (500, 24)
    assert sum(one["rows"] for one in landed["objects"]) == 500
    assert landed["bytes"] == sum(one["bytes"] for one in landed["objects"]) > 0
    assert len(landed["first_rows"]) == 3
    assert "curl -X POST" in done.err
    assert list(tmp_path.iterdir()) == []
