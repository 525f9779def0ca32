"""The API of integrations."""

import asyncio
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select
from structlog.testing import capture_logs

from app.destinations.s3.roles import external_id
from app.models import Integration
from app.runtime import Runtime
from tests.http.callers import NOT_FOUND, Tenant, add_tenant, error, invalid, open_client, refused
from tests.http.statements import counting
from tests.integrations.documents import KEYS, POSTGRESQL, ROLE, SECRET, VALID, Documents


async def made(client: httpx.AsyncClient, documents: Documents = POSTGRESQL) -> dict[str, Any]:
    answer = await client.post("/integrations/", json=documents.body())
    assert answer.status_code == 201, answer.text
    integration: dict[str, Any] = answer.json()
    return integration


@pytest.mark.parametrize("documents", VALID, ids=lambda documents: documents.display_name)
async def test_an_integration_is_shown_without_its_secrets_and_kept_with_them(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, documents: Documents
) -> None:
    answer = await api.post("/integrations/", json=documents.body())
    integration = answer.json()
    assert refused(answer) == (
        201,
        {
            "id": integration["id"],
            "kind": documents.kind,
            "config": {**documents.config, **external_id_of(tenant, documents)},
            "display_name": documents.display_name,
            "created_at": "2026-06-01T12:00:00Z",
            "created_by": str(tenant.key_id),
            "errors": "",
        },
    )
    assert (await api.get(f"/integrations/{integration['id']}/")).json() == integration
    page = await api.get("/integrations/")
    assert page.json() == {"count": 1, "next": None, "previous": None, "results": [integration]}
    assert SECRET not in answer.text + page.text
    async with runtime.sessions() as session:
        row = (await session.scalars(select(Integration))).one()
    assert SECRET.encode() not in row.sensitive_config
    assert runtime.cipher.open(row.sensitive_config) == documents.sensitive_config


def external_id_of(tenant: Tenant, documents: Documents) -> dict[str, str]:
    """Of the project, whatever the integration: it is what the role's trust policy asks for."""
    if "aws_role_arn" not in documents.config:
        return {}
    return {"aws_external_id": external_id(tenant.organization_id, tenant.project_id)}


async def test_an_external_id_is_not_chosen_by_who_comes_with_it(api: httpx.AsyncClient) -> None:
    config = {"name": "n", "aws_role_arn": "arn:aws:iam::123456789012:role/r", "aws_external_id": "another's"}
    answer = await api.post("/integrations/", json={"kind": "aws-s3", "config": config})
    assert refused(answer) == (
        400,
        invalid("Integration of kind 'aws-s3' has unknown field/s: 'aws_external_id'", "config"),
    )


