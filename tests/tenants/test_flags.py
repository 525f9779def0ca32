"""Feature flags: defaults, and what is said where one is off (the contract's section 13)."""

from uuid import uuid4

import httpx
import pytest
from fastapi import Request

from app.errors import ApiError
from app.http.access import ReadAccess
from app.http.unit import UnitOfWork
from app.main import create_app
from app.runtime import Runtime
from app.settings import Settings
from app.tenants.access import Access
from app.tenants.flags import REFUSALS, Flag, is_on
from app.tenants.service import set_flag
from tests.http.callers import Tenant, add_tenant, open_client
from tests.http.statements import counting

REFUSED = {
    "high-frequency-batch-exports": (403, "Higher frequency batch exports are not enabled for this team."),
    "hogql-batch-exports": (403, "HogQL batch exports are not enabled for this team."),
    "batch-export-earliest-backfill": (
        400,
        "Backfilling from the beginning of time is not enabled for this team.",
    ),
    "backfill-workflows-destination": (403, "Backfilling Workflows is not enabled for this team."),
    "databricks-batch-exports": (403, "The Databricks destination is not enabled for this team."),
    "sessions-batch-exports": (403, "Sessions batch exports are not enabled for this team."),
}


def access(flags: dict[int, dict[str, bool]]) -> Access:
    """To the projects 1 and 2; something new belongs to the first."""
    return Access(uuid4(), (1, 2), 1, uuid4(), flags=flags)


def test_every_flag_has_a_refusal() -> None:
    assert set(REFUSALS) == set(Flag)


def test_flags_are_on_unless_the_service_cannot_do_it() -> None:
    off = {flag for flag in Flag if not is_on({}, flag)}
    assert off == {Flag.WORKFLOWS, Flag.HOGQL}


@pytest.mark.parametrize("flag", Flag)
def test_a_project_decides_for_itself_except_for_workflows(flag: Flag) -> None:
    assert not is_on({flag: False}, flag)
    assert is_on({flag: True}, flag) is (flag is not Flag.WORKFLOWS)


@pytest.mark.parametrize("flag", Flag)
def test_a_flag_that_is_off_is_refused_in_the_contracts_words(flag: Flag) -> None:
    with pytest.raises(ApiError) as refused:
        access({1: {flag: False}}).require(flag)
    status, detail = REFUSED[flag]
    kind, code = (
        ("authentication_error", "permission_denied") if status == 403 else ("validation_error", "invalid_input")
    )
    assert refused.value.status == status
    assert refused.value.body() == {"type": kind, "code": code, "detail": detail, "attr": None}


def test_each_project_in_reach_has_its_own_flags() -> None:
    reach = access({1: {Flag.SESSIONS: False}, 2: {}})
    assert not reach.has(Flag.SESSIONS)
    assert reach.has(Flag.SESSIONS, 2)
    reach.require(Flag.SESSIONS, 2)


async def test_flags_set_at_once_are_all_set(runtime: Runtime, tenant: Tenant) -> None:
    async with runtime.sessions.begin() as first:
        assert await set_flag(first, tenant.project_id, Flag.SESSIONS, on=False) == {Flag.SESSIONS: False}
    async with runtime.sessions.begin() as second:
        both = await set_flag(second, tenant.project_id, Flag.DATABRICKS, on=False)
    assert both == {Flag.SESSIONS: False, Flag.DATABRICKS: False}


@pytest.mark.parametrize("mount", ["projects/@current", "projects/{project_id}", "organizations/@current"])
async def test_a_request_knows_the_flags_of_what_it_reaches_without_a_statement_more(
    settings: Settings, runtime: Runtime, tenant: Tenant, mount: str
) -> None:
    seen: list[Access] = []
    app = create_app(settings)  # one of its own, for it gets a route of its own
    app.state.runtime = runtime

    @app.get("/api/probe/{project_id}/")
    @app.get("/api/probe-wide/{organization_id}/")
    async def probe(request: Request, unit: UnitOfWork, access: ReadAccess) -> None:
        seen.append(access)

    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    async with runtime.sessions.begin() as session:
        await set_flag(session, tenant.project_id, Flag.SESSIONS, on=False)
    name, place = mount.format(project_id=tenant.project_id).split("/")
    path = f"/api/{'probe-wide' if name == 'organizations' else 'probe'}/{place}/"
    async with open_client(app, tenant, base_url="http://service.test") as client:
        assert (await client.get(path)).status_code == 200
        with counting(runtime) as statements:
            answer: httpx.Response = await client.get(path)
    assert answer.status_code == 200
    assert len(statements) == 2  # the key, and the projects
    assert not seen[-1].has(Flag.SESSIONS)
    if name == "organizations":
        assert seen[-1].has(Flag.SESSIONS, sibling.project_id)
