"""Older keys can be thrown away once everything has been sealed with the newest one."""

import asyncio

import pytest
from pydantic import SecretStr
from sqlalchemy import LargeBinary, text, update

import app.rotation
from app.crypto import Cipher, new_key
from app.db.base import Base
from app.models import Export, Integration, Project
from app.rotation import SEALED, Rotated, rotate
from app.runtime import Runtime
from tests.factories import make_export, make_integration
from tests.http.callers import Tenant

NO_CIPHERTEXT = {("api_keys", "key_hash")}


def newer(runtime: Runtime) -> tuple[Cipher, Cipher]:
    """A cipher that knows a new key and the ones before, and one that knows the new key alone."""
    key = SecretStr(new_key())
    return Cipher([key, *runtime.settings.encryption_keys]), Cipher([key])


async def fill(runtime: Runtime, tenant: Tenant, exports: int, integrations: int) -> None:
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, tenant.project_id)
        for number in range(exports):
            # Deleted ones are kept, and so are their secrets.
            await make_export(session, runtime.cipher, project, config={"n": number}, deleted=number == 0)
        for number in range(integrations):
            await make_integration(session, runtime.cipher, tenant.project_id, sensitive_config={"n": number})


async def opened(runtime: Runtime, cipher: Cipher) -> tuple[list[object], list[object]]:
    async with runtime.sessions() as session:
        exports = await session.execute(text("SELECT destination_config FROM exports"))
        integrations = await session.execute(text("SELECT sensitive_config FROM integrations"))
        return tuple(sorted(cipher.open(one)["n"] for [one] in rows) for rows in (exports, integrations))  # type: ignore[return-value]


def test_every_column_of_ciphertext_is_rotated() -> None:
    binary = {
        (table.name, column.name)
        for table in Base.metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    assert {(sealed.table.name, sealed.column) for sealed in SEALED} == binary - NO_CIPHERTEXT


async def test_everything_is_sealed_with_the_newest_key_and_once_is_enough(
    runtime: Runtime, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.rotation, "BATCH", 2)
    await fill(runtime, tenant, exports=5, integrations=4)
    both, new = newer(runtime)
    assert await rotate(runtime.sessions, both) == Rotated(rotated=9, current=0)
    assert await opened(runtime, new) == ([0, 1, 2, 3, 4], [0, 1, 2, 3])
    assert await rotate(runtime.sessions, both) == Rotated(rotated=0, current=9)


async def test_rows_are_otherwise_as_they_were(runtime: Runtime, tenant: Tenant) -> None:
    await fill(runtime, tenant, exports=1, integrations=0)
    query = text("SELECT to_jsonb(exports) - 'destination_config' FROM exports")
    async with runtime.sessions() as session:
        before = (await session.scalars(query)).one()
    await rotate(runtime.sessions, newer(runtime)[0])
    async with runtime.sessions() as session:
        assert (await session.scalars(query)).one() == before


async def test_what_no_key_opens_is_named_and_left_and_the_rest_is_done(runtime: Runtime, tenant: Tenant) -> None:
    await fill(runtime, tenant, exports=1, integrations=2)
    both, new = newer(runtime)
    lost = Cipher([SecretStr(new_key())]).seal({})
    async with runtime.sessions.begin() as session:
        broken = await make_integration(session, runtime.cipher, tenant.project_id)
        broken.sensitive_config = lost
    result = await rotate(runtime.sessions, both)
    assert result == Rotated(rotated=3, current=0, unreadable=[("integrations", str(broken.id))])
    async with runtime.sessions() as session:
        assert (await session.get_one(Integration, broken.id)).sensitive_config == lost
        assert new.open((await session.get_one(Integration, broken.id - 1)).sensitive_config) == {"n": 1}


async def test_a_change_made_meanwhile_is_not_overwritten(runtime: Runtime, tenant: Tenant) -> None:
    await fill(runtime, tenant, exports=3, integrations=0)
    both, new = newer(runtime)
    async with runtime.sessions.begin() as session:
        await session.execute(update(Export).values(destination_config=both.seal({"n": 7})))
        rotating = asyncio.create_task(rotate(runtime.sessions, both))
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        async with asyncio.timeout(30):
            waits = 0
            while not waits:
                # Within one transaction, whoever asks again is told the same.
                async with runtime.sessions() as other:
                    waits = (await other.scalars(waiting)).one()
                await asyncio.sleep(0.01)
    assert await rotating == Rotated(rotated=0, current=3)
    assert await opened(runtime, new) == ([7, 7, 7], [])
