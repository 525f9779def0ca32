"""Who may do what, and where (the contract's section 1.2)."""

from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.models import ApiKey
from app.runtime import Runtime
from app.tenants.repository import TenantRepository
from tests.conftest import Clock
from tests.factories import utc
from tests.http.callers import (
    EMPTY_PAGE,
    NOT_FOUND,
    Tenant,
    add_tenant,
    created,
    error,
    no_op,
    open_client,
    refused,
)

MISSING = error("authentication_error", "not_authenticated", "Authentication credentials were not provided.")
WRONG = error("authentication_error", "not_authenticated", "Invalid personal API key.")
FOREIGN_PROJECT = error("authentication_error", "permission_denied", "You don't have access to the project.")
FOREIGN_ORGANIZATION = error("authentication_error", "permission_denied", "You don't have access to the organization.")
NO_PROJECT = error("invalid_request", "not_found", "Project not found.")

NOBODY = UUID("0190a5a8-0000-7000-8000-000000000000")

EXPORT = "/batch_exports/{id}/"
WRITES = [
    ("POST", "/batch_exports/"),
    ("PUT", EXPORT),
    ("PATCH", EXPORT),
    ("DELETE", EXPORT),
    ("POST", f"{EXPORT}pause/"),
    ("POST", f"{EXPORT}unpause/"),
    ("POST", f"{EXPORT}backfill/"),
]
NESTED_WRITES = [
    ("POST", f"{EXPORT}backfills/"),
    ("POST", f"{EXPORT}backfills/{NOBODY}/cancel/"),
    ("POST", f"{EXPORT}runs/{NOBODY}/cancel/"),
]
READS = [("GET", "/batch_exports/"), ("GET", EXPORT)]
NESTED_READS = [
    ("GET", f"{EXPORT}runs/"),
    ("GET", f"{EXPORT}runs/{NOBODY}/"),
    ("GET", f"{EXPORT}backfills/"),
    ("GET", f"{EXPORT}backfills/{NOBODY}/"),
]
EVERY_ROUTE = READS + NESTED_READS + WRITES + NESTED_WRITES


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, MISSING),
        ("", MISSING),
        ("Bearer", MISSING),
        ("Bearer   ", MISSING),
        ("Basic dXNlcjpwYXNz", MISSING),
        ("Bearer phx_nobody", WRONG),
        ("Bearer \xff\xfe", WRONG),
        ("Bearer one two", WRONG),
    ],
)
async def test_without_a_key_nobody_is_served(
    app: FastAPI, tenant: Tenant, header: str | None, expected: dict[str, Any]
) -> None:
    headers = httpx.Headers({} if header is None else {"Authorization": header}, encoding="latin-1")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=tenant.base_url) as client:
        answer = await client.get("/batch_exports/", headers=headers)
    assert refused(answer) == (401, expected)
    assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_a_key_is_good_however_its_scheme_is_spelled(app: FastAPI, tenant: Tenant) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=tenant.base_url) as client:
        answer = await client.get("/batch_exports/", headers={"Authorization": f"bearer  {tenant.key} "})
    assert answer.status_code == 200


