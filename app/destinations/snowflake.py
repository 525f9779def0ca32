"""Snowflake (the contract's section 10.5), at the level of its config; delivery follows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from pydantic import Field

from app.destinations.base import DestinationConfig
from app.destinations.columns import SNOWFLAKE_COLUMNS, Columns
from app.destinations.proposal import Proposal, Takes, refuse
from app.destinations.steps import Step, unbuilt
from app.destinations.undelivered import Undelivered


class SnowflakeConfig(DestinationConfig):
    database: str
    warehouse: str
    schema_: str = Field(alias="schema")
    table_name: str = "events"
    role: str | None = None
    account: str | None = None
    user: str | None = None
    authentication_type: str = "password"
    password: str | None = None
    private_key: str | None = None
    private_key_passphrase: str | None = None


class Snowflake(Undelivered):
    """With an integration, or with account, user and a password or private key in the config. With only one of account
    and user the other is named as missing; with neither, and no integration, the integration is."""

    name: ClassVar[str] = "Snowflake"
    config_model: ClassVar[type[DestinationConfig]] = SnowflakeConfig
    secrets: ClassVar[frozenset[str]] = frozenset({"user", "password", "private_key", "private_key_passphrase"})
    columns: ClassVar[Columns] = SNOWFLAKE_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="snowflake",
        wrong_kind="Integration provided is not a Snowflake integration (got kind='{kind}')",
        required="Integration is required for Snowflake batch exports",
        needs=("account", "user"),
        invalid="Snowflake integration is not valid: '{key}' missing",
    )
    inline: ClassVar[Sequence[str]] = ("account", "user")
    steps: ClassVar[Sequence[Step]] = (
        unbuilt("Establish connection to Snowflake", "Log in with the credentials given."),
        unbuilt("Verify Snowflake warehouse", "See that the warehouse exists and can be used."),
        unbuilt("Verify Snowflake database", "See that the database exists and can be used."),
        unbuilt("Verify Snowflake schema", "See that the schema exists and can be used."),
    )

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        if proposal.integration is None:
            _check_inline(proposal.settings)
        else:
            _check_linked(proposal.integration.settings())
        return dict(proposal.config)


def _check_inline(config: dict[str, Any]) -> None:
    match config.get("authentication_type", "password"):
        case "password":
            if not config.get("password"):
                raise refuse("Password is required if authentication type is password")
        case "keypair":
            if not config.get("private_key"):
                raise refuse("Private key is required if authentication type is key pair")
        case _:
            raise refuse("'authentication_type' must be one of ['password', 'keypair']")


def _check_linked(settings: dict[str, Any]) -> None:
    """An integration that does not say how it logs in may do so with whatever it has."""
    keys = {"password": ("password",), "keypair": ("private_key",)}
    wanted = keys.get(settings.get("authentication_type", ""), ("password", "private_key"))
    if not any(settings.get(key) for key in wanted):
        raise refuse(f"Snowflake integration is not valid: '{wanted[0]}' missing")
