"""The integration of a destination (the contract's sections 4.2, 10 and 14)."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.destinations.base import Unfenced, Written
from app.embedded import Stack
from app.errors import Unsupported
from app.exports.repository import ExportRepository
from app.integrations.linked import SealedIntegration
from app.models import Export
from app.pipeline.deliver import deliver
from app.runs.claim import Claim
from app.runtime import Runtime
from tests.exports.linking import KEYS, add_integration, body
from tests.factories import add_event, make_claim, utc
from tests.http.callers import Tenant, add_tenant, created, invalid, no_op, open_client, refused
from tests.http.statements import counting

PLACE: dict[str, Any] = {"bucket_name": "b", "region": "us-east-1", "prefix": "p"}


def absent(number: Any, key: str = "integration") -> tuple[int, Any]:
    detail = f'Invalid pk "{number}" - object does not exist.'
    return 400, invalid(detail, f"destination__{key}", "does_not_exist")


@pytest.mark.parametrize("number", [999, "999", 0, -1, 2**31, 10**18])
async def test_an_integration_that_is_not_there(api: httpx.AsyncClient, number: Any) -> None:
    sent = body("AwsS3", {"unknown": 1}, number)
    assert refused(await api.post("/batch_exports/", json=sent)) == absent(number)
    aliased = no_op(destination={"type": "AwsS3", "config": PLACE, "integration_id": number})
    assert refused(await api.post("/batch_exports/", json=aliased)) == absent(number, "integration_id")


@pytest.mark.parametrize("value", [True, 1.5, "x", "²", "-1", "", [], {}])
async def test_what_is_no_id(api: httpx.AsyncClient, value: Any) -> None:
    sent = body("AwsS3", PLACE, value)
    detail = f"Incorrect type. Expected pk value, received {type(value).__name__}."
    expected = invalid(detail, "destination__integration", "incorrect_type")
    assert refused(await api.post("/batch_exports/", json=sent)) == (400, expected)


async def test_an_integration_of_another_project_is_none(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    number = await add_integration(runtime, sibling.project_id, "aws-s3", {}, KEYS)
    assert refused(await api.post("/batch_exports/", json=body("AwsS3", PLACE, number))) == absent(number)
    export = await created(api, body("AwsS3", {**PLACE, **KEYS}))
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": {"integration": number}})
    assert refused(answer) == absent(number)


async def test_under_an_organization_the_project_in_the_body_decides(
    app: FastAPI, runtime: Runtime, tenant: Tenant
) -> None:
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    number = await add_integration(runtime, sibling.project_id, "aws-s3", {}, KEYS)
    base_url = f"http://service.test/api/organizations/{tenant.organization_id}"
    async with open_client(app, tenant, base_url=base_url) as client:
        sent = body("AwsS3", PLACE, number)
        assert refused(await client.post("/batch_exports/", json=sent)) == absent(number)
        export = await created(client, {**sent, "team_id": sibling.project_id})
        assert (export["team_id"], export["destination"]["integration"]) == (sibling.project_id, number)
        # A project's id in an update says nothing: the export's own counts.
        answer = await client.patch(
            f"/batch_exports/{export['id']}/",
            json={"team_id": tenant.project_id, "destination": {"integration": number}},
        )
        assert answer.status_code == 200


async def test_secrets_of_an_integration_are_in_no_answer(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    number = await add_integration(runtime, tenant.project_id, "aws-s3", {"name": "n"}, KEYS)
    export = await created(api, body("AwsS3", PLACE, number))
    for answer in (await api.get("/batch_exports/"), await api.get(f"/batch_exports/{export['id']}/")):
        assert not any(secret in answer.text for secret in KEYS.values())


async def test_a_body_without_names_costs_no_look_up(api: httpx.AsyncClient, runtime: Runtime) -> None:
    with counting(runtime) as statements:
        await created(api, no_op())
    assert not any("integrations" in statement for statement in statements if statement.startswith("SELECT"))


@pytest.mark.parametrize("kind", ["NoOp", "HTTP", "FileDownload"])
async def test_types_that_take_no_integration_say_so(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str
) -> None:
    number = await add_integration(runtime, tenant.project_id, "aws-s3", {}, KEYS)
    config = {"url": "https://eu.i.posthog.com/batch/", "token": "t"} if kind == "HTTP" else {}
    detail = f"{kind} destinations do not support integration-based credentials."
    answer = await api.post("/batch_exports/", json=body(kind, config, number))
    assert refused(answer) == (400, invalid(detail, "destination"))


def claim_of(export: dict[str, Any], sealed: bytes, integration: SealedIntegration | None) -> Claim:
    return make_claim(
        integration=integration,
        export_id=UUID(export["id"]),
        project_id=export["team_id"],
        destination_type=export["destination"]["type"],
        destination_config=sealed,
        start=utc(2026, 3, 1),
        end=utc(2026, 3, 1, 1),
    )


async def deliver_export(runtime: Runtime, export: dict[str, Any]) -> Written:
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        await add_event(session, row.project_id, utc(2026, 3, 1))
        found = await ExportRepository(session).integration(row.id)
        linked = None
        if found is not None:
            linked = SealedIntegration(found.id, found.kind, found.config, found.sensitive_config)
    return (await deliver(runtime, claim_of(export, row.destination_config, linked), Unfenced())).written


async def test_a_run_uses_the_integration_over_the_config(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, stack: Stack
) -> None:
    keys = {key: stack.s3[key] for key in KEYS}
    settings = {"endpoint_url": stack.s3["endpoint_url"]}
    number = await add_integration(runtime, tenant.project_id, "s3-compatible", settings, keys)
    config = {
        **PLACE,
        "bucket_name": stack.s3["bucket_name"],
        "prefix": uuid4().hex,
        "endpoint_url": "http://localhost",
    }
    export = await created(api, body("S3Compatible", {**config, **KEYS}, number))
    assert (await deliver_export(runtime, export)).rows == 1


async def test_a_run_assumes_no_role_where_the_service_has_no_identity(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    number = await add_integration(runtime, tenant.project_id, "aws-s3", {"aws_role_arn": "arn:aws:iam::1:role/r"})
    export = await created(api, body("AwsS3", PLACE, number))
    with pytest.raises(Unsupported, match="it has no AWS identity of its own"):
        await deliver_export(runtime, export)


async def test_a_type_that_cannot_be_delivered_to_fails_at_once(api: httpx.AsyncClient, runtime: Runtime) -> None:
    export = await created(api, body("HTTP", {"url": "https://eu.i.posthog.com/batch/", "token": "t"}))
    with pytest.raises(Unsupported, match="this version cannot deliver to HTTP yet"):
        await deliver_export(runtime, export)
