"""Organizations, projects and keys from the command line."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import select

from app.models import ApiKey
from app.runtime import Runtime
from app.settings import Settings
from app.tenants.tokens import hash_key
from tests.cli.commands import environment, run


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return environment(settings)


async def test_from_nothing_to_a_key_that_is_kept_as_a_hash(env: dict[str, str], runtime: Runtime) -> None:
    created = (await run(env, "organizations", "create", "--name", "Ada & Co", "--json")).document
    organization = created["organization_id"]
    project = (await run(env, "projects", "create", "--organization", organization, "--name", "Web", "--json")).document
    listed = (await run(env, "projects", "list", "--organization", organization, "--json")).document
    assert listed == {"projects": [{"organization_id": organization, "name": "Web", **project}]}
    assert (await run(env, "projects", "list")).out == f"{project['project_id']}  {project['project_token']}  Web\n"
    assert project["project_token"].startswith("phc_")
    arguments = ("--organization", organization, "--project", str(project["project_id"]))
    scopes = ("--scopes", "batch_export:read, batch_export:write", "--label", "ci")
    key = (await run(env, "keys", "create", *arguments, *scopes, "--json")).document
    assert key["personal_api_key"].startswith("phx_")
    async with runtime.sessions() as session:
        row = (await session.scalars(select(ApiKey))).one()
    assert row.key_hash == hash_key(key["personal_api_key"])
    assert (row.project_ids, row.label) == ([project["project_id"]], "ci")
    assert row.scopes == ["batch_export:read", "batch_export:write"]

    listed = await run(env, "keys", "list", "--json")
    [one] = listed.document["keys"]
    assert (one["id"], one["hint"], one["revoked_at"]) == (key["id"], f"…{key['personal_api_key'][-4:]}", None)
    assert key["personal_api_key"] not in listed.out

    assert (await run(env, "keys", "revoke", key["id"], "--json")).document == {"id": key["id"], "revoked": True}
    [one] = (await run(env, "keys", "list", "--organization", organization, "--json")).document["keys"]
    assert one["revoked_at"] is not None


async def test_what_there_is_not_is_named_in_one_line(env: dict[str, str]) -> None:
    unknown = str(uuid4())
    organization = (await run(env, "organizations", "create", "--name", "A", "--json")).document["organization_id"]
    commands = {
        f"There is no organization {unknown}.": ("projects", "create", "--organization", unknown, "--name", "x"),
        "has no project 99": (*("keys", "create", "--organization", organization), "--project", "99", "--scopes", "*"),
        "Unknown scope everything": ("keys", "create", "--organization", organization, "--scopes", "everything"),
        f"There is no key {unknown}": ("keys", "revoke", unknown),
    }
    results = await asyncio.gather(*(run(env, *arguments) for arguments in commands.values()))
    for reason, done in zip(commands, results, strict=True):
        assert reason in done.reason


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-verb",),
        ("organizations", "create"),
        ("keys", "revoke", "not-a-uuid"),
        ("api", "--port", "99999"),
        ("events", "load"),
    ],
)
async def test_wrong_usage_has_a_status_of_its_own(env: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = await run(env, *arguments)
    assert (done.status, done.out) == (2, "")
    assert "Traceback" not in done.err
