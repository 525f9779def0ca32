"""The verbs of production, and what they say when something is missing."""

import asyncio
import signal

import asyncpg
import httpx
import pytest

from app.embedded import Stack
from app.embedded.state import free_port
from app.settings import Settings
from tests.cli.commands import DEADLINE, environment, run, start


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return environment(settings)


async def test_settings_are_all_explained_and_secrets_hidden(env: dict[str, str], settings: Settings) -> None:
    done = await run({**env, "BATCH_EXPORTS_LEASE_TTL": "PT50S"}, "settings", "--json")
    rows = {row["name"]: row for row in done.document["settings"]}
    assert set(rows) == {f"BATCH_EXPORTS_{name.upper()}" for name in Settings.model_fields}
    assert all(row["description"] for row in rows.values())
    assert (rows["BATCH_EXPORTS_LEASE_TTL"]["value"], rows["BATCH_EXPORTS_LEASE_TTL"]["default"]) == ("50", "40")
    for text in (done.out, (await run(env, "settings")).out):
        assert settings.database_url.get_secret_value() not in text
        assert settings.encryption_keys[0].get_secret_value() not in text


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LEASE_TTL", "soon", "BATCH_EXPORTS_LEASE_TTL is not usable"),
        ("LEASE_TTL", "20", "HEARTBEAT_INTERVAL must be at most a third of LEASE_TTL"),
        ("WORKER_SLOTS", "-1", "BATCH_EXPORTS_WORKER_SLOTS is not usable"),
        ("LOG_LEVEL", "LOUD", "BATCH_EXPORTS_LOG_LEVEL is not usable"),
    ],
)
async def test_a_setting_that_is_wrong_is_named(env: dict[str, str], name: str, value: str, said: str) -> None:
    assert said in (await run({**env, f"BATCH_EXPORTS_{name}": value}, "settings")).reason


async def test_several_may_migrate_at_once(stack: Stack, settings: Settings) -> None:
    env = environment(settings)
    empty = settings.database_url.get_secret_value().rsplit("/", 1)[0]
    name = f"migrate_{free_port()}"
    connection = await asyncpg.connect(f"{empty.replace('+asyncpg', '')}/postgres", ssl=False)
    await connection.execute(f"CREATE DATABASE {name}")
    env["BATCH_EXPORTS_DATABASE_URL"] = f"{empty}/{name}"
    try:
        results = await asyncio.gather(*(run(env, "migrate", "--json") for _ in range(3)))
        revisions = {done.document["revision"] for done in results}
        assert len(revisions) == 1
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("api", "--port", "0"),
        ("worker",),
        ("migrate",),
        ("organizations", "create", "--name", "x"),
        ("keys", "list"),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_an_unreachable_database_is_one_line(env: dict[str, str], arguments: tuple[str, ...]) -> None:
    secret = "hunter2"
    url = f"postgresql+asyncpg://someone:{secret}@127.0.0.1:{free_port()}/nowhere"
    reason = (await run({**env, "BATCH_EXPORTS_DATABASE_URL": url}, *arguments)).reason
    assert "database" in reason.lower()
    assert secret not in reason


@pytest.mark.parametrize("arguments", [("api", "--port", "0"), ("worker",)], ids=lambda arguments: arguments[0])
async def test_an_unreachable_redis_is_one_line(env: dict[str, str], arguments: tuple[str, ...]) -> None:
    port = free_port()
    reason = (await run({**env, "BATCH_EXPORTS_REDIS_URL": f"redis://:hunter2@127.0.0.1:{port}"}, *arguments)).reason
    assert str(port) in reason
    assert "hunter2" not in reason


@pytest.mark.parametrize("arguments", [("api", "--port", "0"), ("worker",)], ids=lambda arguments: arguments[0])
async def test_a_missing_encryption_key_is_one_line(env: dict[str, str], arguments: tuple[str, ...]) -> None:
    reason = (await run({**env, "BATCH_EXPORTS_ENCRYPTION_KEYS": ""}, *arguments)).reason
    assert "BATCH_EXPORTS_ENCRYPTION_KEYS is not set" in reason


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT], ids=lambda stop: stop.name)
async def test_the_api_serves_until_it_is_stopped(env: dict[str, str], stop: signal.Signals) -> None:
    port = free_port()
    process = await start(env, "api", "--port", str(port))
    async with asyncio.timeout(DEADLINE), httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            try:
                answer = await client.get("/health/ready")
                break
            except httpx.TransportError:
                assert process.returncode is None
                await asyncio.sleep(0.05)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "down": []})
    process.send_signal(stop)
    await asyncio.wait_for(process.communicate(), DEADLINE)
    assert process.returncode in (0, -stop)
