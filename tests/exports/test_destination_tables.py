"""Exports to Postgres and Redshift (the contract's sections 10.3 and 10.4)."""

from typing import Any

import httpx
import pytest

from app.runtime import Runtime
from tests.exports.linking import KEYS, add_integration, assert_refused, body
from tests.http.callers import Tenant, created, invalid, refused

LOGIN = {"user": "the-access-key", "password": "the-secret-key", "host": "db.example.com"}
INLINE: dict[str, Any] = {"database": "d", **LOGIN}
LINKED = {"Postgres": "postgresql", "Redshift": "aws-redshift"}
ROLE = "arn:aws:iam::1:role/load"
COPY: dict[str, Any] = {
    "s3_bucket": "stage",
    "region_name": "us-east-1",
    "authorization": KEYS,
    "bucket_credentials": KEYS,
}


def copy(inputs: Any = None, **changes: Any) -> dict[str, Any]:
    """A create of a Redshift export that loads by COPY; inputs that are ... are left out."""
    whole = {key: value for key, value in {**COPY, **changes}.items() if value is not ...}
    return body("Redshift", {**INLINE, "mode": "COPY", "copy_inputs": whole if inputs is None else inputs})


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("Postgres", {"schema": "s", "table_name": "t", "port": "6543", "has_self_signed_cert": "True"}),
        (
            "Redshift",
            {"schema": "s", "table_name": "t", "port": 5439, "properties_data_type": "super", "mode": "INSERT"},
        ),
    ],
)
async def test_a_login_in_the_config_is_accepted_and_never_shown(
    api: httpx.AsyncClient, kind: str, config: dict[str, Any]
) -> None:
    export = await created(api, body(kind, {**INLINE, **config}))
    expected = {"database": "d", "host": "db.example.com", **config}
    if kind == "Postgres":
        expected.update(port=6543, has_self_signed_cert=True)
    assert export["destination"] == {"type": kind, "config": expected, "integration": None}
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": {"config": {"table_name": "u"}}})
    assert answer.json()["destination"]["config"] == {**expected, "table_name": "u"}


@pytest.mark.parametrize("kind", LINKED)
async def test_an_integration_is_accepted_instead(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str
) -> None:
    settings = {"user": "u"} if kind == "Redshift" else {"user": "u", "host": "db.example.com", "port": 5432}
    number = await add_integration(runtime, tenant.project_id, LINKED[kind], settings, {"password": "p"})
    config = {"database": "d", **({"host": "db.example.com"} if kind == "Redshift" else {})}
    export = await created(api, body(kind, config, number))
    assert export["destination"] == {"type": kind, "config": config, "integration": number}


@pytest.mark.parametrize("kind", LINKED)
@pytest.mark.parametrize(
    ("config", "detail", "attr"),
    [
        ({"database": ...}, "Configuration missing required field: 'database'", "destination__non_field_errors"),
        ({"host": ...}, "Configuration missing required field: 'host'", "destination__non_field_errors"),
        ({"password": ...}, "Configuration missing required field: 'password'", "destination__non_field_errors"),
        ({"port": "x"}, "Configuration has invalid type: got 'str', expected 'int'", "destination__non_field_errors"),
        (dict.fromkeys(LOGIN, ...), "Integration is required for {kind} batch exports", "destination"),
        *(
            ({"host": host}, f"Invalid host: '{host}'", "destination")
            for host in (
                "",
                "127.0.0.2",
                "::1",
                "10.0.0.1",
                "169.254.169.254",
                "internal.example.com",
                "unknown.example.com",
                "a,b",
                "/var/run/postgresql",
            )
        ),
    ],
)
async def test_a_broken_rule_is_told(
    api: httpx.AsyncClient, kind: str, config: dict[str, Any], detail: str, attr: str
) -> None:
    await assert_refused(api, body(kind, {**INLINE, **config}), detail.format(kind=kind), attr)


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("Postgres", "Integration is not a PostgreSQL integration."),
        ("Redshift", "Integration is not a Redshift integration."),
    ],
)
async def test_an_integration_of_another_kind_is_refused(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str, detail: str
) -> None:
    number = await add_integration(runtime, tenant.project_id, "aws-s3", {}, KEYS)
    await assert_refused(api, body(kind, INLINE, number), detail)


