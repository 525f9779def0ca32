"""Rotating keys from the command line."""

import pytest
from pydantic import SecretStr

from app.crypto import Cipher, new_key
from app.models import Integration
from app.runtime import Runtime
from app.settings import Settings
from tests.cli.commands import environment, run
from tests.factories import make_integration
from tests.http.callers import Tenant


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return environment(settings)


async def test_after_a_rotation_the_old_key_may_go(env: dict[str, str], runtime: Runtime, tenant: Tenant) -> None:
    async with runtime.sessions.begin() as session:
        integration = await make_integration(session, runtime.cipher, tenant.project_id)
    key = new_key()
    both = {**env, "BATCH_EXPORTS_ENCRYPTION_KEYS": f"{key},{env['BATCH_EXPORTS_ENCRYPTION_KEYS']}"}
    done = await run(both, "encryption", "rotate", "--json")
    assert done.document == {"rotated": 1, "current": 0, "unreadable": []}
    async with runtime.sessions() as session:
        sealed = (await session.get_one(Integration, integration.id)).sensitive_config
    assert Cipher([SecretStr(key)]).open(sealed)["aws_access_key_id"] == "the-access-key"
    again = await run({**env, "BATCH_EXPORTS_ENCRYPTION_KEYS": key}, "encryption", "rotate")
    assert (again.status, again.out) == (0, "0 encrypted with the newest key, 1 were already\n")


async def test_what_cannot_be_opened_is_named_and_makes_it_fail(
    env: dict[str, str], runtime: Runtime, tenant: Tenant
) -> None:
    async with runtime.sessions.begin() as session:
        integration = await make_integration(session, runtime.cipher, tenant.project_id)
    done = await run({**env, "BATCH_EXPORTS_ENCRYPTION_KEYS": new_key()}, "encryption", "rotate")
    assert done.status == 1
    assert f"unreadable: integrations {integration.id}\n" in done.out
    [line] = done.err.splitlines()
    assert line.startswith("batch-exports: 1 stored documents cannot be decrypted")
