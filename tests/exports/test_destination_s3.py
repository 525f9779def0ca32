"""Exports to the S3 family (the contract's section 10.1)."""

from typing import Any
from uuid import UUID

import httpx
import pytest

from app.models import Export
from app.runtime import Runtime
from tests.exports.linking import KEYS, add_integration, assert_refused, body
from tests.http.callers import Tenant, created, invalid, refused

PLACE: dict[str, Any] = {"bucket_name": "b", "region": "us-east-1", "prefix": "p"}
CONFIG = "destination__non_field_errors"
STICKY = (
    "Cannot remove the integration from an S3 batch export that uses one. Re-send its `integration` to keep it (or a "
    "different one to swap)."
)
KINDS = {"AwsS3": "aws-s3", "S3Compatible": "s3-compatible"}


async def stored(runtime: Runtime, export: dict[str, Any]) -> dict[str, Any]:
    async with runtime.sessions() as session:
        row = await session.get_one(Export, UUID(export["id"]))
    return runtime.cipher.open(row.destination_config)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("S3", {"endpoint_url": None, "use_virtual_style_addressing": "true"}),
        ("S3", {"endpoint_url": "http://127.0.0.1:9000", "encryption": "AES256", "kms_key_id": None}),
        ("S3", {"endpoint_url": "https://db.example.com"}),
        ("AwsS3", {"encryption": "aws:kms", "kms_key_id": "k", "file_format": "Parquet", "compression": "lz4"}),
        ("S3Compatible", {"endpoint_url": "http://localhost:9000", "max_file_size_mb": "5", "compression": "brotli"}),
    ],
)
async def test_credentials_in_the_config_are_accepted(
    api: httpx.AsyncClient, runtime: Runtime, kind: str, config: dict[str, Any]
) -> None:
    export = await created(api, body(kind, {**PLACE, **KEYS, **config}))
    converted = {"true": True, "5": 5}
    expected = {key: converted.get(str(value), value) for key, value in {**PLACE, **config}.items()}
    assert export["destination"] == {
        "type": kind,
        "config": {**expected, "legacy_parquet_extension": False},
        "integration": None,
    }
    assert (await stored(runtime, export)).items() >= KEYS.items()


@pytest.mark.parametrize("kind", KINDS)
async def test_an_integration_is_accepted_instead(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str
) -> None:
    number = await add_integration(runtime, tenant.project_id, KINDS[kind], {"name": "n"}, KEYS)
    export = await created(api, body(kind, PLACE, str(number)))
    config = {**PLACE, "legacy_parquet_extension": False}
    assert export["destination"] == {"type": kind, "config": config, "integration": number}
    assert await stored(runtime, export) == config


@pytest.mark.parametrize(
    ("kind", "config", "detail", "attr"),
    [
        ("S3", {"aws_access_key_id": ...}, "Configuration missing required field: 'aws_access_key_id'", CONFIG),
        (
            "AwsS3",
            {"aws_secret_access_key": ...},
            "Configuration missing required field: 'aws_secret_access_key'",
            CONFIG,
        ),
        (
            "S3Compatible",
            {"aws_access_key_id": None},
            "Configuration missing required field: 'aws_access_key_id'",
            CONFIG,
        ),
        ("AwsS3", {"endpoint_url": "https://a.b"}, "Configuration has unknown field/s: 'endpoint_url'", CONFIG),
        ("S3Compatible", {"encryption": "AES256"}, "Configuration has unknown field/s: 'encryption'", CONFIG),
        ("AwsS3", dict.fromkeys(KEYS, ...), "Integration is required for AwsS3 batch exports", "destination"),
        (
            "S3Compatible",
            dict.fromkeys(KEYS, ...),
            "Integration is required for S3Compatible batch exports",
            "destination",
        ),
        (
            "S3",
            {"prefix": "", "bucket_name": " ", "aws_secret_access_key": ""},
            "The following inputs are empty: ['bucket_name', 'prefix', 'aws_secret_access_key']",
            "destination",
        ),
        ("AwsS3", {"region": ""}, "The following inputs are empty: ['region']", "destination"),
        (
            "AwsS3",
            {"file_format": "Avro"},
            "File format Avro is not supported. Supported file formats are ['Parquet', 'JSONLines']",
            "destination",
        ),
        (
            "S3Compatible",
            {"file_format": "Parquet", "compression": "bz2"},
            "Compression bz2 is not supported for file format Parquet. "
            "Supported compressions are ['zstd', 'lz4', 'snappy', 'gzip', 'brotli']",
            "destination",
        ),
        (
            "AwsS3",
            {"legacy_parquet_extension": True},
            "'legacy_parquet_extension' can only stay on for an export that already writes the compression codec into "
            "its Parquet file names.",
            "destination",
        ),
    ],
)
async def test_a_broken_rule_is_told(
    api: httpx.AsyncClient, kind: str, config: dict[str, Any], detail: str, attr: str
) -> None:
    await assert_refused(api, body(kind, {**PLACE, **KEYS, **config}), detail, attr)


