"""Feature flags from the command line."""

import pytest

from app.runtime import Runtime
from app.settings import Settings
from app.tenants.flags import Flag
from tests.cli.commands import environment, run
from tests.http.callers import Tenant

DEFAULTS = {flag.value: flag not in (Flag.HOGQL, Flag.WORKFLOWS) for flag in Flag}


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return environment(settings)


async def test_a_flag_that_was_set_is_listed(env: dict[str, str], runtime: Runtime, tenant: Tenant) -> None:
    project = ("--project", str(tenant.project_id))
    done = await run(env, "flags", "set", *project, Flag.SESSIONS, "off", "--json")
    assert done.document == {"project_id": tenant.project_id, "flag": "sessions-batch-exports", "on": False}
    workflows = await run(env, "flags", "set", Flag.WORKFLOWS, "on", *project)
    assert (workflows.status, workflows.out) == (
        0,
        f"backfill-workflows-destination is off in project {tenant.project_id}; this service cannot do what it stands "
        "for\n",
    )
    listed = (await run(env, "flags", "list", *project, "--json")).document
    assert listed == {"project_id": tenant.project_id, "flags": {**DEFAULTS, "sessions-batch-exports": False}}


async def test_a_project_that_is_none_is_one_line(env: dict[str, str]) -> None:
    for arguments in (("set", "--project", "99", Flag.SESSIONS, "on"), ("list", "--project", "99")):
        assert (await run(env, "flags", *arguments)).reason == "batch-exports: There is no project 99."


@pytest.mark.parametrize("arguments", [("everything", "on"), (Flag.SESSIONS, "maybe"), (Flag.SESSIONS,)])
async def test_a_flag_or_state_that_is_none_is_wrong_usage(env: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = await run(env, "flags", "set", "--project", "1", *arguments)
    assert (done.status, done.out) == (2, "")
