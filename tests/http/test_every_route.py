"""Every route there is, found in the application's own document, keeps tenants apart (the contract's section 1.2).

A new route is covered by being there. If its path has a parameter that is not known here, the test says so.
"""

import re
from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import text

from app.main import MOUNTS
from app.models import Download, Export, NotificationChannels, Run
from app.notifications.notices import Kind, Notice
from app.notifications.outbox import Outbox
from app.runtime import Runtime
from tests.factories import make_backfill, make_integration, utc
from tests.http.callers import NOT_FOUND, Tenant, add_tenant, created, error, open_client, refused, s3

ROOT = "http://service.test"
METHODS = {"get", "post", "put", "patch", "delete"}
WRITING = {"POST", "PUT", "PATCH", "DELETE"}
PLACES = {"project_id", "organization_id"}

UNSCOPED = re.compile(r"API key missing required scope '(batch_export|integration):(read|write)'")
NO_EXPORT = error("invalid_request", "not_found", "BatchExport not found.")
FOREIGN = {
    "project_id": error("authentication_error", "permission_denied", "You don't have access to the project."),
    "organization_id": error("authentication_error", "permission_denied", "You don't have access to the organization."),
}
NAME = "Somebody else's"
"""Of everything that has a name."""

EMPTY_PAGES: tuple[dict[str, Any], ...] = (
    {"next": None, "previous": None, "results": []},
    {"count": 0, "next": None, "previous": None, "results": []},
)


class Route(NamedTuple):
    method: str
    path: str

    @property
    def place(self) -> str:
        """The parameter that says whose it is."""
        [place] = PLACES & set(self.parameters)
        return place

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    @property
    def names_something(self) -> bool:
        """Whether it is about one thing of a tenant's, rather than about all or none of them."""
        return len(self.parameters) > 1


@pytest.fixture
def routes(app: FastAPI) -> list[Route]:
    found = [
        Route(method.upper(), path)
        for path, item in app.openapi()["paths"].items()
        # The intake is at the root, and in no tenant's place; it has tests of its own.
        if path.startswith("/api/")
        for method in item
        if method in METHODS
    ]
    assert len(found) > 30
    return found


@pytest.fixture
async def ids(runtime: Runtime, tenant: Tenant, api: httpx.AsyncClient) -> dict[str, Any]:
    """One of each thing that a path can name, all of them the tenant's."""
    export = await created(api, s3(name=NAME))
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        backfill = await make_backfill(session, row, start_at=utc(2026, 1, 1), end_at=utc(2026, 1, 2), status="Running")
        run = Run(
            export_id=row.id,
            project_id=row.project_id,
            status="Running",
            data_interval_start=utc(2026, 5, 31),
            data_interval_end=utc(2026, 6, 1),
            created_at=runtime.clock(),
        )
        session.add(run)
        await session.flush()
        session.add(Download(run_id=run.id, project_id=row.project_id, expires_at=utc(2026, 7, 1)))
        config = {"name": NAME, "endpoint_url": "https://objects.test"}
        sealed = runtime.cipher.seal({"secret": "whsec_" + "A" * 32})
        channels = {"webhook_url": f"https://db.example.com/{NAME}", "webhook_secret": sealed, "emails": ["a@b.test"]}
        session.add(NotificationChannels(project_id=tenant.project_id, **channels))
        await Outbox(session).add([Notice.daily(Kind.RUN_FAILED, row, runtime.clock())], runtime.clock())
        integration = await make_integration(session, runtime.cipher, tenant.project_id, config=config)
        await session.flush()
    return {
        "project_id": tenant.project_id,
        "organization_id": tenant.organization_id,
        "export_id": export["id"],
        "run_id": run.id,
        "download_id": run.id,
        "part": 0,
        "backfill_id": backfill.id,
        "integration_id": integration.id,
    }


def url(route: Route, ids: dict[str, Any], **changed: Any) -> str:
    unknown = set(route.parameters) - set(ids)
    assert not unknown, f"{route}: give `ids` one of the tenant's own, and the tests here cover the route"
    return ROOT + route.path.format(**{**ids, **changed})


