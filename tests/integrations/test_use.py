"""An integration that an export uses stays."""

import asyncio
from typing import Any

import httpx
import pytest

from app.integrations.repository import IntegrationRepository
from app.integrations.uses import SHOWN, named_in
from app.models import Export, Project
from app.runtime import Runtime
from tests.db.waiting import blocked
from tests.factories import make_export, make_integration
from tests.http.callers import Tenant, invalid, refused


async def add_integration(runtime: Runtime, tenant: Tenant, kind: str = "s3-compatible") -> int:
    async with runtime.sessions.begin() as session:
        config: dict[str, Any] | None = {"name": "Lake"} if kind == "aws-s3" else None
        return (await make_integration(session, runtime.cipher, tenant.project_id, kind, config=config)).id


async def add_export(runtime: Runtime, tenant: Tenant, **values: Any) -> Export:
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, tenant.project_id)
        return await make_export(session, runtime.cipher, project, **values)


async def test_one_in_use_cannot_be_deleted_and_it_is_said_by_what(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    integration_id = await add_integration(runtime, tenant)
    export = await add_export(runtime, tenant, integration_id=integration_id, name="Nightly")
    expected = invalid(
        f"This integration is in use by 1 batch export: 'Nightly' ({export.id}). Delete them or have them use another "
        "integration first."
    )
    assert refused(await api.delete(f"/integrations/{integration_id}/")) == (400, expected)
    assert (await api.get(f"/integrations/{integration_id}/")).status_code == 200


async def test_of_many_users_some_are_named(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    integration_id = await add_integration(runtime, tenant)
    for number in range(SHOWN + 2):
        await add_export(runtime, tenant, integration_id=integration_id, name=f"Export {number}")
    detail = (await api.delete(f"/integrations/{integration_id}/")).json()["detail"]
    assert f"in use by {SHOWN + 2} batch exports: 'Export 0' (" in detail
    assert detail.count("'Export ") == SHOWN
    assert " and 2 more. " in detail


async def test_a_deleted_export_lets_go_of_what_it_used(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    integration_id = await add_integration(runtime, tenant)
    export = await add_export(runtime, tenant, integration_id=integration_id)
    assert (await api.delete(f"/batch_exports/{export.id}/")).status_code == 204
    assert (await api.delete(f"/integrations/{integration_id}/")).status_code == 204
    async with runtime.sessions() as session:
        row = await session.get_one(Export, export.id)
    assert (row.deleted, row.integration_id) == (True, None)


@pytest.mark.parametrize("written", [int, str])
@pytest.mark.parametrize("field", ["authorization", "bucket_credentials"])
async def test_one_that_a_copy_refers_to_is_in_use(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, field: str, written: type
) -> None:
    integration_id = await add_integration(runtime, tenant, "aws-s3")
    config = {"mode": "COPY", "copy_inputs": {"s3_bucket": "b", field: written(integration_id)}}
    export = await add_export(runtime, tenant, destination_type="Redshift", config=config, name="Copy")
    answer = await api.delete(f"/integrations/{integration_id}/")
    assert answer.status_code == 400
    assert f"'Copy' ({export.id})" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("config", "ids"),
    [
        ({}, set()),
        ({"copy_inputs": None}, set()),
        ({"copy_inputs": {"authorization": True, "bucket_credentials": False}}, set()),
        ({"copy_inputs": {"authorization": "arn:aws:iam::1:role/r", "bucket_credentials": {"id": 7}}}, set()),
        ({"copy_inputs": {"authorization": "9" * 5000, "bucket_credentials": "٣"}}, set()),
        ({"copy_inputs": {"authorization": 7, "bucket_credentials": "08"}}, {7, 8}),
    ],
)
def test_ids_within_a_config_are_numbers_or_digits(config: dict[str, Any], ids: set[int]) -> None:
    assert named_in(config) == ids


async def test_a_delete_waits_for_an_export_that_begins_to_use_it(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    integration_id = await add_integration(runtime, tenant)
    async with runtime.sessions.begin() as session:
        found = await IntegrationRepository(session).for_use([tenant.project_id], integration_id)
        assert found is not None
        deleting = asyncio.create_task(api.delete(f"/integrations/{integration_id}/"))
        await blocked(runtime)
        assert not deleting.done()
        project = await session.get_one(Project, tenant.project_id)
        await make_export(session, runtime.cipher, project, integration_id=integration_id)
    assert (await deleting).status_code == 400


async def test_an_export_that_comes_too_late_finds_no_integration(runtime: Runtime, tenant: Tenant) -> None:
    integration_id = await add_integration(runtime, tenant)

    async def use() -> bool:
        async with runtime.sessions.begin() as session:
            return await IntegrationRepository(session).for_use([tenant.project_id], integration_id) is not None

    async with runtime.sessions.begin() as session:
        integrations = IntegrationRepository(session)
        integration = await integrations.for_delete([tenant.project_id], integration_id)
        assert integration is not None
        using = asyncio.create_task(use())
        await blocked(runtime)
        await integrations.delete(integration)
    assert not await using


async def test_several_may_use_it_at_once(runtime: Runtime, tenant: Tenant) -> None:
    integration_id = await add_integration(runtime, tenant)
    async with runtime.sessions.begin() as first, runtime.sessions.begin() as second:
        for session in (first, second):
            assert await IntegrationRepository(session).for_use([tenant.project_id], integration_id) is not None


async def test_one_of_another_project_is_not_to_be_used(runtime: Runtime, tenant: Tenant) -> None:
    integration_id = await add_integration(runtime, tenant)
    async with runtime.sessions.begin() as session:
        integrations = IntegrationRepository(session)
        for find in (integrations.get, integrations.for_use, integrations.for_delete):
            assert await find([tenant.project_id + 1], integration_id) is None
