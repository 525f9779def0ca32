"""Exports to Snowflake, BigQuery and Databricks (the contract's sections 10.5 to 10.7)."""

from typing import Any

import httpx
import pytest

from app.runtime import Runtime
from tests.exports.linking import KEYS, add_integration, assert_refused, body, set_flag
from tests.http.callers import Tenant, created, error, invalid, refused

CONFIG = "destination__non_field_errors"
PLACES: dict[str, dict[str, Any]] = {
    "Snowflake": {"database": "d", "warehouse": "w", "schema": "s"},
    "BigQuery": {"dataset_id": "d"},
    "Databricks": {"http_path": "h", "catalog": "c", "schema": "s", "table_name": "t"},
}
LOGINS: dict[str, dict[str, Any]] = {
    "Snowflake": {"account": "a", "user": "the-access-key", "password": "the-secret-key"},
    "BigQuery": {
        "project_id": "p",
        "private_key": "the-access-key",
        "private_key_id": "the-access-key",
        "token_uri": "the-secret-key",
        "client_email": "the-secret-key",
    },
}
LINKED: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "Snowflake": ("snowflake", {"account": "a", "user": "u"}, {"password": "p"}),
    "BigQuery": ("google-cloud-service-account", {"project_id": "p"}, {"private_key": "k"}),
    "Databricks": ("databricks", {"server_hostname": "h"}, {"client_id": "i", "client_secret": "s"}),
}


@pytest.mark.parametrize(
    ("kind", "config", "shown"),
    [
        ("Snowflake", {"table_name": "t", "role": None}, {"account": "a"}),
        ("Snowflake", {"authentication_type": "keypair", "private_key": "k"}, {"account": "a"}),
        ("BigQuery", {"table_id": "t", "use_json_type": True}, {"project_id": "p"}),
    ],
)
async def test_a_login_in_the_config_is_accepted_and_never_shown(
    api: httpx.AsyncClient, kind: str, config: dict[str, Any], shown: dict[str, Any]
) -> None:
    export = await created(api, body(kind, {**PLACES[kind], **LOGINS[kind], **config}))
    expected = {**PLACES[kind], **shown, **{key: value for key, value in config.items() if key != "private_key"}}
    assert export["destination"] == {"type": kind, "config": expected, "integration": None}


@pytest.mark.parametrize("kind", LINKED)
async def test_an_integration_is_accepted_and_kept(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str
) -> None:
    number = await add_integration(runtime, tenant.project_id, *LINKED[kind])
    export = await created(api, body(kind, PLACES[kind], number))
    assert export["destination"] == {"type": kind, "config": PLACES[kind], "integration": number}
    url = f"/batch_exports/{export['id']}/"
    answer = await api.patch(url, json={"destination": {"type": kind, "config": {}}})
    assert answer.json()["destination"] == export["destination"]
    answer = await api.patch(url, json={"destination": {"integration": None}})
    required = f"Integration is required for {kind} batch exports"
    assert refused(answer) == (400, invalid(required, "destination"))


@pytest.mark.parametrize(
    ("kind", "config", "detail", "attr"),
    [
        ("Snowflake", {"warehouse": ...}, "Configuration missing required field: 'warehouse'", CONFIG),
        ("Snowflake", {"user": ...}, "Configuration missing required field: 'user'", CONFIG),
        (
            "Snowflake",
            dict.fromkeys(LOGINS["Snowflake"], ...),
            "Integration is required for Snowflake batch exports",
            "destination",
        ),
        (
            "Snowflake",
            {"password": ...},
            "Password is required if authentication type is password",
            "destination",
        ),
        (
            "Snowflake",
            {"authentication_type": "keypair"},
            "Private key is required if authentication type is key pair",
            "destination",
        ),
        (
            "Snowflake",
            {"authentication_type": "oauth"},
            "'authentication_type' must be one of ['password', 'keypair']",
            "destination",
        ),
        ("BigQuery", {"dataset_id": ...}, "Configuration missing required field: 'dataset_id'", CONFIG),
        ("BigQuery", {"token_uri": ...}, "Configuration missing required field: 'token_uri'", CONFIG),
        ("BigQuery", {"use_json_type": []}, "Configuration has invalid type: got 'list', expected 'bool'", CONFIG),
        (
            "BigQuery",
            dict.fromkeys(LOGINS["BigQuery"], ...),
            "Integration is required for BigQuery batch exports",
            "destination",
        ),
        ("Databricks", {"catalog": ...}, "Configuration missing required field: 'catalog'", CONFIG),
        ("Databricks", {"schema": 5}, "Configuration has invalid type: got 'int', expected 'str'", CONFIG),
        ("Databricks", {"client_id": "x"}, "Configuration has unknown field/s: 'client_id'", CONFIG),
        ("Databricks", {}, "Integration is required for Databricks batch exports", "destination"),
    ],
)
async def test_a_broken_rule_is_told(
    api: httpx.AsyncClient, kind: str, config: dict[str, Any], detail: str, attr: str
) -> None:
    await assert_refused(api, body(kind, {**PLACES[kind], **LOGINS.get(kind, {}), **config}), detail, attr)


@pytest.mark.parametrize(
    ("kind", "integration", "detail"),
    [
        ("Snowflake", ("aws-s3", {}, KEYS), "Integration provided is not a Snowflake integration (got kind='aws-s3')"),
        ("Snowflake", ("snowflake", {"user": "u"}, {}), "Snowflake integration is not valid: 'account' missing"),
        (
            "Snowflake",
            ("snowflake", {"account": "a", "user": "u"}, {}),
            "Snowflake integration is not valid: 'password' missing",
        ),
        (
            "Snowflake",
            ("snowflake", {"account": "a", "user": "u", "authentication_type": "keypair"}, {"password": "p"}),
            "Snowflake integration is not valid: 'private_key' missing",
        ),
        ("BigQuery", ("aws-s3", {}, KEYS), "Integration is not a Google Cloud service account integration."),
        ("Databricks", ("aws-s3", {}, KEYS), "Integration is not a Databricks integration."),
        (
            "Databricks",
            ("databricks", {"server_hostname": "h"}, {"client_id": "i"}),
            "Databricks integration is not valid: 'client_secret' missing",
        ),
    ],
)
async def test_an_integration_that_does_not_fit_is_refused(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str, integration: Any, detail: str
) -> None:
    number = await add_integration(runtime, tenant.project_id, *integration)
    await assert_refused(api, body(kind, PLACES[kind], number), detail)


async def test_databricks_has_a_flag(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    await set_flag(runtime, tenant.project_id, "databricks-batch-exports", False)
    answer = await api.post("/batch_exports/", json=body("Databricks", {"nonsense": 1}, name=""))
    detail = "The Databricks destination is not enabled for this team."
    assert refused(answer) == (403, error("authentication_error", "permission_denied", detail))