async def state(runtime: Runtime, tenant: Tenant) -> list[Any]:
    """Everything the tenant has, as stored; but for the key's last use."""
    tables = {
        "exports": "project_id",
        "runs": "project_id",
        "backfills": "project_id",
        "integrations": "project_id",
        "downloads": "project_id",
        "notification_channels": "project_id",
        "notification_deliveries": "project_id",
        "projects": "id",
    }
    async with runtime.sessions() as session:
        return [
            (
                await session.scalars(
                    text(f"SELECT to_jsonb({table}) FROM {table} WHERE {column} = :project ORDER BY 1::text"),
                    {"project": tenant.project_id},
                )
            ).all()
            for table, column in tables.items()
        ]


@pytest.fixture
async def unchanged(runtime: Runtime, tenant: Tenant, ids: dict[str, Any]) -> AsyncIterator[None]:
    """What others ask for leaves the tenant's own as it was."""
    before = await state(runtime, tenant)
    yield
    assert await state(runtime, tenant) == before


def test_every_route_is_in_the_document_and_in_a_tenants_place(routes: list[Route]) -> None:
    served = {
        Route(method, mount.prefix + route.path)
        for mount in MOUNTS
        for router in mount.routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods or ()
    }
    assert served == set(routes)
    assert all(route.place for route in routes)


@pytest.mark.usefixtures("unchanged")
async def test_without_a_key_no_route_serves(app: FastAPI, routes: list[Route], ids: dict[str, Any]) -> None:
    expected = error("authentication_error", "not_authenticated", "Authentication credentials were not provided.")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        for route in routes:
            assert refused(await client.request(route.method, url(route, ids), content=b"{")) == (401, expected), route


@pytest.mark.usefixtures("unchanged")
async def test_another_organization_is_refused_by_every_route(
    app: FastAPI, runtime: Runtime, routes: list[Route], ids: dict[str, Any]
) -> None:
    stranger = await add_tenant(runtime)
    async with open_client(app, stranger) as client:
        for route in routes:
            answer = await client.request(route.method, url(route, ids), content=b"{")
            assert refused(answer) == (403, FOREIGN[route.place]), route


@pytest.mark.usefixtures("unchanged")
async def test_another_project_of_the_organization_finds_nothing_on_any_route(
    app: FastAPI, runtime: Runtime, tenant: Tenant, routes: list[Route], ids: dict[str, Any]
) -> None:
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    # Good for its own project alone: the organization's mount shows it no more than that, either.
    limited = await add_tenant(runtime, organization_id=tenant.organization_id, project_ids=[sibling.project_id])
    for caller in (sibling, limited):
        async with open_client(app, caller) as client:
            for route in routes:
                if route.place == "organization_id" and caller is sibling:
                    continue
                answer = await client.request(
                    route.method, url(route, ids, project_id=sibling.project_id), json=s3(name="A try")
                )
                assert NAME not in answer.text, route
                if route.names_something:
                    finds_nothing(route, answer)


def finds_nothing(route: Route, answer: httpx.Response) -> None:
    """404; or, of a list of what belongs to the thing, the empty page."""
    if route.method == "GET" and answer.status_code == 200:
        assert answer.json() in EMPTY_PAGES, route
        return
    assert answer.status_code == 404, (route, answer.text)
    assert answer.json() in (NOT_FOUND, NO_EXPORT), route


@pytest.mark.usefixtures("unchanged")
async def test_a_key_of_no_scope_is_refused_by_every_route_and_one_that_reads_by_every_write(
    app: FastAPI, runtime: Runtime, tenant: Tenant, routes: list[Route], ids: dict[str, Any]
) -> None:
    reader = await add_tenant(
        runtime, organization_id=tenant.organization_id, scopes=["batch_export:read", "integration:read"]
    )
    nobody = await add_tenant(runtime, organization_id=tenant.organization_id, scopes=["batch_export:read"])
    async with runtime.sessions.begin() as session:
        await session.execute(
            text("UPDATE api_keys SET scopes = '{feature_flag:write}' WHERE id = :id"), {"id": nobody.key_id}
        )
    for caller, refusing in ((reader, WRITING), (nobody, {"GET", *WRITING})):
        async with open_client(app, caller) as client:
            for route in routes:
                answer = await client.request(route.method, url(route, ids), content=b"{")
                if route.method not in refusing:
                    assert answer.status_code != 403, route
                    continue
                assert answer.status_code == 403, (route, answer.text)
                body = answer.json()
                assert UNSCOPED.fullmatch(body["detail"]), route
                assert body == error("authentication_error", "permission_denied", body["detail"])
