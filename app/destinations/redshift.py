"""Amazon Redshift (the contract's section 10.4), at the level of its config; delivery follows."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from pydantic import Field

from app.destinations.base import DestinationConfig
from app.destinations.columns import TABLE_COLUMNS, Columns
from app.destinations.hosts import check_host
from app.destinations.proposal import Proposal, Takes, refuse
from app.destinations.undelivered import Undelivered

COPY_INPUTS: Final = ("s3_bucket", "region_name", "authorization", "bucket_credentials")
LINKABLE: Final = ("authorization", "bucket_credentials")
"""Inputs that may be the id of an integration."""
PAIR: Final = ("aws_access_key_id", "aws_secret_access_key")
BUCKET_KIND: Final = "aws-s3"
MODES: Final = ("INSERT", "COPY")
PROPERTIES_TYPES: Final = ("varchar", "super")


class RedshiftConfig(DestinationConfig):
    database: str
    schema_: str = Field("public", alias="schema")
    table_name: str = "events"
    properties_data_type: str = "varchar"
    mode: str = "INSERT"
    copy_inputs: dict[str, Any] | None = None
    user: str | None = None
    password: str | None = None
    host: str | None = None
    port: int = 5439


class Redshift(Undelivered):
    """With an integration and a host, or with user, password and host in the config. With some of these the one that is
    missing is named; with none, and no integration, the integration is."""

    name: ClassVar[str] = "Redshift"
    config_model: ClassVar[type[DestinationConfig]] = RedshiftConfig
    secrets: ClassVar[frozenset[str]] = frozenset({"user", "password", *PAIR})
    columns: ClassVar[Columns] = TABLE_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="aws-redshift",
        wrong_kind="Integration is not a Redshift integration.",
        required="Integration is required for Redshift batch exports",
        sticky="Cannot remove the integration from a Redshift batch export that uses one. Re-send its `integration` to "
        "keep it (or a different one to swap).",
    )
    inline: ClassVar[Sequence[str]] = ("user", "password", "host")

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        config = proposal.settings
        if proposal.integration is not None and not config.get("host"):
            raise refuse(
                "A 'host' is required when using an AWS Redshift integration: set it to the cluster or workgroup "
                "endpoint."
            )
        check_host(proposal)
        _check_choice(config, "properties_data_type", PROPERTIES_TYPES)
        _check_choice(config, "mode", MODES)
        if config.get("mode") == "COPY":
            _check_copy(proposal)
        return dict(proposal.config)


def _check_choice(config: Mapping[str, Any], key: str, choices: Sequence[str]) -> None:
    if key in config and config[key] not in choices:
        raise refuse(f"'{key}' must be one of {list(choices)}")


def _check_copy(proposal: Proposal) -> None:
    """In the contract's order."""
    inputs = proposal.config.get("copy_inputs")
    if not inputs:
        raise refuse("Missing required inputs for 'COPY'")
    if any(inputs.get(key) is None for key in COPY_INPUTS):
        raise refuse("Missing required input for 'COPY'")
    stored = (proposal.stored or {}).get("copy_inputs") or {}
    for key in LINKABLE:
        if _integration_id(stored.get(key)) is not None and _integration_id(inputs[key]) is None:
            raise refuse(
                f"Cannot switch '{key}' from an integration to inline credentials. Send a different integration ID to "
                "swap, or omit the field to keep the current one."
            )
    for key in LINKABLE:
        if (number := _integration_id(inputs[key])) is not None:
            found = proposal.find(number)
            if found is None or found.kind != BUCKET_KIND:
                raise refuse(f"'{key}' does not reference an AWS S3 integration of this project.")
    credentials, authorization = inputs["bucket_credentials"], inputs["authorization"]
    if _integration_id(credentials) is None and not _is_pair(credentials):
        raise refuse("Missing required bucket credentials for 'COPY'")
    if _integration_id(authorization) is None:
        _check_authorization(authorization)


def _check_authorization(value: Any) -> None:
    match value:
        case dict():
            if not _is_pair(value):
                raise refuse("Missing required credentials for 'COPY'")
        case str():
            if not value.strip():
                raise refuse("Missing required IAM role for 'COPY'")
        case _:
            raise refuse("Authorization for 'COPY' must be an IAM role ARN, AWS credentials, or an integration ID.")


def _integration_id(value: Any) -> int | None:
    """The id that ``value`` is, as a number or in digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return None


def _is_pair(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(key), str) and value[key].strip() for key in PAIR)
