"""Making organizations, projects and keys, and revoking keys."""

from datetime import timedelta
from uuid import uuid4

import pytest

from app.errors import SetupError
from app.models import ApiKey
from app.runtime import Runtime
from app.tenants.repository import TenantRepository
from app.tenants.service import create_api_key, create_organization, create_project
from app.tenants.tokens import hash_key
from tests.factories import utc


async def test_a_key_is_kept_as_its_hash_alone(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        organization = await create_organization(session, "Ours")
        key, text = await create_api_key(session, organization.id, ["batch_export:read"], "CI")
        _, other = await create_api_key(session, organization.id, ["batch_export:read"], "CI")
    assert text != other
    assert text.startswith("phx_")
    async with runtime.sessions() as session:
        found = await TenantRepository(session).api_key(hash_key(text))
        assert found is not None
        assert (found.id, found.label, found.hint, found.scopes) == (key.id, "CI", text[-4:], ["batch_export:read"])
        values = [getattr(found, column.key) for column in ApiKey.__table__.columns]
        assert not any(text in str(value) for value in values)
        assert await TenantRepository(session).api_key(hash_key(text + "x")) is None


async def test_projects_have_tokens_of_their_own(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        organization = await create_organization(session, "Ours")
        projects = [await create_project(session, organization.id, name) for name in ("Web", "Web")]
        theirs = await create_organization(session, "Theirs")
        await create_project(session, theirs.id, "Web")
    assert projects[0].token != projects[1].token
    async with runtime.sessions() as session:
        found = await TenantRepository(session).projects(organization.id)
    assert [project.id for project in found] == sorted(project.id for project in projects)


async def test_a_key_is_only_made_for_what_is_there(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        organization = await create_organization(session, "Ours")
        foreign = await create_project(session, (await create_organization(session, "Theirs")).id, "Web")
        nobody = uuid4()
        with pytest.raises(SetupError, match=f"There is no organization {nobody}"):
            await create_project(session, nobody, "Web")
        with pytest.raises(SetupError, match=f"There is no organization {nobody}"):
            await create_api_key(session, nobody, ["*"], "CI")
        with pytest.raises(SetupError, match="Unknown scope everything; there are batch_export:read"):
            await create_api_key(session, organization.id, ["everything"], "CI")
        with pytest.raises(SetupError, match=r"Unknown scope \(none given\)"):
            await create_api_key(session, organization.id, [], "CI")
        with pytest.raises(SetupError, match=f"has no project {foreign.id}"):
            await create_api_key(session, organization.id, ["*"], "CI", [foreign.id])


async def test_a_revoked_key_stays_revoked_since_when_it_was(runtime: Runtime) -> None:
    revoked = utc(2026, 1, 1)
    async with runtime.sessions.begin() as session:
        organization = await create_organization(session, "Ours")
        key, text = await create_api_key(session, organization.id, ["*"], "CI")
        tenants = TenantRepository(session)
        assert await tenants.revoke_key(key.id, revoked)
        assert await tenants.revoke_key(key.id, revoked + timedelta(days=1))
        assert not await tenants.revoke_key(uuid4(), revoked)
    async with runtime.sessions() as session:
        assert await TenantRepository(session).api_key(hash_key(text)) is None
        [listed] = await TenantRepository(session).api_keys(organization.id)
        assert listed.revoked_at == revoked
