"""What a process is told when it cannot start."""

from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from app.db.engine import create_engine
from app.embedded import Stack
from app.embedded.state import free_port
from app.errors import SetupError
from app.runtime import Runtime, check_services
from app.settings import DatabaseSettings, Settings


def with_database(settings: Settings, **parts: Any) -> Settings:
    url = make_url(settings.database_url.get_secret_value()).set(**parts).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": SecretStr(url)})


async def reason(settings: Settings) -> str:
    """Why it cannot start: one line, without a password."""
    with pytest.raises(SetupError) as refused:
        await check_services(settings)
    line = str(refused.value)
    password = make_url(settings.database_url.get_secret_value()).password
    assert password is not None
    assert password not in line
    assert "\n" not in line
    return line


async def test_services_that_are_there_are_no_reason(settings: Settings) -> None:
    await check_services(settings)


async def test_a_database_that_is_not_there_is_named(settings: Settings) -> None:
    port = free_port()
    assert f"at 127.0.0.1:{port} does not answer (ConnectionRefusedError)" in await reason(
        with_database(settings, port=port)
    )


async def test_a_database_that_refuses_is_named_with_the_cause(settings: Settings) -> None:
    assert "(InvalidPasswordError)" in await reason(with_database(settings, password="sesame"))
    assert "database 'nowhere'" in await reason(with_database(settings, database="nowhere"))
    assert "(InvalidCatalogNameError)" in await reason(with_database(settings, database="nowhere"))


async def test_a_schema_that_is_not_there_is_to_be_migrated(settings: Settings) -> None:
    assert "run: batch-exports migrate" in await reason(with_database(settings, database="postgres"))


async def test_a_schema_that_is_behind_is_to_be_migrated_and_a_newer_one_will_do(
    settings: Settings, runtime: Runtime
) -> None:
    async with runtime.engine.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM alembic_version")
    assert "run: batch-exports migrate" in await reason(settings)
    async with runtime.engine.begin() as connection:
        await connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('from_the_future')")
    await check_services(settings)


async def test_redis_that_is_not_there_is_named(settings: Settings, stack: Stack) -> None:
    port = free_port()
    absent = settings.model_copy(update={"redis_url": SecretStr(f"redis://:sesame@127.0.0.1:{port}/0")})
    line = await reason(absent)
    assert f"Redis at 127.0.0.1:{port} does not answer" in line
    assert "sesame" not in line
    refusing = settings.model_copy(update={"redis_url": SecretStr(stack.redis_url.replace("://:", "://:sesame"))})
    line = await reason(refusing)
    assert "AuthenticationError" in line
    assert "sesame" not in line


@pytest.mark.parametrize("url", ["sesame", "postgresql://u:sesame@h/d", "postgresql+asyncpg://u:sesame@h:port/d"])
def test_a_url_that_is_none_is_refused_without_being_shown(url: str) -> None:
    with pytest.raises(SetupError, match="BATCH_EXPORTS_DATABASE_URL") as refused:
        create_engine(DatabaseSettings(_env_file=None, database_url=SecretStr(url)), application_name="test")
    assert "sesame" not in str(refused.value)


async def test_an_event_store_of_its_own_is_asked_too(settings: Settings) -> None:
    there = settings.model_copy(update={"event_store_url": settings.database_url})
    await check_services(there)
    port = free_port()
    absent = settings.model_copy(update={"event_store_url": with_database(settings, port=port).database_url})
    line = await reason(absent)
    assert f"at 127.0.0.1:{port} does not answer (ConnectionRefusedError)" in line
    assert "check BATCH_EXPORTS_EVENT_STORE_URL" in line
    empty = settings.model_copy(update={"event_store_url": with_database(settings, database="postgres").database_url})
    assert "run: batch-exports migrate" in await reason(empty)
    wrong = settings.model_copy(update={"event_store_url": SecretStr("sesame")})
    line = await reason(wrong)
    assert "BATCH_EXPORTS_EVENT_STORE_URL is not a URL" in line
    assert "sesame" not in line