async def test_the_host_of_an_integration_is_held_to_the_same_rules(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    settings = {"user": "u", "host": "internal.example.com"}
    number = await add_integration(runtime, tenant.project_id, "postgresql", settings, {"password": "p"})
    await assert_refused(api, body("Postgres", {"database": "d"}, number), "Invalid host: 'internal.example.com'")


async def test_a_host_that_leads_elsewhere_by_now_is_refused_at_the_next_update(
    api: httpx.AsyncClient, names: dict[str, tuple[str, ...]]
) -> None:
    export = await created(api, body("Postgres", INLINE))
    names["db.example.com"] = ("127.0.0.2",)
    url = f"/batch_exports/{export['id']}/"
    answer = await api.patch(url, json={"destination": {"config": {"table_name": "t"}}})
    assert refused(answer) == (400, invalid("Invalid host: 'db.example.com'", "destination"))
    assert (await api.patch(url, json={"name": "Still mine"})).status_code == 200


async def test_a_postgres_integration_can_be_removed_where_a_login_is_left(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    settings = {"user": "u", "host": "db.example.com"}
    number = await add_integration(runtime, tenant.project_id, "postgresql", settings, {"password": "p"})
    linked = await created(api, body("Postgres", {"database": "d"}, number))
    both = await created(api, body("Postgres", INLINE, number))
    remove = {"destination": {"integration": None}}
    answer = await api.patch(f"/batch_exports/{linked['id']}/", json=remove)
    assert refused(answer) == (400, invalid("Integration is required for Postgres batch exports", "destination"))
    answer = await api.patch(f"/batch_exports/{both['id']}/", json=remove)
    assert (answer.status_code, answer.json()["destination"]["integration"]) == (200, None)


async def test_a_redshift_integration_wants_a_host_and_is_never_removed(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    number = await add_integration(runtime, tenant.project_id, "aws-redshift", {"user": "u"}, {"password": "p"})
    wanted = "A 'host' is required when using an AWS Redshift integration: set it to the cluster or workgroup endpoint."
    await assert_refused(api, body("Redshift", {"database": "d"}, number), wanted)
    export = await created(api, body("Redshift", {"database": "d", "host": "db.example.com"}, number))
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": {"integration": None}})
    sticky = (
        "Cannot remove the integration from a Redshift batch export that uses one. Re-send its `integration` to keep "
        "it (or a different one to swap)."
    )
    assert refused(answer) == (400, invalid(sticky, "destination"))


@pytest.mark.parametrize(
    ("sent", "detail"),
    [
        (body("Redshift", {**INLINE, "mode": "COPY"}), "Missing required inputs for 'COPY'"),
        (copy({}), "Missing required inputs for 'COPY'"),
        *((copy(**{key: absent}), "Missing required input for 'COPY'") for key in COPY for absent in (..., None)),
        (copy(authorization=999), "'authorization' does not reference an AWS S3 integration of this project."),
        (
            copy(bucket_credentials="999"),
            "'bucket_credentials' does not reference an AWS S3 integration of this project.",
        ),
        (copy(bucket_credentials=True), "Missing required bucket credentials for 'COPY'"),
        (copy(bucket_credentials=ROLE), "Missing required bucket credentials for 'COPY'"),
        (copy(bucket_credentials={"aws_access_key_id": "x"}), "Missing required bucket credentials for 'COPY'"),
        (copy(authorization={"aws_access_key_id": "x"}), "Missing required credentials for 'COPY'"),
        (copy(authorization="  "), "Missing required IAM role for 'COPY'"),
        (
            copy(authorization=True),
            "Authorization for 'COPY' must be an IAM role ARN, AWS credentials, or an integration ID.",
        ),
        (
            copy(authorization=[]),
            "Authorization for 'COPY' must be an IAM role ARN, AWS credentials, or an integration ID.",
        ),
        (body("Redshift", {**INLINE, "mode": "UNLOAD"}), "'mode' must be one of ['INSERT', 'COPY']"),
        (
            body("Redshift", {**INLINE, "properties_data_type": "json"}),
            "'properties_data_type' must be one of ['varchar', 'super']",
        ),
    ],
)
async def test_copy_inputs_are_checked_in_order(api: httpx.AsyncClient, sent: dict[str, Any], detail: str) -> None:
    await assert_refused(api, sent, detail)


@pytest.mark.parametrize(("field", "other"), [("authorization", ROLE), ("bucket_credentials", KEYS)])
async def test_copy_inputs_refer_to_integrations_and_stay_so(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, field: str, other: Any
) -> None:
    right = await add_integration(runtime, tenant.project_id, "aws-s3", {}, KEYS)
    wrong = await add_integration(runtime, tenant.project_id, "aws-redshift")
    unfit = f"'{field}' does not reference an AWS S3 integration of this project."
    await assert_refused(api, copy(**{field: wrong}), unfit)
    export = await created(api, copy(**{field: str(right)}))
    assert export["destination"]["config"]["copy_inputs"][field] == str(right)
    url = f"/batch_exports/{export['id']}/"
    for value, detail in (
        (
            other,
            f"Cannot switch '{field}' from an integration to inline credentials. Send a different integration ID to "
            "swap, or omit the field to keep the current one.",
        ),
        (wrong, unfit),
    ):
        answer = await api.patch(url, json={"destination": {"config": {"copy_inputs": {field: value}}}})
        assert refused(answer) == (400, invalid(detail, "destination"))
    answer = await api.patch(url, json={"destination": {"config": {"copy_inputs": {field: right, "s3_bucket": "n"}}}})
    assert answer.json()["destination"]["config"]["copy_inputs"] == {
        **export["destination"]["config"]["copy_inputs"],
        field: right,
        "s3_bucket": "n",
    }


async def test_credentials_among_copy_inputs_are_never_shown(api: httpx.AsyncClient) -> None:
    export = await created(api, copy())
    assert export["destination"]["config"] == {
        "database": "d",
        "host": "db.example.com",
        "mode": "COPY",
        "copy_inputs": {
            "s3_bucket": "stage",
            "region_name": "us-east-1",
            "authorization": {},
            "bucket_credentials": {},
        },
    }
    shown = await created(api, copy(authorization=ROLE))
    assert shown["destination"]["config"]["copy_inputs"]["authorization"] == ROLE