async def test_a_revoked_key_is_refused_at_once(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    assert (await api.get("/batch_exports/")).status_code == 200
    async with runtime.sessions.begin() as session:
        assert await TenantRepository(session).revoke_key(tenant.key_id, runtime.clock())
    assert refused(await api.get("/batch_exports/")) == (401, WRONG)


async def test_the_use_of_a_key_is_noted_once_a_minute(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock
) -> None:
    async def used() -> Any:
        async with runtime.sessions() as session:
            return (await session.get_one(ApiKey, tenant.key_id)).last_used_at

    for seconds, noted in ((0, 0), (50, 0), (61, 61)):
        clock.now = utc(2026, 6, 1, 12, seconds // 60, seconds % 60)
        assert (await api.get("/batch_exports/")).status_code == 200
        assert await used() == utc(2026, 6, 1, 12, noted // 60, noted % 60)


@pytest.mark.parametrize("content", [b"{}", b"{"])
async def test_writing_wants_the_scope_before_the_body_is_looked_at(
    app: FastAPI, runtime: Runtime, tenant: Tenant, content: bytes
) -> None:
    reader = await add_tenant(runtime, scopes=["batch_export:read"])
    expected = error("authentication_error", "permission_denied", "API key missing required scope 'batch_export:write'")
    async with open_client(app, reader) as client:
        for method, path in WRITES + NESTED_WRITES:
            answer = await client.request(method, path.format(id=NOBODY), content=content)
            assert refused(answer) == (403, expected), (method, path)
        assert (await client.get("/batch_exports/")).status_code == 200


async def test_a_key_of_no_scope_here_may_not_even_read(app: FastAPI, runtime: Runtime, tenant: Tenant) -> None:
    async with runtime.sessions.begin() as session:
        (await session.get_one(ApiKey, tenant.key_id)).scopes = ["feature_flag:read"]
    expected = error("authentication_error", "permission_denied", "API key missing required scope 'batch_export:read'")
    async with open_client(app, tenant) as client:
        for method, path in READS + NESTED_READS:
            assert refused(await client.request(method, path.format(id=NOBODY))) == (403, expected)


async def test_writing_implies_reading(app: FastAPI, runtime: Runtime) -> None:
    writer = await add_tenant(runtime, scopes=["batch_export:write"])
    async with open_client(app, writer) as client:
        export = await created(client, no_op())
        assert (await client.get(f"/batch_exports/{export['id']}/")).json() == export


@pytest.mark.parametrize("mount", ["projects", "environments"])
async def test_another_organization_is_refused_on_every_route(
    app: FastAPI, runtime: Runtime, tenant: Tenant, api: httpx.AsyncClient, mount: str
) -> None:
    export = await created(api, no_op())
    stranger = await add_tenant(runtime)
    base_url = f"http://service.test/api/{mount}/{tenant.project_id}"
    async with open_client(app, stranger, base_url=base_url) as client:
        for method, path in EVERY_ROUTE:
            answer = await client.request(method, path.format(id=export["id"]), content=b"{")
            assert refused(answer) == (403, FOREIGN_PROJECT), (method, path)


async def test_another_organization_is_refused_on_the_organizations_mount(
    app: FastAPI, runtime: Runtime, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    export = await created(api, no_op())
    stranger = await add_tenant(runtime)
    for organization_id in (tenant.organization_id, NOBODY):
        base_url = f"http://service.test/api/organizations/{organization_id}"
        async with open_client(app, stranger, base_url=base_url) as client:
            for method, path in READS + WRITES:
                answer = await client.request(method, path.format(id=export["id"]))
                assert refused(answer) == (403, FOREIGN_ORGANIZATION), (method, path)
    own = f"http://service.test/api/organizations/{stranger.organization_id}"
    async with open_client(app, stranger, base_url=own) as client:
        for method, path in [("GET", EXPORT), *WRITES[1:6]]:
            answer = await client.request(method, path.format(id=export["id"]), json=no_op())
            assert refused(answer) == (404, NOT_FOUND), (method, path)


async def test_another_project_of_the_organization_does_not_see_an_export(
    app: FastAPI, runtime: Runtime, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    export = await created(api, no_op())
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    no_export = error("invalid_request", "not_found", "BatchExport not found.")
    expected: dict[tuple[str, str], tuple[int, Any]] = {
        ("GET", "/batch_exports/"): (200, {"count": 0, "next": None, "previous": None, "results": []}),
        ("GET", f"{EXPORT}runs/"): (200, EMPTY_PAGE),
        ("GET", f"{EXPORT}backfills/"): (200, EMPTY_PAGE),
        ("POST", f"{EXPORT}backfills/"): (404, no_export),
        ("POST", f"{EXPORT}backfill/"): (404, no_export),
    }
    async with open_client(app, sibling) as client:
        for method, path in EVERY_ROUTE:
            if (method, path) == ("POST", "/batch_exports/"):
                continue
            body = no_op() if method in ("PUT", "PATCH") else None
            answer = await client.request(method, path.format(id=export["id"]), json=body)
            assert refused(answer) == expected.get((method, path), (404, NOT_FOUND)), (method, path)
    assert (await api.get(EXPORT.format(id=export["id"]))).json() == export


async def test_an_organization_sees_the_exports_of_all_its_projects(
    app: FastAPI, runtime: Runtime, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    stranger = await add_tenant(runtime)
    exports = [await created(api, no_op())]
    for other in (sibling, stranger):
        async with open_client(app, other) as client:
            exports.append(await created(client, no_op()))
    for organization_id in (tenant.organization_id, "@current"):
        base_url = f"http://service.test/api/organizations/{organization_id}"
        async with open_client(app, sibling, base_url=base_url) as client:
            page = (await client.get("/batch_exports/")).json()
            assert {export["id"] for export in page["results"]} == {exports[0]["id"], exports[1]["id"]}
            for export in exports[:2]:
                assert (await client.get(EXPORT.format(id=export["id"]))).json() == export
            assert (await client.get(f"{EXPORT.format(id=exports[0]['id'])}runs/")).status_code == 404


async def test_a_key_of_some_projects_does_not_reach_the_others(
    app: FastAPI, runtime: Runtime, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    export = await created(api, no_op())
    second = await add_tenant(runtime, organization_id=tenant.organization_id)
    limited = await add_tenant(runtime, organization_id=tenant.organization_id, project_ids=[second.project_id])
    async with open_client(app, limited, base_url=tenant.base_url) as client:
        assert refused(await client.get("/batch_exports/")) == (403, FOREIGN_PROJECT)
    async with open_client(app, limited, base_url="http://service.test/api/projects/@current") as client:
        assert (await created(client, no_op()))["team_id"] == second.project_id
    base_url = f"http://service.test/api/organizations/{tenant.organization_id}"
    async with open_client(app, limited, base_url=base_url) as client:
        assert [one["team_id"] for one in (await client.get("/batch_exports/")).json()["results"]] == [
            second.project_id
        ]
        assert refused(await client.get(EXPORT.format(id=export["id"]))) == (404, NOT_FOUND)


@pytest.mark.parametrize("mount", ["projects", "environments"])
async def test_current_is_the_first_project_of_the_key(
    app: FastAPI, runtime: Runtime, tenant: Tenant, mount: str
) -> None:
    await add_tenant(runtime, organization_id=tenant.organization_id)
    async with open_client(app, tenant, base_url=f"http://service.test/api/{mount}/@current") as client:
        export = await created(client, no_op())
        assert export["team_id"] == tenant.project_id
        assert (await client.get(EXPORT.format(id=export["id"]))).json() == export


@pytest.mark.parametrize("project", ["0", "999999", "9" * 20, "9" * 5000, "-1", "x", "٣", "%00"])
async def test_a_project_that_is_none_is_not_found(app: FastAPI, tenant: Tenant, project: str) -> None:
    async with open_client(app, tenant, base_url="http://service.test/api/projects") as client:
        assert refused(await client.get(f"/{project}/batch_exports/")) == (404, NO_PROJECT)
        answer = await client.get("http://service.test/api/organizations/x/batch_exports/")
        assert refused(answer) == (404, NOT_FOUND)


@pytest.mark.parametrize("export_id", ["x", "123", NOBODY, f"{NOBODY}0", "%00", "@current"])
async def test_an_id_that_is_none_is_not_found(api: httpx.AsyncClient, export_id: str) -> None:
    for method, path in EVERY_ROUTE[1:]:
        if path == "/batch_exports/" or (method == "GET" and path.endswith(("runs/", "backfills/"))):
            continue
        answer = await api.request(method, path.format(id=export_id), content=b"{")
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "not_found"
