"""Documents of integrations that are as they should be, one of each kind at least."""

from typing import Any, NamedTuple

SECRET = "hunter2-the-secret"
"""Somewhere within every secret of these documents."""

ROLE = "arn:aws:iam::123456789012:role/exports"


class Documents(NamedTuple):
    kind: str
    config: dict[str, Any]
    sensitive_config: dict[str, Any]
    display_name: str

    def body(self) -> dict[str, Any]:
        return {"kind": self.kind, "config": self.config, "sensitive_config": self.sensitive_config}


KEYS = {"aws_access_key_id": f"id {SECRET}", "aws_secret_access_key": f"key {SECRET}"}

VALID = (
    Documents("aws-s3", {"name": "Lake", "aws_account_id": "123456789012"}, KEYS, "Lake"),
    Documents("aws-s3", {"name": "Lake by role", "aws_role_arn": ROLE}, {}, "Lake by role"),
    Documents("s3-compatible", {"name": "Archive", "endpoint_url": "https://objects.test:9000"}, KEYS, "Archive"),
    Documents(
        "azure-blob",
        {},
        {"connection_string": f"AccountName=exports;SharedAccessSignature=sv=2023-11-03&sig={SECRET}"},
        "azure-blob",
    ),
    Documents(
        "postgresql",
        {"host": "db.test", "port": 6432, "user": "exports", "ssl_mode": "verify-full", "ssl_root_cert": "PEM"},
        {"password": SECRET},
        "exports@db.test:6432",
    ),
    Documents("postgresql", {"host": "db.test", "user": "u"}, {"password": f" {SECRET} "}, "u@db.test:5432"),
    Documents("postgresql", {"host": "db.test", "user": "u", "name": "Main"}, {"password": SECRET}, "Main"),
    Documents("aws-redshift", {"user": "exports"}, {"password": SECRET}, "exports"),
    Documents("snowflake", {"account": "ab1", "user": "exports"}, {"password": SECRET}, "exports@ab1"),
    Documents(
        "snowflake",
        {"account": "ab1", "user": "exports", "authentication_type": "keypair"},
        {"private_key": f"PEM {SECRET}", "private_key_passphrase": SECRET},
        "exports@ab1",
    ),
    Documents(
        "google-cloud-service-account",
        {"project_id": "warehouse"},
        {
            "client_email": f"{SECRET}@test",
            "private_key": SECRET,
            "private_key_id": SECRET,
            "token_uri": f"https://{SECRET}.test",
        },
        "warehouse",
    ),
    Documents(
        "databricks",
        {"server_hostname": "dbc.test"},
        {"client_id": SECRET, "client_secret": SECRET},
        "dbc.test",
    ),
)

POSTGRESQL = VALID[6]