@pytest.mark.parametrize("kind", ["S3", "S3Compatible"])
@pytest.mark.parametrize(
    "endpoint",
    [
        "nonsense",
        "ftp://db.example.com",
        "http://",
        "http://[oops",
        "http://db.example.com:99999",
        "http://10.0.0.1:9000",
        "http://169.254.169.254/latest",
        "http://[::1]:9000",
        "http://[::ffff:10.0.0.1]",
        "http://internal.example.com",
        "https://unknown.example.com",
        "http://user@internal.example.com",
    ],
)
async def test_an_endpoint_inside_or_nowhere_is_refused(api: httpx.AsyncClient, kind: str, endpoint: str) -> None:
    sent = body(kind, {**PLACE, **KEYS, "endpoint_url": endpoint})
    await assert_refused(api, sent, f"Invalid endpoint_url: '{endpoint}'")


async def test_the_endpoint_of_an_integration_is_held_to_the_same_rules(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    endpoint = "https://internal.example.com"
    number = await add_integration(runtime, tenant.project_id, "s3-compatible", {"endpoint_url": endpoint}, KEYS)
    await assert_refused(api, body("S3Compatible", PLACE, number), f"Invalid endpoint_url: '{endpoint}'")


@pytest.mark.parametrize(
    ("kind", "detail"),
    [
        ("AwsS3", "Integration provided is not an AWS S3 integration (got kind='snowflake')"),
        ("S3Compatible", "Integration provided is not an S3-compatible integration (got kind='snowflake')"),
        ("S3", "S3 destinations do not support integration-based credentials."),
    ],
)
async def test_an_integration_of_another_kind_is_refused(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str, detail: str
) -> None:
    number = await add_integration(runtime, tenant.project_id, "snowflake")
    await assert_refused(api, body(kind, {**PLACE, **KEYS}, number), detail)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_integration_is_kept_swapped_and_never_removed(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, kind: str
) -> None:
    first = await add_integration(runtime, tenant.project_id, KINDS[kind], {}, KEYS)
    second = await add_integration(runtime, tenant.project_id, KINDS[kind], {}, KEYS)
    export = await created(api, body(kind, PLACE, first))
    url = f"/batch_exports/{export['id']}/"

    async def patch(destination: dict[str, Any]) -> tuple[int, Any]:
        return refused(await api.patch(url, json={"destination": destination}))

    status, answer = await patch({"config": {"prefix": "q"}})
    assert (status, answer["destination"]["integration"]) == (200, first)
    status, answer = await patch({"integration_id": second})
    assert (status, answer["destination"]["integration"]) == (200, second)
    assert await patch({"integration": None}) == (400, invalid(STICKY, "destination"))
    assert (await api.get(url)).json()["destination"]["integration"] == second
    answer = await api.put(url, json=body(kind, PLACE))
    assert (answer.status_code, answer.json()["destination"]["integration"]) == (200, second)


async def test_an_export_with_keys_in_its_config_can_go_over_to_an_integration(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    export = await created(api, body("AwsS3", {**PLACE, **KEYS}))
    number = await add_integration(runtime, tenant.project_id, "aws-s3", {"aws_role_arn": "arn:aws:iam::1:role/r"})
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": {"integration": number}})
    assert answer.json()["destination"]["integration"] == number