async def test_a_list_has_pages_newest_first_in_as_many_statements_whatever_it_holds(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    with counting(runtime) as of_none:
        assert (await api.get("/integrations/")).json() == {"count": 0, "next": None, "previous": None, "results": []}
    ids = [(await made(api))["id"] for _ in range(3)]
    with counting(runtime) as of_some:
        page = (await api.get("/integrations/?limit=2")).json()
    assert ([one["id"] for one in page["results"]], page["count"]) == ([ids[2], ids[1]], 3)
    assert len(of_some) <= len(of_none)
    rest = (await api.get(page["next"])).json()
    assert ([one["id"] for one in rest["results"]], rest["next"]) == ([ids[0]], None)


async def test_a_deleted_integration_is_gone(api: httpx.AsyncClient) -> None:
    url = f"/integrations/{(await made(api))['id']}/"
    answer = await api.delete(url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert refused(await api.get(url)) == (404, NOT_FOUND)
    assert refused(await api.delete(url)) == (404, NOT_FOUND)
    assert (await api.get("/integrations/")).json()["count"] == 0


async def test_of_several_deletes_at_once_one_is_done(api: httpx.AsyncClient) -> None:
    url = f"/integrations/{(await made(api))['id']}/"
    answers = await asyncio.gather(*(api.delete(url) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [204, 404, 404, 404, 404]


UNKNOWN_KIND = invalid('"ftp" is not a valid choice.', "kind", "invalid_choice")
REQUIRED = "This field is required."


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, invalid(REQUIRED, "kind", "required")),
        ({"kind": None}, invalid("This field may not be null.", "kind", "null")),
        ({"kind": "ftp"}, UNKNOWN_KIND),
        ({"kind": ["ftp"]}, invalid('"list" is not a valid choice.', "kind", "invalid_choice")),
        ({"kind": "databricks"}, invalid(REQUIRED, "config__server_hostname", "required")),
        (
            {"kind": "databricks", "config": []},
            invalid("Invalid data. Expected a dictionary, but got list.", "config"),
        ),
        (
            {"kind": "databricks", "config": {"server_hostname": "h"}, "sensitive_config": SECRET},
            invalid("Invalid data. Expected a dictionary, but got str.", "sensitive_config"),
        ),
        (
            {"kind": "databricks", "config": {"server_hostname": "h"}, "sensitive_config": {"client_id": "c"}},
            invalid(REQUIRED, "sensitive_config__client_secret", "required"),
        ),
        (
            {"kind": "databricks", "config": {"zone": 1, "host": "h"}},
            invalid("Integration of kind 'databricks' has unknown field/s: 'host', 'zone'", "config"),
        ),
        (
            {"kind": "databricks", "config": {"server_hostname": "h"}, "sensitive_config": {"token": SECRET}},
            invalid("Integration of kind 'databricks' has unknown field/s: 'token'", "sensitive_config"),
        ),
        (
            {"kind": "databricks", "config": {"server_hostname": "h", "client_secret": SECRET}},
            invalid("'client_secret' must be sent in 'sensitive_config', not in 'config'", "config"),
        ),
        (
            {"kind": "databricks", "sensitive_config": {"server_hostname": "h"}},
            invalid("'server_hostname' must be sent in 'config', not in 'sensitive_config'", "sensitive_config"),
        ),
        (
            {"kind": "azure-blob", "sensitive_config": {"connection_string": {"is": SECRET}}},
            invalid("Not a valid string.", "sensitive_config__connection_string"),
        ),
        (
            {"kind": "azure-blob", "sensitive_config": {"connection_string": None}},
            invalid("This field may not be null.", "sensitive_config__connection_string", "null"),
        ),
        (
            {"kind": "azure-blob", "sensitive_config": {"connection_string": "  "}},
            invalid("This field may not be blank.", "sensitive_config__connection_string", "blank"),
        ),
        (
            {"kind": "azure-blob", "sensitive_config": {"connection_string": f"{SECRET}\x00"}},
            invalid("Null characters are not allowed.", "sensitive_config", "null_characters_not_allowed"),
        ),
        (
            {"kind": "aws-s3", "config": {"name": "n"}},
            invalid(REQUIRED, "sensitive_config__aws_access_key_id", "required"),
        ),
        (
            {"kind": "aws-s3", "config": {"name": "n"}, "sensitive_config": {"aws_access_key_id": SECRET}},
            invalid(REQUIRED, "sensitive_config__aws_secret_access_key", "required"),
        ),
        (
            {
                "kind": "aws-s3",
                "config": {"name": "n", "aws_role_arn": ROLE},
                "sensitive_config": {"aws_secret_access_key": SECRET},
            },
            invalid(REQUIRED, "sensitive_config__aws_access_key_id", "required"),
        ),
        (
            {
                "kind": "s3-compatible",
                "config": {"name": "n", "endpoint_url": "objects.test"},
                "sensitive_config": KEYS,
            },
            invalid("Enter a valid URL.", "config__endpoint_url"),
        ),
        (
            {
                "kind": "s3-compatible",
                "config": {"name": "n", "endpoint_url": f"https://user:{SECRET}@objects.test"},
                "sensitive_config": KEYS,
            },
            invalid("Credentials do not belong into a URL; send them in 'sensitive_config'.", "config__endpoint_url"),
        ),
        (
            {"kind": "postgresql", "config": {"host": "h", "user": "u", "ssl_mode": "maybe"}},
            invalid('"maybe" is not a valid choice.', "config__ssl_mode", "invalid_choice"),
        ),
        (
            {"kind": "postgresql", "config": {"host": "h", "user": "u", "port": "5432"}},
            invalid("A valid integer is required.", "config__port"),
        ),
        (
            {"kind": "postgresql", "config": {"host": "h", "user": "u", "port": 65536}},
            invalid("Ensure this value is less than or equal to 65535.", "config__port", "max_value"),
        ),
        (
            {"kind": "snowflake", "config": {"account": "a", "user": "u"}},
            invalid(REQUIRED, "sensitive_config__password", "required"),
        ),
        (
            {
                "kind": "snowflake",
                "config": {"account": "a", "user": "u", "authentication_type": "keypair"},
                "sensitive_config": {"password": SECRET},
            },
            invalid(REQUIRED, "sensitive_config__private_key", "required"),
        ),
    ],
)
async def test_what_a_kind_does_not_take_is_named_and_no_secret_repeated(
    api: httpx.AsyncClient, body: dict[str, Any], expected: dict[str, Any]
) -> None:
    with capture_logs() as logs:
        answer = await api.post("/integrations/", json=body)
    assert refused(answer) == (400, expected)
    assert SECRET not in f"{answer.text} {logs}"
    assert (await api.get("/integrations/")).json()["count"] == 0


@pytest.mark.parametrize("integration_id", ["0", "x", "-1", "9" * 10, "9" * 5000, "1.0", "٣", "%00", "@current"])
async def test_an_id_that_is_none_is_not_found(api: httpx.AsyncClient, integration_id: str) -> None:
    for method in ("GET", "DELETE"):
        assert refused(await api.request(method, f"/integrations/{integration_id}/")) == (404, NOT_FOUND)


async def test_an_integration_is_not_changed(api: httpx.AsyncClient) -> None:
    url = f"/integrations/{(await made(api))['id']}/"
    for method in ("PUT", "PATCH"):
        expected = error("invalid_request", "method_not_allowed", f'Method "{method}" not allowed.')
        assert refused(await api.request(method, url, json={})) == (405, expected)


async def test_both_mounts_show_the_same(app: FastAPI, api: httpx.AsyncClient, tenant: Tenant) -> None:
    integration = await made(api)
    base_url = f"http://service.test/api/environments/{tenant.project_id}"
    async with open_client(app, tenant, base_url=base_url) as client:
        assert (await client.get(f"/integrations/{integration['id']}")).json() == integration


@pytest.mark.parametrize(
    ("scope", "reads", "writes", "exports"),
    [
        ("integration:read", True, False, False),
        ("integration:write", True, True, False),
        ("batch_export:read", True, False, True),
        ("batch_export:write", True, True, True),
    ],
)
async def test_scopes_of_exports_are_good_for_integrations_and_not_the_other_way_round(
    app: FastAPI, runtime: Runtime, scope: str, reads: bool, writes: bool, exports: bool
) -> None:
    caller = await add_tenant(runtime, scopes=[scope])
    async with open_client(app, caller) as client:
        assert (await client.get("/integrations/")).status_code == (200 if reads else 403)
        answer = await client.post("/integrations/", json=POSTGRESQL.body())
        if writes:
            assert answer.status_code == 201
        else:
            detail = "API key missing required scope 'integration:write'"
            assert refused(answer) == (403, error("authentication_error", "permission_denied", detail))
        assert (await client.get("/batch_exports/")).status_code == (200 if exports else 403)
